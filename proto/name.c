#include "proto/name.h"

#include <stdio.h>
#include <string.h>

static int is_allowed(unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-' || c == '/';
}

int name_check(const char *name, size_t *at) {
        size_t part = 0; /* where the part between slashes began */

        *at = 0;
        if (name[0] == '\0')
                return NAME_E_EMPTY;
        if (name[0] == '/')
                return NAME_E_SLASH;
        for (size_t i = 0;; i++) {
                unsigned char c = (unsigned char)name[i];

                *at = i;
                if (c != '\0' && i == NAME_LENGTH_MAX)
                        return NAME_E_LONG;
                if (c != '\0' && !is_allowed(c))
                        return NAME_E_BYTE;
                if (c != '/' && c != '\0')
                        continue;
                if (i == part || (i == part + 2 && memcmp(name + part, "..", 2) == 0)) {
                        *at = part;
                        return NAME_E_PART;
                }
                if (c == '\0')
                        return 0;
                part = i + 1;
        }
}

int name_explain(char *text, size_t size, const char *name) {
        size_t at;
        int r = name_check(name, &at);

        switch (r) {
        case 0:
                (void)snprintf(text, size, "the name is valid");
                break;
        case NAME_E_EMPTY:
                (void)snprintf(text, size, "a segment's name has at least one byte");
                break;
        case NAME_E_LONG:
                (void)snprintf(text, size, "a segment's name has at most %d bytes, this one has more", NAME_LENGTH_MAX);
                break;
        case NAME_E_BYTE: {
                unsigned char c = (unsigned char)name[at];

                if (c > ' ' && c < 0x7f)
                        (void)snprintf(text, size, "byte %zu of the name is '%c': allowed are A-Z a-z 0-9 . _ / and -",
                                       at + 1, c);
                else
                        (void)snprintf(text, size,
                                       "byte %zu of the name is 0x%02x: allowed are A-Z a-z 0-9 . _ / and -", at + 1,
                                       c);
                break;
        }
        case NAME_E_SLASH:
                (void)snprintf(text, size, "byte 1 of the name is a slash: a name does not begin with one");
                break;
        default:
                (void)snprintf(text, size,
                               "the part of the name at byte %zu is empty or '..': between slashes stands a word",
                               at + 1);
                break;
        }
        return r;
}
