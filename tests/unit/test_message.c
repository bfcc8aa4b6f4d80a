/* test_message.c -- what is a message and what is not: every outcome, every length, every string. */
#include <string.h>

#include "proto/message.h"
#include "tests/support.h"

static const uint16_t requests[] = {
        PROTO_OP_HELLO, PROTO_OP_CREATE, PROTO_OP_OPEN,  PROTO_OP_STAT,
        PROTO_OP_LIST,  PROTO_OP_REMOVE, PROTO_OP_CHMOD, PROTO_OP_CHOWN,
};
#define N_REQUESTS (sizeof(requests) / sizeof(requests[0]))

static size_t structure_size(uint16_t op) {
        switch (op) {
        case PROTO_OP_HELLO:
                return sizeof(struct proto_hello);
        case PROTO_OP_CREATE:
                return sizeof(struct proto_create);
        case PROTO_OP_OPEN:
                return sizeof(struct proto_open);
        case PROTO_OP_STAT:
                return sizeof(struct proto_stat);
        case PROTO_OP_LIST:
                return sizeof(struct proto_list);
        case PROTO_OP_REMOVE:
                return sizeof(struct proto_remove);
        case PROTO_OP_CHMOD:
                return sizeof(struct proto_chmod);
        case PROTO_OP_CHOWN:
                return sizeof(struct proto_chown);
        case PROTO_OP_CLAIM:
                return sizeof(struct proto_claim);
        case PROTO_OP_REPLACE:
                return sizeof(struct proto_header);
        default:
                return 0;
        }
}

static void test_init(void **state) {
        struct proto_header h;

        (void)state;
        memset(&h, 0xff, sizeof(h));
        message_init(&h, PROTO_OP_STAT, sizeof(struct proto_stat), 77);
        assert_int_equal(h.size, sizeof(struct proto_stat));
        assert_int_equal(h.version, PROTO_VERSION);
        assert_int_equal(h.op, PROTO_OP_STAT);
        assert_int_equal(h.serial, 77);
        assert_int_equal(h.error, 0);
        assert_int_equal(h.n_fds, 0);
        assert_int_equal(h.reserved, 0);
}

static void test_request_sizes(void **state) {
        (void)state;
        for (uint32_t op = 0; op <= UINT16_MAX; op++)
                assert_int_equal(message_request_size((uint16_t)op), structure_size((uint16_t)op));
        for (uint32_t op = 1; op < PROTO_OP_REQUESTS; op++)
                assert_true(message_request_size((uint16_t)op) >= sizeof(struct proto_header));
}

static void test_check(void **state) {
        struct proto_header good, h;

        (void)state;
        message_init(&good, PROTO_OP_STAT, sizeof(good), 1);
        assert_int_equal(message_check(&good, sizeof(good), 0), 0);
        for (size_t size = 0; size < sizeof(good); size++) {
                h = good;
                h.size = (uint32_t)size;
                assert_int_equal(message_check(&h, size, 0), MESSAGE_E_SHORT);
        }
        for (int bit = 0; bit < 32; bit++) {
                h = good;
                h.size ^= 1u << bit;
                assert_int_equal(message_check(&h, sizeof(h), 0), MESSAGE_E_SIZE);
                h = good;
                h.n_fds ^= 1u << bit;
                assert_int_equal(message_check(&h, sizeof(h), 0), MESSAGE_E_FDS);
                h = good;
                h.reserved ^= 1u << bit;
                assert_int_equal(message_check(&h, sizeof(h), 0), MESSAGE_E_RESERVED);
        }
        for (int bit = 0; bit < 16; bit++) {
                h = good;
                h.version ^= (uint16_t)(1u << bit);
                assert_int_equal(message_check(&h, sizeof(h), 0), MESSAGE_E_VERSION);
        }
        h = good;
        assert_int_equal(message_check(&h, sizeof(h), 1), MESSAGE_E_FDS);
        h.n_fds = 1;
        assert_int_equal(message_check(&h, sizeof(h), 1), 0);
        assert_int_equal(message_check(&h, sizeof(h), 0), MESSAGE_E_FDS);
}

/* A packet may lie anywhere. */
static void test_check_unaligned(void **state) {
        unsigned char bytes[sizeof(struct proto_header) + 8];
        struct proto_header h;

        (void)state;
        message_init(&h, PROTO_OP_LIST, sizeof(h), 1);
        for (size_t shift = 0; shift < 8; shift++) {
                memcpy(bytes + shift, &h, sizeof(h));
                assert_int_equal(message_check(bytes + shift, sizeof(h), 0), 0);
        }
}

/* A request of random bytes, in memory that ends where the packet ends, so that the sanitizer sees a step too far. */
static unsigned char *make_packet(struct random *rnd, uint16_t op, size_t size) {
        /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): a packet may be empty */
        unsigned char *packet = malloc(size);
        struct proto_header h;

        assert_non_null(packet);
        random_fill(rnd, packet, size);
        message_init(&h, op, size, 9);
        memcpy(packet, &h, size < sizeof(h) ? size : sizeof(h));
        return packet;
}

static void test_truncated_everywhere(void **state) {
        struct random rnd = random_seeded("message");

        (void)state;
        for (size_t i = 0; i < N_REQUESTS; i++) {
                size_t whole = message_request_size(requests[i]);

                for (size_t size = 0; size <= whole; size++) {
                        unsigned char *packet = make_packet(&rnd, requests[i], size);
                        union proto_any out;
                        const unsigned char *bytes = (const unsigned char *)&out;

                        memset(&out, 0xa5, sizeof(out));
                        if (size < sizeof(struct proto_header)) {
                                assert_int_equal(message_check(packet, size, 0), MESSAGE_E_SHORT);
                                free(packet);
                                continue;
                        }
                        assert_int_equal(message_check(packet, size, 0), 0);
                        assert_int_equal(message_extract(&out, whole, packet, size), 0);
                        assert_memory_equal(&out, packet, size);
                        for (size_t b = size; b < whole; b++)
                                assert_int_equal(bytes[b], 0);
                        for (size_t b = whole; b < sizeof(out); b++)
                                assert_int_equal(bytes[b], 0xa5);
                        free(packet);
                }
        }
}

static void test_longer(void **state) {
        struct random rnd = random_seeded("message");
        static const size_t tails[] = { 1, 2, 7, 8, 9, 4096, PROTO_MESSAGE_MAX };

        (void)state;
        for (size_t i = 0; i < N_REQUESTS; i++)
                for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
                        size_t whole = message_request_size(requests[i]), size = whole + tails[t];
                        size_t at[] = { whole, size - 1, whole + random_below(&rnd, tails[t]) };
                        unsigned char *packet = make_packet(&rnd, requests[i], size);
                        union proto_any out;

                        memset(packet + whole, 0, tails[t]);
                        assert_int_equal(message_check(packet, size, 0), 0);
                        memset(&out, 0xa5, sizeof(out));
                        assert_int_equal(message_extract(&out, whole, packet, size), 0);
                        assert_memory_equal(&out, packet, whole);
                        assert_true(whole == sizeof(out) || ((unsigned char *)&out)[whole] == 0xa5);
                        for (size_t a = 0; a < 3; a++) {
                                packet[at[a]] = (unsigned char)(1u << random_below(&rnd, 8));
                                assert_int_equal(message_extract(&out, whole, packet, size), MESSAGE_E_UNKNOWN);
                                packet[at[a]] = 0;
                        }
                        free(packet);
                }
}

static void request(union proto_any *m, uint16_t op) {
        memset(m, 0, sizeof(*m));
        message_init(&m->header, op, message_request_size(op), 1);
}

static void string(union proto_any *m, char *s, size_t size) {
        memset(s, 'x', size);
        assert_int_equal(message_check_request(m), MESSAGE_E_STRING);
        s[size - 1] = '\0';
        assert_int_equal(message_check_request(m), 0);
        memset(s, 0, size);
        assert_int_equal(message_check_request(m), 0);
}

static void reserved(union proto_any *m, uint32_t *word) {
        for (int bit = 0; bit < 32; bit++) {
                *word = 1u << bit;
                assert_int_equal(message_check_request(m), MESSAGE_E_RESERVED);
        }
        *word = 0;
        assert_int_equal(message_check_request(m), 0);
}

static void test_strings_and_reserved(void **state) {
        union proto_any m;

        (void)state;
        request(&m, PROTO_OP_HELLO);
        string(&m, m.hello.client, sizeof(m.hello.client));
        request(&m, PROTO_OP_CREATE);
        string(&m, m.create.name, sizeof(m.create.name));
        string(&m, m.create.type, sizeof(m.create.type));
        request(&m, PROTO_OP_OPEN);
        string(&m, m.open.name, sizeof(m.open.name));
        reserved(&m, &m.open.reserved);
        request(&m, PROTO_OP_STAT);
        string(&m, m.stat.name, sizeof(m.stat.name));
        request(&m, PROTO_OP_LIST);
        string(&m, m.list.pattern, sizeof(m.list.pattern));
        string(&m, m.list.after, sizeof(m.list.after));
        request(&m, PROTO_OP_REMOVE);
        string(&m, m.remove.name, sizeof(m.remove.name));
        request(&m, PROTO_OP_CHMOD);
        string(&m, m.chmod.name, sizeof(m.chmod.name));
        reserved(&m, &m.chmod.reserved);
        request(&m, PROTO_OP_CHOWN);
        string(&m, m.chown.name, sizeof(m.chown.name));
}

/* Strings are cut where the packet was: zero-extension ends them. */
static void test_a_short_string_ends(void **state) {
        struct random rnd = random_seeded("message");
        size_t size = offsetof(struct proto_stat, name) + 3;
        unsigned char *packet = make_packet(&rnd, PROTO_OP_STAT, size);
        union proto_any m;

        (void)state;
        memcpy(packet + offsetof(struct proto_stat, name), "abc", 3);
        assert_int_equal(message_extract(&m, sizeof(m.stat), packet, size), 0);
        free(packet);
        assert_int_equal(message_check_request(&m), 0);
        assert_string_equal(m.stat.name, "abc");
}

static void test_explain(void **state) {
        (void)state;
        for (int a = 0; a <= MESSAGE_E_STRING; a++)
                for (int b = 0; b < a; b++)
                        assert_string_not_equal(message_explain(a), message_explain(b));
}

static void test_a_page_fits(void **state) {
        (void)state;
        assert_true(PROTO_LIST_PAGE >= 40);
        assert_true(sizeof(struct proto_list_reply) + PROTO_LIST_PAGE * sizeof(struct proto_info) <= PROTO_MESSAGE_MAX);
        assert_true(sizeof(union proto_any) <= PROTO_MESSAGE_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_init),
                cmocka_unit_test(test_request_sizes),
                cmocka_unit_test(test_check),
                cmocka_unit_test(test_check_unaligned),
                cmocka_unit_test(test_truncated_everywhere),
                cmocka_unit_test(test_longer),
                cmocka_unit_test(test_strings_and_reserved),
                cmocka_unit_test(test_a_short_string_ends),
                cmocka_unit_test(test_explain),
                cmocka_unit_test(test_a_page_fits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
