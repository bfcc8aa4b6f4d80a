#include "daemon/reload.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/command.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "proto/cleanup.h"

static void start(struct server *server);

static int on_step(struct job *job) {
        struct reload *r = container_of(job, struct reload, job);

        r->outcome = command_parse(&r->options, r->argc, r->argv, r->text, sizeof(r->text));
        return 0;
}

static void on_done(struct job *job, int result) {
        struct reload *r = container_of(job, struct reload, job);
        struct server *server = container_of(r, struct server, reload);

        (void)result;
        if (r->outcome < 0)
                (void)snprintf(r->text, sizeof(r->text), "%s", strerror(-r->outcome));
        if (r->outcome == 0) {
                server_configure(server, &r->options);
                log_event(LOG_INFO, LOG_EVENT_RELOADED, "the configuration has been read anew");
        } else {
                log_event(LOG_ERR, LOG_EVENT_RELOAD_REFUSED, "the configuration stays as it was: %s", r->text);
        }
        options_deinit(&r->options);
        service_reloaded(server, r->outcome ? r->text : NULL);
        r->busy = false;
        if (r->again && !server->quotas.ending)
                start(server);
}

static void start(struct server *server) {
        struct reload *r = &server->reload;

        r->busy = true;
        r->again = false;
        r->job = (struct job){ .step = on_step, .done = on_done };
        service_reloading(server);
        worker_submit(&server->worker, &r->job);
}

static void on_signal(evutil_socket_t number, short what, void *data) {
        struct server *server = data;

        (void)number;
        (void)what;
        if (server->reload.busy)
                server->reload.again = true;
        else
                start(server);
}

int reload_init(struct server *server, int argc, char **argv) {
        struct reload *r = &server->reload;

        *r = (struct reload){ .argc = argc, .argv = argv };
        (void)evsignal_assign(&r->signal, server->base, SIGHUP, on_signal, server);
        return event_add(&r->signal, NULL) < 0 ? -ENOMEM : 0;
}

void reload_deinit(struct server *server) {
        if (event_initialized(&server->reload.signal))
                (void)event_del(&server->reload.signal);
}
