/* parse.c -- numbers on the command line. */
#include "client/shmctl/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"

/* The digits at the beginning; strtoull() alone would take blanks and a minus too. False: none, or too many. */
static bool parse_digits(uint64_t *out, const char *text, int base, const char **rest) {
        char *end;

        if (*text < '0' || *text > '9')
                return false;
        errno = 0;
        *out = strtoull(text, &end, base);
        *rest = end;
        return errno == 0;
}

int parse_size(uint64_t *out, const struct verb *verb, const char *option, const char *text) {
        static const char suffixes[] = "KMGT";
        const char *rest, *suffix = NULL;
        uint64_t n;
        unsigned shift = 0;

        if (!parse_digits(&n, text, 10, &rest))
                goto wrong;
        if (*rest) {
                suffix = strchr(suffixes, *rest & ~0x20);
                if (!suffix || !*suffix || rest[1])
                        goto wrong;
                shift = 10 * (unsigned)(suffix - suffixes + 1);
        }
        if (n == 0 || n > UINT64_MAX >> shift)
                goto wrong;
        *out = n << shift;
        return STATUS_OK;
wrong:
        return report_usage(
                verb,
                "%s %s is not a size: it takes bytes from 1 to 2^64 - 1, such as 6220800, 4K or 6M (K M G T: powers of 1024)",
                option, text);
}

int parse_number(uint64_t *out, const struct verb *verb, const char *option, const char *text, uint64_t min,
                 uint64_t max) {
        const char *rest;
        uint64_t n;

        if (!parse_digits(&n, text, 10, &rest) || *rest || n < min || n > max)
                return report_usage(verb, "%s %s is not right: it takes a number from %" PRIu64 " to %" PRIu64, option,
                                    text, min, max);
        *out = n;
        return STATUS_OK;
}

int parse_mode(uint32_t *out, const struct verb *verb, const char *option, const char *text, uint32_t min) {
        const char *rest;
        uint64_t n;

        if (!parse_digits(&n, text, 8, &rest) || *rest || n < min || n > 0777)
                return report_usage(verb,
                                    "%s %s is not a mode: it takes permission bits in octal from %" PRIo32
                                    " to 777, such as 0640",
                                    option, text, min);
        *out = (uint32_t)n;
        return STATUS_OK;
}
