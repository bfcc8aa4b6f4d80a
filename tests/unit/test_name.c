/* test_name.c -- what a segment may be called, and what the sentence about a wrong name says. */
#include <string.h>

#include "proto/name.h"
#include "tests/support.h"

static void check(const char *name, int outcome, size_t offset) {
        size_t at = 12345;
        char text[256];

        assert_int_equal(name_check(name, &at), outcome);
        if (outcome)
                assert_int_equal(at, offset);
        assert_int_equal(name_explain(text, sizeof(text), name), outcome);
        assert_true(strlen(text) > 0);
}

static void test_valid(void **state) {
        char name[NAME_LENGTH_MAX + 2];

        (void)state;
        check("a", 0, 0);
        check("AZaz09._-", 0, 0);
        check("camera/left/raw.0", 0, 0);
        check(".", 0, 0);
        check("...", 0, 0);
        check("a/..b", 0, 0);
        check("a/b..", 0, 0);
        check("..a/b", 0, 0);
        check("-", 0, 0);
        memset(name, 'x', sizeof(name));
        name[NAME_LENGTH_MAX] = '\0';
        check(name, 0, 0);
}

static void test_length(void **state) {
        char name[NAME_LENGTH_MAX + 64];

        (void)state;
        check("", NAME_E_EMPTY, 0);
        memset(name, 'x', sizeof(name));
        name[NAME_LENGTH_MAX + 1] = '\0';
        check(name, NAME_E_LONG, NAME_LENGTH_MAX);
        name[NAME_LENGTH_MAX + 1] = 'x';
        name[sizeof(name) - 1] = '\0';
        check(name, NAME_E_LONG, NAME_LENGTH_MAX);
}

static void test_parts(void **state) {
        (void)state;
        check("/", NAME_E_SLASH, 0);
        check("/a", NAME_E_SLASH, 0);
        check("//", NAME_E_SLASH, 0);
        check("..", NAME_E_PART, 0);
        check("../a", NAME_E_PART, 0);
        check("a/..", NAME_E_PART, 2);
        check("a/../b", NAME_E_PART, 2);
        check("a//b", NAME_E_PART, 2);
        check("a/", NAME_E_PART, 2);
        check("ab/cd/", NAME_E_PART, 6);
}

static void test_each_byte(void **state) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/";

        (void)state;
        for (int c = 1; c < 256; c++)
                for (size_t where = 0; where < 3; where++) {
                        char name[] = "aba";

                        if (c == '/' && where != 1)
                                continue;
                        name[where] = (char)c;
                        check(name, strchr(allowed, c) ? 0 : NAME_E_BYTE, where);
                }
}

static void test_the_sentence_names_the_byte(void **state) {
        char text[256];
        char tight[8];

        (void)state;
        (void)name_explain(text, sizeof(text), "ab cd");
        assert_non_null(strstr(text, "byte 3"));
        assert_non_null(strstr(text, "0x20"));
        (void)name_explain(text, sizeof(text), "cam*");
        assert_non_null(strstr(text, "byte 4"));
        assert_non_null(strstr(text, "'*'"));
        (void)name_explain(text, sizeof(text), "a\xc3\xa4");
        assert_non_null(strstr(text, "byte 2"));
        assert_non_null(strstr(text, "0xc3"));
        (void)name_explain(text, sizeof(text), "a/../b");
        assert_non_null(strstr(text, "byte 3"));
        (void)name_explain(text, sizeof(text), "/a");
        assert_non_null(strstr(text, "byte 1"));
        memset(tight, 'x', sizeof(tight));
        (void)name_explain(tight, sizeof(tight), "a b");
        assert_int_equal(tight[sizeof(tight) - 1], '\0');
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_length),
                cmocka_unit_test(test_parts),
                cmocka_unit_test(test_each_byte),
                cmocka_unit_test(test_the_sentence_names_the_byte),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
