/* main.c -- shmctl: finds the verb and lets it do the rest. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "client/shmctl/output.h"
#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"

static const struct verb *const verbs[] = {
        &verb_create, &verb_list, &verb_stat, &verb_remove, &verb_chmod, &verb_chown, &verb_write, &verb_read,
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct verb *find(const char *name) {
        for (size_t i = 0; i < N_VERBS; i++)
                if (!strcmp(verbs[i]->name, name))
                        return verbs[i];
        return NULL;
}

static int print_help(void) {
        char text[2048];
        int n;

        n = snprintf(text, sizeof(text),
                     "Usage: shmctl [-s PATH] VERB [ARGUMENT...]\n"
                     "Named shared memory segments of the shmd daemon.\n"
                     "\n");
        for (size_t i = 0; i < N_VERBS; i++)
                n += snprintf(text + n, sizeof(text) - (size_t)n, "  %-8s %s\n", verbs[i]->name, verbs[i]->summary);
        (void)snprintf(text + n, sizeof(text) - (size_t)n,
                       "\n"
                       "  -s, --socket PATH  the daemon's socket; default: $SHMD_SOCKET, else\n"
                       "                     $XDG_RUNTIME_DIR/shmd/shmd.sock, else /run/shmd/shmd.sock\n"
                       "  -h, --help         print this; after a verb: its options\n"
                       "  -V, --version      print the version\n"
                       "\n"
                       "Exit status: 0 it worked, 1 it did not, 2 the command line makes no sense.\n");
        return output_text(text);
}

static int report_verb(const char *name) {
        char list[128] = "";

        for (size_t i = 0; i < N_VERBS; i++) {
                (void)strcat(list, i ? ", " : "");
                (void)strcat(list, verbs[i]->name);
        }
        if (name)
                return report_usage(NULL, "there is no verb %s, only %s", name, list);
        return report_usage(NULL, "the verb is missing, one of %s", list);
}

/* Whoever starts us without one of the standard descriptors must not find our socket in its place. What is opened
 * instead fails when it is used. */
static int guard_descriptors(void) {
        for (int fd = 0; fd <= 2; fd++) {
                if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
                        continue;
                /* It takes the lowest number, which is this one. */
                if (open("/dev/null", (fd == 0 ? O_WRONLY : O_RDONLY) | O_CLOEXEC) != fd)
                        return STATUS_FAILED;
        }
        return STATUS_OK;
}

int main(int argc, char **argv) {
        static const char short_options[] = "+:V" COMMAND_SHORT;
        static const struct option options[] = {
                { "version", no_argument, NULL, 'V' },
                COMMAND_LONG,
        };
        struct command cmd = { 0 };
        int option, status;

        if (guard_descriptors())
                return STATUS_FAILED;
        /* For characters in tables; numbers and sentences stay as they are. */
        (void)setlocale(LC_CTYPE, "");

        opterr = 0;
        while ((option = getopt_long(argc, argv, short_options, options, NULL)) != -1) {
                switch (option) {
                case 's':
                        cmd.socket = optarg;
                        break;
                case 'h':
                        return print_help();
                case 'V':
                        return output_text("shmctl " SHMD_VERSION "\n");
                default:
                        return command_report_option(NULL, option, argv, short_options);
                }
        }
        if (optind == argc)
                return report_verb(NULL);
        cmd.verb = find(argv[optind]);
        if (!cmd.verb)
                return report_verb(argv[optind]);
        argc -= optind;
        argv += optind;
        optind = 0; /* glibc: begin anew, with another vector */
        status = cmd.verb->exec(&cmd, argc, argv);
        if (output_close() && status == STATUS_OK)
                status = STATUS_FAILED;
        return status;
}
