#include "daemon/command.h"

#include <getopt.h>
#include <stdio.h>

#include "daemon/config.h"
#include "daemon/options.h"

enum {
        WORD_CONFIG = OPTIONS, /* what is below is the index of an option */
        WORD_REPLACE,
        WORD_HELP,
        WORD_VERSION,
        WORDS,
};

static void print_help(void) {
        printf("Usage: shmd [OPTION]...\n"
               "Hand out named shared memory segments to the clients of a socket, until SIGTERM or SIGINT.\n"
               "\n"
               "  --config PATH             read this file; otherwise " CONFIG_NAME ", if there is one, in the\n"
               "                            directory $CONFIGURATION_DIRECTORY or " CONFIG_DIRECTORY "\n");
        options_print();
        printf("  --replace                 take over from the daemon that listens there, with all that it has;\n"
               "                            it ends, and clients go on\n"
               "  --help                    print this\n"
               "  --version                 print the version\n"
               "\n"
               "SIZE is in bytes, or with K, M, G or T behind it in units of 1024, 1024^2 and so on.\n"
               "\n"
               "The file has 'option = value' lines under [shmd], with all of the above but --config, --replace,\n"
               "--help and --version; what the command line says stands above it. Under [names] it has who may\n"
               "create names that begin so, such as 'cam/ = group video, user alice'; '* = nobody' for all others.\n"
               "SIGHUP has it read anew.\n");
}

static void fill_words(struct option *words) {
        for (enum options_index i = 0; i < OPTIONS; i++)
                words[i] = (struct option){ options_name(i), required_argument, NULL, (int)i };
        words[WORD_CONFIG] = (struct option){ "config", required_argument, NULL, WORD_CONFIG };
        words[WORD_REPLACE] = (struct option){ "replace", no_argument, NULL, WORD_REPLACE };
        words[WORD_HELP] = (struct option){ "help", no_argument, NULL, WORD_HELP };
        words[WORD_VERSION] = (struct option){ "version", no_argument, NULL, WORD_VERSION };
        words[WORDS] = (struct option){ 0 };
}

static int take(struct options *o, int word, const char **config, char *text, size_t size) {
        switch (word) {
        case WORD_CONFIG:
                *config = optarg;
                if (**config)
                        return 0;
                (void)snprintf(text, size, "--config is empty: it must be the path of a file");
                return OPTIONS_E_WRONG;
        case WORD_REPLACE:
                o->replace = true;
                return 0;
        case WORD_HELP:
                print_help();
                return OPTIONS_E_DONE;
        case WORD_VERSION:
                printf("shmd %s\n", SHMD_VERSION);
                return OPTIONS_E_DONE;
        case '?':
                (void)snprintf(text, size, "see 'shmd --help'"); /* getopt_long() has said what is wrong */
                return OPTIONS_E_WRONG;
        default:
                (void)snprintf(text, size, "--");
                return options_set(o, (enum options_index)word, optarg, text + 2, size - 2);
        }
}

/* All words from left to right: the last one counts. */
static int take_all(struct options *o, const char **config, int argc, char **argv, char *text, size_t size) {
        struct option words[WORDS + 1];
        int word;

        fill_words(words);
        optind = 0; /* from the beginning, as often as it is called */
        while ((word = getopt_long(argc, argv, "", words, NULL)) >= 0) {
                int r = take(o, word, config, text, size);

                if (r)
                        return r;
        }
        if (optind == argc)
                return 0;
        (void)snprintf(text, size, "'%s' is one word too many: there are only options, see 'shmd --help'",
                       argv[optind]);
        return OPTIONS_E_WRONG;
}

int command_parse(struct options *o, int argc, char **argv, char *text, size_t size) {
        const char *config = NULL;
        int r;

        options_init(o);
        /* Twice, because the file comes first, and the words tell which one it is. */
        r = take_all(o, &config, argc, argv, text, size);
        if (r)
                return r;
        r = config ? config_read(o, config, text, size) : config_read_default(o, text, size);
        if (r == 0)
                r = take_all(o, &config, argc, argv, text, size);
        return r ? r : options_complete(o);
}
