/* fuzz_shmctl.c -- sizes, numbers and modes on shmctl's command line, compared with the rules said another way. */
#include "client/shmctl/parse.h"
#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"
#include "tests/fuzz/feed.h"

/* In place of the sentence on stderr. */
int report_usage(const struct verb *verb, const char *format, ...) {
        (void)verb;
        (void)format;
        return STATUS_USAGE;
}

/* The digits of a base at the beginning, as a number. False: none, or it has no place in 64 bits. */
static bool digits(unsigned __int128 *n, const char **at, unsigned base) {
        const char *begin = *at;

        for (*n = 0; **at >= '0' && (unsigned)(**at - '0') < base; ++*at) {
                *n = *n * base + (unsigned)(**at - '0');
                if (*n > UINT64_MAX)
                        return false;
        }
        return *at != begin;
}

static bool is_size(uint64_t *out, const char *text) {
        unsigned __int128 n;
        unsigned shift = 0;

        if (!digits(&n, &text, 10))
                return false;
        switch (*text) {
        case 'T':
        case 't':
                shift += 10;
                __attribute__((fallthrough));
        case 'G':
        case 'g':
                shift += 10;
                __attribute__((fallthrough));
        case 'M':
        case 'm':
                shift += 10;
                __attribute__((fallthrough));
        case 'K':
        case 'k':
                shift += 10;
                text++;
                break;
        default:
                break;
        }
        n <<= shift;
        *out = (uint64_t)n;
        return *text == '\0' && n > 0 && n <= UINT64_MAX;
}

static bool is_number(uint64_t *out, const char *text, unsigned base, uint64_t min, uint64_t max) {
        unsigned __int128 n;

        if (!digits(&n, &text, base))
                return false;
        *out = (uint64_t)n;
        return *text == '\0' && n >= min && n <= max;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);
        uint64_t should = 0, n = 0;
        uint32_t mode = 0;

        CHECK(text);
        if (size)
                memcpy(text, data, size);
        text[size] = '\0';
        CHECK((parse_size(&n, NULL, "--size", text) == STATUS_OK) == is_size(&should, text));
        if (is_size(&should, text))
                CHECK(n == should);
        CHECK((parse_number(&n, NULL, "--slots", text, 1, 4096) == STATUS_OK) == is_number(&should, text, 10, 1, 4096));
        if (is_number(&should, text, 10, 1, 4096))
                CHECK(n == should);
        CHECK((parse_mode(&mode, NULL, "--mode", text, 1) == STATUS_OK) == is_number(&should, text, 8, 1, 0777));
        if (is_number(&should, text, 8, 1, 0777))
                CHECK(mode == should);
        free(text);
        return 0;
}
