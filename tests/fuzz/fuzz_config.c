/*
 * fuzz_config.c -- the configuration file: what an administrator may write, and what he may not.
 *
 * An input is the file, as it is. Read twice it must come to the same: values that make sense, or a sentence that names
 * file and line.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/access.h"
#include "daemon/config.h"
#include "daemon/options.h"
#include "proto/name.h"
#include "tests/fuzz/feed.h"

static char path[64];
static int file;

static void set_up(void) {
        file = memfd_create("conf", MFD_CLOEXEC);
        CHECK(file >= 0);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
}

static void check_sentence(const char *text, size_t room) {
        char place[80];
        char *end;

        CHECK(memchr(text, '\0', room));
        (void)snprintf(place, sizeof(place), "%s:", path);
        if (room < OPTIONS_TEXT_SIZE)
                return;
        CHECK(strncmp(text, place, strlen(place)) == 0);
        CHECK(strtoul(text + strlen(place), &end, 10) > 0);
        CHECK(strncmp(end, ": ", 2) == 0 && end[2]);
}

static void check_options(const struct options *o) {
        CHECK(!o->socket || *o->socket);
        CHECK(o->max_segments > 0 && o->max_segment_bytes > 0 && o->max_clients > 0);
        CHECK(o->log_level >= 0);
}

/* For any name there is an answer, and it is told. */
static void check_names(const struct naming *naming, const uint8_t *data, size_t size) {
        const struct peer somebody = { .uid = 60001, .gid = 60001 };
        char name[NAME_LENGTH_MAX + 1];
        char text[128];
        size_t n = 0;

        for (size_t i = 0; i < size && n < NAME_LENGTH_MAX && data[i] != '\n'; i++)
                if (data[i])
                        name[n++] = (char)data[i];
        name[n] = '\0';
        (void)naming_may_create(naming, name, &somebody);
        memset(text, 'x', sizeof(text));
        naming_explain(naming, name, text, 1 + size % sizeof(text));
        CHECK(memchr(text, '\0', 1 + size % sizeof(text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct options o;
        char text[OPTIONS_TEXT_SIZE];
        size_t room = size % 4 ? sizeof(text) : 1 + size % 97;
        int first;

        if (!file)
                set_up();
        CHECK(ftruncate(file, 0) == 0);
        CHECK(pwrite(file, data, size, 0) == (ssize_t)size);
        for (int i = 0; i < 2; i++) {
                int r;

                options_init(&o);
                memset(text, 'x', sizeof(text));
                r = config_read(&o, path, text, room);
                CHECK(r == 0 || r == OPTIONS_E_WRONG);
                CHECK(i == 0 || r == first);
                first = r;
                if (r) {
                        check_sentence(text, room);
                } else {
                        check_options(&o);
                        check_names(&o.naming, data, size);
                }
                options_deinit(&o);
        }
        return 0;
}
