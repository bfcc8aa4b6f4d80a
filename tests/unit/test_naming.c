/* test_naming.c -- rules for names: which one counts, whom it lets, how it is told. */
#include <string.h>

#include "daemon/naming.h"
#include "daemon/peer.h"
#include "proto/account.h"
#include "tests/support.h"

static gid_t teams[] = { 501, 502 };

static const struct peer alice = { .uid = 1001, .gid = 1001, .n_groups = 2, .groups = teams };
static const struct peer bob = { .uid = 1002, .gid = 501 };
static const struct peer carol = { .uid = 1003, .gid = 1003 };

static int setup(void **state) {
        static struct naming naming;

        *state = &naming;
        return 0;
}

static int teardown(void **state) {
        struct naming *naming = *state;

        naming_deinit(naming);
        assert_int_equal(naming->n, 0);
        assert_null(naming->grants);
        return 0;
}

static void rule(struct naming *naming, const char *prefix, const char *who) {
        char text[256] = "";

        if (naming_add(naming, prefix, who, text, sizeof(text)) != 0)
                fail_msg("%s = %s: %s", prefix, who, text);
}

static void expect(const struct naming *naming, const char *name, bool a, bool b, bool c) {
        if (naming_may_create(naming, name, &alice) != a || naming_may_create(naming, name, &bob) != b ||
            naming_may_create(naming, name, &carol) != c)
                fail_msg("%s: not for alice %d, bob %d, carol %d", name, a, b, c);
}

static void explained(const struct naming *naming, const char *name, const char *sentence) {
        char text[256];

        naming_explain(naming, name, text, sizeof(text));
        assert_string_equal(text, sentence);
}

static void test_no_rule(void **state) {
        expect(*state, "a", true, true, true);
        explained(*state, "a", "there is no rule for this name");
        rule(*state, "b", "nobody");
        expect(*state, "a", true, true, true);
}

static void test_kinds(void **state) {
        rule(*state, "u", "user 1001");
        rule(*state, "g", "group 501");
        rule(*state, "h", "group 502");
        rule(*state, "a", "any");
        rule(*state, "n", "nobody");
        rule(*state, "l", " user 1003 ,\tgroup  502 ");
        expect(*state, "u", true, false, false);
        expect(*state, "g", true, true, false);
        expect(*state, "h", true, false, false);
        expect(*state, "a", true, true, true);
        expect(*state, "n", false, false, false);
        expect(*state, "l", true, false, true);
        explained(*state, "ux", "names that begin with u are for user 1001");
        explained(*state, "a", "names that begin with a are for any");
        explained(*state, "n", "names that begin with n are for nobody");
        explained(*state, "l", "names that begin with l are for user 1003, group 502");
}

static void test_the_longest_counts(void **state) {
        rule(*state, "cam/front/", "user 1003");
        rule(*state, "*", "nobody");
        rule(*state, "cam/front", "any");
        rule(*state, "cam/", "user 1001");
        expect(*state, "x", false, false, false);
        expect(*state, "cam", false, false, false);
        expect(*state, "cam/a", true, false, false);
        expect(*state, "cam/fron", true, false, false);
        expect(*state, "cam/front", true, true, true);
        expect(*state, "cam/front2", true, true, true);
        expect(*state, "cam/front/x", false, false, true);
        explained(*state, "cam", "names for which there is no other rule are for nobody");
        explained(*state, "cam/front/x", "names that begin with cam/front/ are for user 1003");
}

/* Several lines of one prefix are one rule. */
static void test_lines_add_up(void **state) {
        rule(*state, "a", "user 1001");
        rule(*state, "ab", "any");
        rule(*state, "a", "user 1002, user 1001");
        expect(*state, "a", true, true, false);
        explained(*state, "a", "names that begin with a are for user 1001, user 1002, user 1001");
}

static void test_prefixes(void **state) {
        char longest[202], text[256];

        rule(*state, "a.", "any");
        rule(*state, "a/.", "any");
        rule(*state, "..", "any"); /* of "..a" */
        memset(longest, 'x', 201);
        longest[200] = '\0';
        rule(*state, longest, "nobody");
        expect(*state, longest, false, false, false);
        longest[199] = '/'; /* no name has room behind it */
        assert_int_equal(naming_add(*state, longest, "any", text, sizeof(text)), NAMING_E_WRONG);
        longest[199] = 'x';
        longest[200] = 'x';
        longest[201] = '\0';
        assert_int_equal(naming_add(*state, longest, "any", text, sizeof(text)), NAMING_E_WRONG);
        assert_non_null(strstr(text, "no name begins with"));
}

/* In any room the sentence ends. */
static void test_little_room(void **state) {
        char text[256];

        rule(*state, "a", "user 1001, user 1002, user 1003");
        for (size_t room = 1; room < sizeof(text); room++) {
                memset(text, 'x', sizeof(text));
                naming_explain(*state, "abc", text, room);
                assert_non_null(memchr(text, '\0', room));
                assert_int_equal(text[room], 'x');
                assert_int_equal(naming_add(*state, "b", "user", text, room), NAMING_E_WRONG);
                assert_non_null(memchr(text, '\0', room));
                assert_int_equal(text[room], 'x');
        }
}

static void test_accounts(void **state) {
        static const char *const wrong[] = {
                "", "-1", "+1", " 1", "1 ", "0x1", "4294967295", "4294967296", "18446744073709551617", "no such thing"
        };
        uint32_t id = 7;

        (void)state;
        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                assert_false(account_user(&id, wrong[i]));
                assert_false(account_group(&id, wrong[i]));
                assert_int_equal(id, 7);
        }
        assert_true(account_user(&id, "root"));
        assert_int_equal(id, 0);
        assert_true(account_user(&id, "4294967294"));
        assert_int_equal(id, 4294967294);
        assert_true(account_group(&id, "root"));
        assert_int_equal(id, 0);
        assert_true(account_group(&id, "00123456789"));
        assert_int_equal(id, 123456789);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_no_rule),  TEST(test_kinds),       TEST(test_the_longest_counts), TEST(test_lines_add_up),
                TEST(test_prefixes), TEST(test_little_room), TEST(test_accounts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
