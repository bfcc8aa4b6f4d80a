/* main.c -- shmd-bench: what shmd costs, beside what the machine costs. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/shmd.h"
#include "tests/bench/figure.h"
#include "tests/bench/harness.h"
#include "tests/bench/links_compare.h"
#include "tests/bench/private_daemon.h"
#include "tests/bench/workload.h"

enum {
        OPTION_WORKLOAD = 256,
        OPTION_JSON,
        OPTION_QUICK,
        OPTION_COMPARE,
        OPTION_LIST,
        OPTION_HELP,
        OPTION_VERSION
};

static const struct workload *const workloads[] = {
        &workload_latency, &workload_stream, &workload_publish, &workload_fanout,
        &workload_open,    &workload_scale,  &workload_clients, &workload_allocation,
};

#define N_WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

static void print_help(void) {
        printf("Usage: shmd-bench [OPTION]...\n"
               "Measure shmd against what the machine itself takes, in the same run and round about.\n"
               "\n"
               "  --workload A,B,...  only these (see --list)\n"
               "  --json              a JSON object a line, rather than a table\n"
               "  --quick             a few seconds in all: enough to see that it works, not to believe the figures\n"
               "  --compare           also against what people use instead, where it is installed\n"
               "  --list              name the workloads, and what can be compared with\n"
               "  --help              print this\n"
               "  --version           print the version\n"
               "\n"
               "Needs two cores that nobody else uses. The status is 1 if it could not run; figures do not change it.\n");
}

static void print_list(void) {
        for (size_t i = 0; i < N_WORKLOADS; i++)
                printf("%c  %s\n", workloads[i]->letter, workloads[i]->what);
        links_list();
}

static const struct workload *find(const char *text, size_t length) {
        for (size_t i = 0; i < N_WORKLOADS && length == 1; i++)
                if (workloads[i]->letter == text[0] || workloads[i]->letter + 'a' - 'A' == text[0])
                        return workloads[i];
        return NULL;
}

/* Mark the workloads that @text names. */
static void choose(bool chosen[N_WORKLOADS], const char *text) {
        for (;;) {
                size_t length = strcspn(text, ",");
                const struct workload *w = find(text, length);

                if (!w)
                        fail("there is no workload '%.*s': it must be letters from A to %c with commas between them",
                             (int)length, text, workloads[N_WORKLOADS - 1]->letter);
                for (size_t i = 0; i < N_WORKLOADS; i++)
                        chosen[i] = chosen[i] || workloads[i] == w;
                if (!text[length])
                        return;
                text += length + 1;
        }
}

static pid_t starter;

/* Whatever ends the program, nothing stays behind. */
static void clean_up(void) {
        if (getpid() != starter)
                return; /* a process of ours that measured, and failed */
        links_stop();
        (void)daemon_stop();
}

int main(int argc, char **argv) {
        static const struct option long_options[] = {
                { "workload", required_argument, NULL, OPTION_WORKLOAD },
                { "json", no_argument, NULL, OPTION_JSON },
                { "quick", no_argument, NULL, OPTION_QUICK },
                { "compare", no_argument, NULL, OPTION_COMPARE },
                { "list", no_argument, NULL, OPTION_LIST },
                { "help", no_argument, NULL, OPTION_HELP },
                { "version", no_argument, NULL, OPTION_VERSION },
                { 0 },
        };
        bool chosen[N_WORKLOADS] = { false };
        struct options options = { 0 };
        bool any = false, json = false;
        int option;

        while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
                switch (option) {
                case OPTION_WORKLOAD:
                        choose(chosen, optarg);
                        any = true;
                        break;
                case OPTION_JSON:
                        json = true;
                        break;
                case OPTION_QUICK:
                        options.quick = true;
                        break;
                case OPTION_COMPARE:
                        options.compare = true;
                        break;
                case OPTION_LIST:
                        print_list();
                        return EXIT_SUCCESS;
                case OPTION_HELP:
                        print_help();
                        return EXIT_SUCCESS;
                case OPTION_VERSION:
                        printf("shmd-bench %s\n", SHMD_VERSION);
                        return EXIT_SUCCESS;
                default:
                        (void)fprintf(stderr, "Try shmd-bench --help.\n");
                        return EXIT_FAILURE;
                }
        }
        if (optind < argc)
                fail("'%s' is too much: all is said by options, see shmd-bench --help", argv[optind]);

        (void)signal(SIGPIPE, SIG_IGN);
        cores_choose();
        core_pin(CORE_NEAR);
        limits_raise();
        starter = getpid();
        if (atexit(clean_up))
                fail("no memory for an exit handler");
        figures_begin(json);
        shmd_close(daemon_connect()); /* from here on it runs, for all processes */
        if (options.compare)
                links_start();
        for (size_t i = 0; i < N_WORKLOADS; i++)
                if (chosen[i] || !any)
                        workloads[i]->run(&options);
        figures_end();
        return daemon_stop() ? EXIT_SUCCESS : EXIT_FAILURE;
}
