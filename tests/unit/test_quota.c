/* test_quota.c -- the arithmetic of quotas: each rule at its edge, and random charges against a model. */
#include <string.h>

#include "daemon/quota.h"
#include "tests/support.h"

#define USERS 5u
#define CHARGES 200u
#define STEPS 200000u

static struct quotas quotas;
static unsigned n_left;

static void on_left(struct quotas *q) {
        assert_ptr_equal(q, &quotas);
        n_left++;
}

static int setup(void **state) {
        (void)state;
        quotas_init(&quotas, 99);
        quotas.left = on_left;
        n_left = 0;
        return 0;
}

/* Every charge has been released, every account is gone. */
static int teardown(void **state) {
        (void)state;
        assert_true(RB_EMPTY(&quotas.accounts));
        for (int i = 0; i < QUOTA_RESOURCES; i++) {
                assert_int_equal(quotas.used[i], 0);
                assert_int_equal(quotas.leaving[i], 0);
        }
        return 0;
}

static void assert_words(const struct quota_account *a, enum quota_resource resource, uint64_t amount,
                         const char *const *words) {
        char text[512];

        quota_explain(text, sizeof(text), a, resource, amount, quota_check(a, resource, amount));
        for (; *words; words++)
                if (!strstr(text, *words))
                        fail_msg("\"%s\" does not name \"%s\"", text, *words);
}
#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void test_no_limit(void **state) {
        struct quota_account *a = quota_account_get(&quotas, 1);
        struct quota_charge c = { 0 };

        (void)state;
        assert_int_equal(quota_charge(&c, a, QUOTA_BYTES, UINT64_MAX), 0);
        assert_int_equal(quota_charge(&c, a, QUOTA_BYTES, 1), QUOTA_E_ALL);
        quota_release(&c);
        quota_release(&c);
        quota_account_unref(a);
}

static void test_one_users_own(void **state) {
        struct quota_account *a = quota_account_get(&quotas, 1);
        struct quota_charge c[3] = { 0 };

        (void)state;
        quotas.limits[QUOTA_SEGMENTS].user = 2;
        assert_int_equal(quota_charge(&c[0], a, QUOTA_SEGMENTS, 1), 0);
        assert_int_equal(quota_charge(&c[1], a, QUOTA_SEGMENTS, 2), QUOTA_E_USER);
        assert_int_equal(quota_charge(&c[1], a, QUOTA_SEGMENTS, 1), 0);
        assert_int_equal(quota_charge(&c[2], a, QUOTA_SEGMENTS, 1), QUOTA_E_USER);
        assert_null(c[2].account);
        assert_words(a, QUOTA_SEGMENTS, 1, WORDS("uid 1 ", "2 segments", "may have 2", "--user-segments"));
        /* Other resources have limits of their own. */
        assert_int_equal(quota_charge(&c[2], a, QUOTA_HANDLES, 3), 0);
        for (int i = 0; i < 3; i++)
                quota_release(&c[i]);
        quota_account_unref(a);
}

/* Alone one gets half; each that comes gets half of what is left then; all get as much when they share anew. */
static void test_share(void **state) {
        struct quota_account *a = quota_account_get(&quotas, 1), *b = quota_account_get(&quotas, 2);
        struct quota_charge of_a = { 0 }, of_b = { 0 };

        (void)state;
        quotas.limits[QUOTA_CLIENTS].all = 12;
        for (int i = 0; i < 6; i++)
                assert_int_equal(quota_charge(&of_a, a, QUOTA_CLIENTS, 1), 0);
        assert_int_equal(quota_charge(&of_a, a, QUOTA_CLIENTS, 1), QUOTA_E_SHARE);
        assert_words(a, QUOTA_CLIENTS, 1, WORDS("uid 1 ", "6 clients", "of the 12", "6 are left", "--max-clients"));
        for (int i = 0; i < 3; i++)
                assert_int_equal(quota_charge(&of_b, b, QUOTA_CLIENTS, 1), 0);
        assert_int_equal(quota_charge(&of_b, b, QUOTA_CLIENTS, 1), QUOTA_E_SHARE);
        quota_reduce(&of_a, 2);
        assert_int_equal(quota_charge(&of_b, b, QUOTA_CLIENTS, 1), 0);
        assert_int_equal(quota_charge(&of_b, b, QUOTA_CLIENTS, 1), QUOTA_E_SHARE);
        assert_int_equal(of_a.amount, 4);
        assert_int_equal(of_b.amount, 4);
        quota_release(&of_a);
        quota_release(&of_b);
        quota_account_unref(a);
        quota_account_unref(b);
}

/* Root and the daemon's own uid get all there is, but no more. */
static void test_unbound(void **state) {
        struct quota_account *root = quota_account_get(&quotas, 0), *own = quota_account_get(&quotas, 99);
        struct quota_charge of_root = { 0 }, of_own = { 0 };

        (void)state;
        quotas.limits[QUOTA_BYTES] = (struct quota_limit){ .all = 100, .user = 10 };
        assert_int_equal(quota_charge(&of_root, root, QUOTA_BYTES, 60), 0);
        assert_int_equal(quota_charge(&of_own, own, QUOTA_BYTES, 41), QUOTA_E_ALL);
        assert_words(own, QUOTA_BYTES, 41, WORDS("all users", "60 bytes", "may have 100", "41 more", "--max-bytes"));
        assert_int_equal(quota_charge(&of_own, own, QUOTA_BYTES, 40), 0);
        quota_release(&of_root);
        quota_release(&of_own);
        quota_account_unref(root);
        quota_account_unref(own);
}

/* Limits may be lowered below what is used: nothing more then, and no wrap-around. */
static void test_lowered(void **state) {
        struct quota_account *a = quota_account_get(&quotas, 1), *root = quota_account_get(&quotas, 0);
        struct quota_charge c = { 0 };

        (void)state;
        assert_int_equal(quota_charge(&c, a, QUOTA_BYTES, 100), 0);
        quotas.limits[QUOTA_BYTES].user = 50;
        assert_int_equal(quota_check(a, QUOTA_BYTES, 1), QUOTA_E_USER);
        assert_int_equal(quota_check(a, QUOTA_BYTES, 0), QUOTA_E_USER);
        quotas.limits[QUOTA_BYTES].all = 50;
        assert_int_equal(quota_check(a, QUOTA_BYTES, 1), QUOTA_E_ALL);
        assert_int_equal(quota_check(root, QUOTA_BYTES, 1), QUOTA_E_ALL);
        quota_release(&c);
        quota_account_unref(a);
        quota_account_unref(root);
}

static void test_leaving(void **state) {
        struct quota_account *a = quota_account_get(&quotas, 1);
        struct quota_charge c = { 0 }, d = { 0 };

        (void)state;
        quotas.limits[QUOTA_BYTES].user = 100;
        assert_int_equal(quota_charge(&c, a, QUOTA_BYTES, 80), 0);
        assert_int_equal(quota_charge(&d, a, QUOTA_BYTES, 30), QUOTA_E_USER);
        quota_leave(&c);
        /* It counts still. */
        assert_int_equal(quota_charge(&d, a, QUOTA_BYTES, 30), QUOTA_E_SOON);
        assert_int_equal(quota_charge(&d, a, QUOTA_BYTES, 101), QUOTA_E_USER);
        assert_int_equal(quota_charge(&d, a, QUOTA_BYTES, 20), 0);
        assert_int_equal(n_left, 0);
        quota_release(&c);
        assert_int_equal(n_left, 1);
        assert_int_equal(quota_charge(&d, a, QUOTA_BYTES, 30), 0);
        quota_release(&d);
        assert_int_equal(n_left, 1);
        quota_account_unref(a);
}

/* All charges go to another, or none. */
static void test_transfer(void **state) {
        struct quota_account *a = quota_account_get(&quotas, 1), *b = quota_account_get(&quotas, 2);
        struct quota_account *root = quota_account_get(&quotas, 0);
        enum quota_resource which = QUOTA_RESOURCES;
        struct quota_charge c[2] = { 0 };

        (void)state;
        quotas.limits[QUOTA_SEGMENTS].all = 8;
        quotas.limits[QUOTA_BYTES].user = 100;
        assert_int_equal(quota_charge(&c[0], root, QUOTA_SEGMENTS, 1), 0);
        assert_int_equal(quota_charge(&c[1], root, QUOTA_BYTES, 101), 0);
        assert_int_equal(quota_transfer(c, 2, root, &which), 0);
        assert_int_equal(quota_transfer(c, 2, a, &which), QUOTA_E_USER);
        assert_int_equal(which, QUOTA_BYTES);
        assert_int_equal(root->used[QUOTA_SEGMENTS], 1);
        assert_int_equal(root->used[QUOTA_BYTES], 101);
        assert_int_equal(a->used[QUOTA_SEGMENTS], 0);
        quota_reduce(&c[1], 1);
        assert_int_equal(quota_transfer(c, 2, a, &which), 0);
        assert_int_equal(root->used[QUOTA_SEGMENTS], 0);
        assert_int_equal(root->used[QUOTA_BYTES], 0);
        assert_int_equal(a->used[QUOTA_SEGMENTS], 1);
        assert_int_equal(a->used[QUOTA_BYTES], 100);
        assert_int_equal(quotas.used[QUOTA_SEGMENTS], 1);
        assert_int_equal(quotas.used[QUOTA_BYTES], 100);
        /* What changes hands was taken before: it leaves no less to the others. */
        quotas.limits[QUOTA_SEGMENTS].all = 1;
        assert_int_equal(quota_transfer(c, 2, b, &which), QUOTA_E_SHARE);
        assert_int_equal(which, QUOTA_SEGMENTS);
        quotas.limits[QUOTA_SEGMENTS].all = 2;
        assert_int_equal(quota_transfer(c, 2, b, &which), 0);
        assert_int_equal(b->used[QUOTA_BYTES], 100);
        for (int i = 0; i < 2; i++)
                quota_release(&c[i]);
        quota_account_unref(a);
        quota_account_unref(b);
        quota_account_unref(root);
}

/* ---- random, against a model ------------------------------------------------------------------------------------ */

struct model {
        struct quota_account *account[USERS]; /* uid 0, then others */
        struct quota_charge charge[CHARGES];
        unsigned owner[CHARGES]; /* of those with an amount */
        uint64_t amount[CHARGES];
        bool leaving[CHARGES];
        enum quota_resource resource[CHARGES];
};

static uint64_t sum(const struct model *m, unsigned user, enum quota_resource resource, bool leaving) {
        uint64_t n = 0;

        for (unsigned i = 0; i < CHARGES; i++)
                if (m->amount[i] && m->resource[i] == resource && (user == USERS || m->owner[i] == user) &&
                    (!leaving || m->leaving[i]))
                        n += m->amount[i];
        return n;
}

/* In numbers that cannot overflow. */
static int expected(const struct model *m, unsigned user, enum quota_resource resource, uint64_t amount, bool soon) {
        const struct quota_limit *l = &quotas.limits[resource];
        uint64_t all = sum(m, USERS, resource, false) - (soon ? sum(m, USERS, resource, true) : 0) + amount;
        uint64_t own = sum(m, user, resource, false) - (soon ? sum(m, user, resource, true) : 0) + amount;
        int r = all > l->all                                 ? QUOTA_E_ALL
                : user == 0                                  ? 0
                : own > l->user                              ? QUOTA_E_USER
                : l->all != UINT64_MAX && own > l->all - all ? QUOTA_E_SHARE
                                                             : 0;

        return r && !soon && expected(m, user, resource, amount, true) == 0 ? QUOTA_E_SOON : r;
}

static void test_model(void **state) {
        struct random rnd = random_seeded("quota");
        struct model *m = calloc(1, sizeof(*m));
        unsigned outcomes[QUOTA_E_SOON + 1] = { 0 };

        (void)state;
        assert_non_null(m);
        quotas.limits[QUOTA_SEGMENTS] = (struct quota_limit){ .all = 20, .user = 5 };
        quotas.limits[QUOTA_BYTES] = (struct quota_limit){ .all = 300, .user = UINT64_MAX };
        quotas.limits[QUOTA_CLIENTS] = (struct quota_limit){ .all = UINT64_MAX, .user = 10 };
        for (unsigned i = 0; i < USERS; i++)
                m->account[i] = quota_account_get(&quotas, i);
        for (unsigned step = 0; step < STEPS; step++) {
                unsigned i = (unsigned)random_below(&rnd, CHARGES);
                struct quota_charge *c = &m->charge[i];

                if (!m->amount[i]) {
                        unsigned user = (unsigned)random_below(&rnd, USERS);
                        enum quota_resource resource = (enum quota_resource)random_below(&rnd, QUOTA_CLIENTS + 1);
                        uint64_t amount = 1 + random_below(&rnd, resource == QUOTA_BYTES ? 50 : 2);
                        int r = quota_charge(c, m->account[user], resource, amount);

                        assert_int_equal(r, expected(m, user, resource, amount, false));
                        outcomes[r]++;
                        if (r == 0) {
                                m->owner[i] = user;
                                m->resource[i] = resource;
                                m->amount[i] = amount;
                                m->leaving[i] = false;
                        }
                } else if (!m->leaving[i] && random_below(&rnd, 8) == 0) {
                        quota_leave(c);
                        m->leaving[i] = true;
                } else {
                        quota_release(c);
                        m->amount[i] = 0;
                }
                for (int r = 0; r <= QUOTA_CLIENTS; r++)
                        assert_int_equal(quotas.used[r], sum(m, USERS, (enum quota_resource)r, false));
        }
        for (int r = 0; r <= QUOTA_E_SOON; r++)
                assert_true(outcomes[r] > 100);
        for (unsigned i = 0; i < CHARGES; i++)
                quota_release(&m->charge[i]);
        for (unsigned i = 0; i < USERS; i++)
                quota_account_unref(m->account[i]);
        free(m);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_no_limit), TEST(test_one_users_own), TEST(test_share),    TEST(test_unbound),
                TEST(test_lowered),  TEST(test_leaving),       TEST(test_transfer), TEST(test_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
