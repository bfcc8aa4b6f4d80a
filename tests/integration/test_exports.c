/* test_exports.c -- what libshmd.so shows is what libshmd.map lists and shmd.h declares, and shmd.h stands alone. */
#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/support.h"

#define NAMES_MAX 256

struct names {
        unsigned n;
        char name[NAMES_MAX][64];
};

static bool has(const struct names *names, const char *name) {
        for (unsigned i = 0; i < names->n; i++)
                if (strcmp(names->name[i], name) == 0)
                        return true;
        return false;
}

static void add(struct names *names, const char *name, size_t length) {
        char copy[64];

        assert_true(length < sizeof(copy));
        memcpy(copy, name, length);
        copy[length] = '\0';
        if (has(names, copy))
                return;
        assert_true(names->n < NAMES_MAX);
        memcpy(names->name[names->n++], copy, sizeof(copy));
}

static void assert_subset(const struct names *a, const char *a_is, const struct names *b, const char *b_is) {
        for (unsigned i = 0; i < a->n; i++)
                if (!has(b, a->name[i]))
                        fail_msg("%s is in %s, not in %s", a->name[i], a_is, b_is);
}

static size_t word_length(const char *p) {
        size_t n = 0;

        while (isalnum((unsigned char)p[n]) || p[n] == '_')
                n++;
        return n;
}

/* Exported symbols but for the version's own. */
static void read_library(struct names *names) {
        FILE *f = popen("nm -D --defined-only '" SHMD_LIBRARY "'", "re");
        char line[512];

        assert_non_null(f);
        while (fgets(line, sizeof(line), f)) {
                char *name = strrchr(line, ' ');
                char kind;

                assert_non_null(name);
                kind = name[-1];
                name++;
                if (kind == 'A')
                        continue;
                if (kind != 'T')
                        fail_msg("not a function: %s", line);
                add(names, name, word_length(name));
        }
        assert_int_equal(pclose(f), 0);
}

/* Words followed by @end; outside comments, and not below "local:". */
static void read_text(struct names *names, const char *path, char end) {
        FILE *f = fopen(path, "re");
        char line[512];
        bool comment = false;

        assert_non_null(f);
        while (fgets(line, sizeof(line), f) && strncmp(line, "local:", 6) != 0) {
                if (strstr(line, "/*"))
                        comment = true;
                for (const char *p = strstr(line, "shmd_"); p && !comment; p = strstr(p, "shmd_")) {
                        size_t n = word_length(p);

                        if (p[n] == end && (p == line || !isalnum((unsigned char)p[-1])))
                                add(names, p, n);
                        p += n;
                }
                if (strstr(line, "*/"))
                        comment = false;
        }
        (void)fclose(f);
}

static void test_symbols(void **state) {
        static struct names library, map, header;

        (void)state;
        read_library(&library);
        read_text(&map, SHMD_SOURCE_DIR "/client/libshmd.map", ';');
        read_text(&header, SHMD_SOURCE_DIR "/client/shmd.h", '(');
        assert_true(header.n > 20);
        assert_subset(&header, "shmd.h", &map, "libshmd.map");
        assert_subset(&map, "libshmd.map", &header, "shmd.h");
        assert_subset(&library, "libshmd.so", &map, "libshmd.map");
        assert_subset(&map, "libshmd.map", &library, "libshmd.so");
}

/* With the strictest dialects that applications use, and nothing included before it. */
static void test_header_stands_alone(void **state) {
        static const char *const compilers[] = {
                "cc -x c -std=c99",      "cc -x c -std=c17",    "c++ -x c++ -std=c++11",
                "c++ -x c++ -std=c++20", "clang -x c -std=c99",
        };

        (void)state;
        for (size_t i = 0; i < sizeof(compilers) / sizeof(compilers[0]); i++) {
                char command[512];
                int status;

                (void)snprintf(command, sizeof(command), "command -v %.*s >/dev/null", (int)strcspn(compilers[i], " "),
                               compilers[i]);
                if (system(command) != 0) {
                        print_message("no %s here: not tried\n", compilers[i]);
                        continue;
                }
                (void)snprintf(command, sizeof(command),
                               "printf '#include <shmd.h>\\n#include <shmd.h>\\n' | "
                               "%s -pedantic -Wall -Wextra -Wconversion -Werror -fsyntax-only -I'%s/client' -",
                               compilers[i], SHMD_SOURCE_DIR);
                status = system(command);
                if (status != 0)
                        fail_msg("status 0x%x of: %s", (unsigned)status, command);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_symbols),
                cmocka_unit_test(test_header_stands_alone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
