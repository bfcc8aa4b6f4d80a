#define _GNU_SOURCE
#include "daemon/options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/log.h"

#define SOCKET_NAME "shmd.sock"
#define MAX_SEGMENTS 16384
#define MAX_CLIENTS 4096

enum {
        OPTION_SOCKET = 256,
        OPTION_MAX_SEGMENTS,
        OPTION_MAX_BYTES,
        OPTION_MAX_SEGMENT_BYTES,
        OPTION_MAX_CLIENTS,
        OPTION_LOG_LEVEL,
        OPTION_HELP,
        OPTION_VERSION,
};

static const struct option long_options[] = {
        { "socket", required_argument, NULL, OPTION_SOCKET },
        { "max-segments", required_argument, NULL, OPTION_MAX_SEGMENTS },
        { "max-bytes", required_argument, NULL, OPTION_MAX_BYTES },
        { "max-segment-bytes", required_argument, NULL, OPTION_MAX_SEGMENT_BYTES },
        { "max-clients", required_argument, NULL, OPTION_MAX_CLIENTS },
        { "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { 0 },
};

static void print_help(void) {
        printf("Usage: shmd [OPTION]...\n"
               "Hand out named shared memory segments to the clients of a socket, until SIGTERM or SIGINT.\n"
               "\n"
               "  --socket PATH             listen here; otherwise in the directory $RUNTIME_DIRECTORY,\n"
               "                            $XDG_RUNTIME_DIR/shmd or /run/shmd, as " SOCKET_NAME "\n"
               "  --max-segments N          segments there may be (%d)\n"
               "  --max-bytes SIZE          bytes that all of them may have (3/4 of the memory that the\n"
               "                            service may use)\n"
               "  --max-segment-bytes SIZE  bytes that one of them may have (no limit of its own)\n"
               "  --max-clients N           connections there may be (%d)\n"
               "  --log-level LEVEL         error, warning, notice, info or debug (info)\n"
               "  --help                    print this\n"
               "  --version                 print the version\n"
               "\n"
               "SIZE is in bytes, or with K, M, G or T behind it in units of 1024, 1024^2 and so on.\n",
               MAX_SEGMENTS, MAX_CLIENTS);
}

/* Return: false if it is not a number from 1 up, with nothing behind it (or, @scaled, a unit). */
static bool parse_number(uint64_t *out, const char *text, bool scaled) {
        static const char units[] = "KMGT";
        const char *unit;
        unsigned shift = 0;
        unsigned long long n;
        char *end;

        if (text[0] < '0' || text[0] > '9')
                return false;
        errno = 0;
        n = strtoull(text, &end, 10);
        if (errno || n == 0)
                return false;
        if (scaled && *end && (unit = strchr(units, *end))) {
                shift = 10 * (unsigned)(unit - units + 1);
                end++;
        }
        if (*end || n > UINT64_MAX >> shift)
                return false;
        *out = (uint64_t)n << shift;
        return true;
}

/* Return: 0 or OPTIONS_E_WRONG. */
static int take_number(uint64_t *out, const char *option, const char *text, bool scaled) {
        if (parse_number(out, text, scaled))
                return 0;
        (void)fprintf(stderr, "shmd: --%s is '%s': it must be a number from 1 up%s\n", option, text,
                      scaled ? ", with K, M, G or T behind it or nothing" : "");
        return OPTIONS_E_WRONG;
}

/* Where the socket is unless --socket says otherwise. NULL: no memory. */
static char *default_socket(void) {
        const char *directory = getenv("RUNTIME_DIRECTORY");
        char *path = NULL;
        int r;

        if (directory && *directory) {
                /* systemd separates several by colons. */
                r = asprintf(&path, "%.*s/" SOCKET_NAME, (int)strcspn(directory, ":"), directory);
        } else {
                directory = getenv("XDG_RUNTIME_DIR");
                r = asprintf(&path, "%s/shmd/" SOCKET_NAME, directory && *directory ? directory : "/run");
        }
        return r < 0 ? NULL : path;
}

static int take(struct options *o, int option, const char *name, const char *value) {
        switch (option) {
        case OPTION_SOCKET:
                if (!*value) {
                        (void)fprintf(stderr, "shmd: --socket is empty: it must be the path of a socket\n");
                        return OPTIONS_E_WRONG;
                }
                free(o->socket);
                o->socket = strdup(value);
                return o->socket ? 0 : -ENOMEM;
        case OPTION_MAX_SEGMENTS:
                return take_number(&o->max_segments, name, value, false);
        case OPTION_MAX_BYTES:
                return take_number(&o->max_bytes, name, value, true);
        case OPTION_MAX_SEGMENT_BYTES:
                return take_number(&o->max_segment_bytes, name, value, true);
        case OPTION_MAX_CLIENTS:
                return take_number(&o->max_clients, name, value, false);
        case OPTION_LOG_LEVEL:
                o->log_level = log_level(value);
                if (o->log_level >= 0)
                        return 0;
                (void)fprintf(stderr, "shmd: --log-level is '%s': it must be error, warning, notice, info or debug\n",
                              value);
                return OPTIONS_E_WRONG;
        case OPTION_HELP:
                print_help();
                return OPTIONS_E_DONE;
        case OPTION_VERSION:
                printf("shmd %s\n", SHMD_VERSION);
                return OPTIONS_E_DONE;
        default:
                /* getopt_long() has said what is wrong. */
                (void)fprintf(stderr, "Try 'shmd --help'.\n");
                return OPTIONS_E_WRONG;
        }
}

int options_parse(struct options *o, int argc, char **argv) {
        int option;
        int index = 0;

        *o = (struct options){
                .max_segments = MAX_SEGMENTS,
                .max_segment_bytes = UINT64_MAX,
                .max_clients = MAX_CLIENTS,
                .log_level = LOG_INFO,
        };
        while ((option = getopt_long(argc, argv, "", long_options, &index)) >= 0) {
                int r = take(o, option, long_options[index].name, optarg);

                if (r)
                        return r;
        }
        if (optind < argc) {
                (void)fprintf(stderr, "shmd: '%s' is one word too many: there are only options, see 'shmd --help'\n",
                              argv[optind]);
                return OPTIONS_E_WRONG;
        }
        if (!o->socket)
                o->socket = default_socket();
        return o->socket ? 0 : -ENOMEM;
}

void options_deinit(struct options *o) {
        free(o->socket);
        o->socket = NULL;
}
