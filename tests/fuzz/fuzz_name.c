/* fuzz_name.c -- names, compared with a regular expression that says what one is. */
#include <regex.h>

#include "proto/name.h"
#include "tests/fuzz/feed.h"

static bool is_name(const char *name) {
        static regex_t allowed, dots;
        static bool ready;

        if (!ready) {
                CHECK(regcomp(&allowed, "^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$", REG_EXTENDED | REG_NOSUB) == 0);
                CHECK(regcomp(&dots, "(^|/)[.][.](/|$)", REG_EXTENDED | REG_NOSUB) == 0);
                ready = true;
        }
        return strlen(name) <= NAME_LENGTH_MAX && regexec(&allowed, name, 0, NULL, 0) == 0 &&
               regexec(&dots, name, 0, NULL, 0) != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *name = malloc(size + 1);
        char text[64];
        size_t at = SIZE_MAX;
        size_t room;
        int e;

        CHECK(name);
        if (size)
                memcpy(name, data, size);
        name[size] = '\0';
        e = name_check(name, &at);
        CHECK(e >= 0 && e <= NAME_E_PART);
        CHECK((e == 0) == is_name(name));
        CHECK(at <= strlen(name) && at <= NAME_LENGTH_MAX);
        /* In any room the sentence ends. */
        room = 1 + size % sizeof(text);
        memset(text, 'x', sizeof(text));
        CHECK(name_explain(text, room, name) == e);
        CHECK(memchr(text, '\0', room));
        free(name);
        return 0;
}
