/* fuzz_message.c -- a packet on its way to being a request, compared with the rules said another way. */
#include "proto/message.h"
#include "tests/fuzz/feed.h"

/* The strings of each request, by their places. */
static const struct {
        uint16_t op;
        size_t offset;
        size_t size;
} strings[] = {
#define STRING(op, type, member) \
        { op, offsetof(struct type, member), sizeof(((struct type *)NULL)->member) }
        STRING(PROTO_OP_HELLO, proto_hello, client), STRING(PROTO_OP_CREATE, proto_create, name),
        STRING(PROTO_OP_CREATE, proto_create, type), STRING(PROTO_OP_OPEN, proto_open, name),
        STRING(PROTO_OP_STAT, proto_stat, name),     STRING(PROTO_OP_LIST, proto_list, pattern),
        STRING(PROTO_OP_LIST, proto_list, after),    STRING(PROTO_OP_REMOVE, proto_remove, name),
#undef STRING
};

static bool has_strings(const union proto_any *m) {
        for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
                const char *s = (const char *)m + strings[i].offset;

                if (strings[i].op == m->header.op && strnlen(s, strings[i].size) == strings[i].size)
                        return false;
        }
        return true;
}

static void try(const unsigned char *packet, size_t size, size_t n_fds) {
        union proto_any m;
        struct proto_header h;
        size_t known;
        int e = message_check(packet, size, n_fds);

        CHECK(e >= 0 && e <= MESSAGE_E_RESERVED && message_explain(e));
        if (e)
                return;
        memcpy(&h, packet, sizeof(h));
        CHECK(h.size == size && h.version == PROTO_VERSION && h.n_fds == n_fds && h.reserved == 0);
        known = message_request_size(h.op);
        CHECK(known <= sizeof(m));
        if (known == 0)
                return;
        memset(&m, 0xa5, sizeof(m));
        e = message_extract(&m, known, packet, size);
        CHECK(e == 0 || e == MESSAGE_E_UNKNOWN);
        for (size_t i = known; i < sizeof(m); i++)
                CHECK(((unsigned char *)&m)[i] == 0xa5);
        if (e) {
                CHECK(size > known);
                return;
        }
        for (size_t i = 0; i < known || i < size; i++)
                CHECK((i < known ? ((unsigned char *)&m)[i] : 0) == (i < size ? packet[i] : 0));
        e = message_check_request(&m);
        CHECK(e == 0 || e == MESSAGE_E_STRING || e == MESSAGE_E_RESERVED);
        CHECK(has_strings(&m) == (e != MESSAGE_E_STRING));
}

/* As it is; and then with a header that is right but for the op, so that what follows is looked at. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        unsigned char *packet;
        struct proto_header h;

        try(data, size, size % 3);
        if (size < sizeof(h))
                return 0;
        packet = malloc(size);
        CHECK(packet);
        memcpy(packet, data, size);
        memcpy(&h, packet, sizeof(h));
        h.op %= PROTO_OP_REQUESTS + 1;
        h.size = (uint32_t)size;
        h.version = PROTO_VERSION;
        h.n_fds = size % 3;
        h.reserved = 0;
        memcpy(packet, &h, sizeof(h));
        try(packet, size, size % 3);
        free(packet);
        return 0;
}
