/* main.c -- shmd: from the command line to the server and back. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/command.h"
#include "daemon/log.h"
#include "daemon/memory.h"
#include "daemon/options.h"
#include "daemon/server.h"

#define EXIT_USAGE 2

static void on_event_log(int severity, const char *text) {
        log_write(severity >= EVENT_LOG_WARN ? LOG_WARNING : LOG_DEBUG, NULL, "libevent: %s", text);
}

static int run(struct options *options, int argc, char **argv) {
        int r;

        log_open(options->log_level);
        event_set_log_callback(on_event_log);
        memory_init();
        r = server_run(options, argc, argv);
        memory_deinit();
        libevent_global_shutdown();
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Whoever restarts it at once, as its unit does so that clients do not notice, would do so without a pause for one that
 * cannot start. */
static void slow_down(void) {
        if (getenv("NOTIFY_SOCKET") && getenv("INVOCATION_ID"))
                (void)sleep(1);
}

/* As a service, to those who look for it in the journal; on a terminal as every program does. */
static void complain(const char *text) {
        log_open(LOG_ERR);
        if (log_is_journal())
                log_event(LOG_ERR, LOG_EVENT_START_FAILED, "cannot start: %s", text);
        else
                (void)fprintf(stderr, "shmd: %s\n", text);
}

int main(int argc, char **argv) {
        char text[OPTIONS_TEXT_SIZE];
        struct options options;
        int status;
        int r = command_parse(&options, argc, argv, text, sizeof(text));

        switch (r) {
        case 0:
                status = run(&options, argc, argv);
                break;
        case OPTIONS_E_DONE:
                status = EXIT_SUCCESS;
                break;
        case OPTIONS_E_WRONG:
                complain(text);
                status = EXIT_USAGE;
                break;
        default:
                complain(strerror(-r));
                status = EXIT_FAILURE;
                break;
        }
        options_deinit(&options);
        if (status != EXIT_SUCCESS)
                slow_down();
        return status;
}
