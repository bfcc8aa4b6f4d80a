/* test_log_limit.c -- how many lines a user may cause: at a clock that the test moves. */
#include "daemon/log_limit.h"
#include "tests/support.h"

#define SECOND 1000

struct limit {
        struct log_limit limit;
        uint64_t now;
        uint64_t left_out; /* as told last */
};

static int setup(void **state) {
        struct limit *l = calloc(1, sizeof(*l));

        assert_non_null(l);
        l->now = 1000000;
        *state = l;
        return 0;
}

static int teardown(void **state) {
        free(*state);
        return 0;
}

static int take(struct limit *l, uid_t uid) { return log_limit_take(&l->limit, uid, l->now, &l->left_out); }

/* Exactly so many lines pass, then it is said that others are left out, then nothing. */
static void expect_lines(struct limit *l, uid_t uid, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                assert_int_equal(take(l, uid), 0);
                assert_int_equal(l->left_out, 0);
        }
        assert_int_equal(take(l, uid), LOG_LIMIT_E_LAST);
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(take(l, uid), LOG_LIMIT_E_OUT);
}

static void test_a_flood_ends(void **state) {
        struct limit *l = *state;

        expect_lines(l, 1000, LOG_LIMIT_BURST);
        /* Others are not in it. */
        expect_lines(l, 1001, LOG_LIMIT_BURST);
}

static void test_it_comes_back_at_half(void **state) {
        struct limit *l = *state;

        expect_lines(l, 1000, LOG_LIMIT_BURST);
        for (unsigned i = 0; i < LOG_LIMIT_BURST / 2 / LOG_LIMIT_RATE - 1; i++) {
                l->now += SECOND;
                assert_int_equal(take(l, 1000), LOG_LIMIT_E_OUT);
        }
        l->now += SECOND;
        assert_int_equal(take(l, 1000), 0);
        assert_int_equal(l->left_out, 1001 + LOG_LIMIT_BURST / 2 / LOG_LIMIT_RATE - 1);
        expect_lines(l, 1000, LOG_LIMIT_BURST / 2 - 1);
}

static void test_it_fills_to_the_brim(void **state) {
        struct limit *l = *state;

        assert_int_equal(take(l, 1000), 0);
        l->now += UINT64_C(1000) * 365 * 24 * 3600 * SECOND;
        expect_lines(l, 1000, LOG_LIMIT_BURST);
}

/* Who stays below the rate is never left out. */
static void test_a_steady_user(void **state) {
        struct limit *l = *state;

        for (unsigned i = 0; i < 10000; i++) {
                l->now += SECOND / LOG_LIMIT_RATE;
                assert_int_equal(take(l, 1000), 0);
                assert_int_equal(l->left_out, 0);
        }
}

/* Thousands of them, each with a line of its own. */
static void test_all_together(void **state) {
        struct limit *l = *state;
        unsigned n = 0;

        for (uid_t uid = 0; uid < 10 * LOG_LIMIT_BURST_ALL; uid++)
                n += take(l, uid) == 0;
        assert_int_equal(n, LOG_LIMIT_BURST_ALL);
        for (unsigned i = 0; i < 3600; i++) {
                l->now += SECOND;
                for (uid_t uid = 0; uid < 100; uid++)
                        n += take(l, 1000000 + 100 * i + uid) == 0;
        }
        assert_true(n <= LOG_LIMIT_BURST_ALL + 3600 * LOG_LIMIT_RATE_ALL);
}

/* Of more users than are remembered the one that came last is still known. */
static void test_who_is_forgotten(void **state) {
        struct limit *l = *state;

        for (uid_t uid = 1; uid <= LOG_LIMIT_USERS; uid++) {
                l->now++;
                assert_int_equal(take(l, uid), 0);
        }
        l->now++;
        expect_lines(l, 1, LOG_LIMIT_BURST - 1);
        l->now++;
        assert_int_equal(take(l, 5000), 0); /* in the place of 2 */
        assert_int_equal(take(l, 1), LOG_LIMIT_E_OUT);
        expect_lines(l, 3, LOG_LIMIT_BURST - 1);
}

int main(void) {
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_a_flood_ends),  TEST(test_it_comes_back_at_half), TEST(test_it_fills_to_the_brim),
                TEST(test_a_steady_user), TEST(test_all_together),          TEST(test_who_is_forgotten),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
