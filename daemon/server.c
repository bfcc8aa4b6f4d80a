#define _GNU_SOURCE
#include "daemon/server.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "daemon/connection.h"
#include "daemon/handover.h"
#include "daemon/inheritance.h"
#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/mapping.h"
#include "daemon/memory.h"
#include "daemon/options.h"
#include "daemon/restore.h"
#include "proto/cleanup.h"

#define DRAIN_MS 5000 /* without any job ending, at the end */

/* ---- the end of a turn ------------------------------------------------------------------------------------------ */

/* What one turn of the loop has put off: requests that go on, the dead, the notices. */
static void settle(struct server *server) {
        struct request_queue woken = TAILQ_HEAD_INITIALIZER(woken);
        struct request *r;
        struct connection *c;

        /* Those who are put off once more are for the next turn. */
        TAILQ_FOREACH (r, &server->woken, queue_link)
                r->queue = &woken;
        TAILQ_CONCAT(&woken, &server->woken, queue_link);
        while ((r = TAILQ_FIRST(&woken))) {
                TAILQ_REMOVE(&woken, r, queue_link);
                r->queue = NULL;
                request_run(r);
        }
        /* Telling those who are left may find more dead. */
        do {
                while ((c = TAILQ_FIRST(&server->dead))) {
                        TAILQ_REMOVE(&server->dead, c, link);
                        connection_free(c);
                        listeners_resume(server);
                }
                notice_flush(server);
        } while (!TAILQ_EMPTY(&server->dead));
        service_changed(server);
        if ((r = TAILQ_FIRST(&server->successors))) {
                TAILQ_REMOVE(&server->successors, r, queue_link);
                r->queue = NULL;
                request_hand_over(r);
        }
}

static void on_deferred(evutil_socket_t fd, short what, void *data) {
        (void)fd;
        (void)what;
        settle(data);
}

/* A timer of nothing, not an active event: it comes when the sockets have been looked at once more, so that what many
 * clients do at a time is told once. */
void server_defer(struct server *server) {
        static const struct timeval now = { 0 };

        if (!event_pending(&server->deferred, EV_TIMEOUT, NULL))
                (void)event_add(&server->deferred, &now);
}

void server_park(struct server *server, struct request *r) {
        r->queue = &server->parked;
        TAILQ_INSERT_TAIL(&server->parked, r, queue_link);
}

void server_unpark(struct server *server) {
        struct request *r;

        while ((r = TAILQ_FIRST(&server->parked))) {
                TAILQ_REMOVE(&server->parked, r, queue_link);
                r->queue = &server->woken;
                TAILQ_INSERT_TAIL(&server->woken, r, queue_link);
                server_defer(server);
        }
}

void server_add_connection(struct server *server, struct connection *c) {
        TAILQ_INSERT_TAIL(&server->connections, c, link);
        service_changed(server);
}

void server_bury_connection(struct server *server, struct connection *c) {
        TAILQ_REMOVE(&server->connections, c, link);
        TAILQ_INSERT_TAIL(&server->dead, c, link);
        server_defer(server);
}

void server_remove_segment(struct server *server, struct segment *s, const struct connection *by, const char *why) {
        struct log_about about = { .event = LOG_EVENT_REMOVED, .segment = s->name, .uid = &s->rule.uid };

        if (by)
                about = connection_about(by, LOG_EVENT_REMOVED, s->name);
        log_write(LOG_INFO, &about, "%s removed: %s", s->name, why);
        (void)segment_ref(s);
        registry_remove(&server->registry, s);
        estate_update_segment(&server->estate, s);
        if (s->n_handles > 0)
                notice_change(server, s, true);
        segment_unref(s);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static void on_end(evutil_socket_t number, short what, void *data) {
        struct server *server = data;

        (void)what;
        log_event(LOG_INFO, LOG_EVENT_ENDING, "ending: %s", strsignal((int)number));
        (void)event_base_loopbreak(server->base);
}

/* epoll: watches count against the uid that made them, and clients make theirs, so nobody can use up what this loop
 * needs. Only epoll tells of a hang-up without reading (EV_CLOSED), which is how a client that waits is seen to leave;
 * and poll() would cost a look at every idle client each turn. */
static struct event_base *make_base(void) {
        struct event_config *config = event_config_new();
        struct event_base *base = NULL;

        if (!config)
                return NULL;
        if (event_config_require_features(config, EV_FEATURE_EARLY_CLOSE) == 0 &&
            event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NOLOCK) == 0)
                base = event_base_new_with_config(config);
        event_config_free(config);
        return base;
}

static int handle_signals(struct server *server) {
        static const int numbers[] = { SIGTERM, SIGINT };

        (void)signal(SIGPIPE, SIG_IGN);
        (void)signal(SIGXFSZ, SIG_IGN); /* EFBIG tells as well */
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
                (void)evsignal_assign(&server->ends[i], server->base, numbers[i], on_end, server);
                if (event_add(&server->ends[i], NULL) < 0)
                        return -ENOMEM;
        }
        return mapping_guard();
}

/* Also when the options have changed: what is there stays, above the limits if need be. */
static void set_limits(struct server *server) {
        const struct options *o = server->options;
        struct quota_limit *limits = server->quotas.limits;

        limits[QUOTA_SEGMENTS] = (struct quota_limit){ .all = o->max_segments, .user = o->user_segments };
        limits[QUOTA_BYTES] = (struct quota_limit){
                .all = o->max_bytes ? o->max_bytes : memory_limit() / 4 * 3,
                .user = o->user_bytes,
        };
        limits[QUOTA_CLIENTS] = (struct quota_limit){ .all = o->max_clients, .user = o->user_clients };
        limits[QUOTA_HANDLES].user = o->user_handles;
        limits_fit(&limits[QUOTA_SEGMENTS], &limits[QUOTA_CLIENTS], &limits[QUOTA_HANDLES], server->fds_max);
        limits[QUOTA_GROUPS] = limits[QUOTA_HANDLES];
        limits[QUOTA_WAITING].user = o->user_waiting;
        limits[QUOTA_FLIGHT].all = server->fds_max;
}

void server_configure(struct server *server, struct options *fresh) {
        struct options old = *server->options;

        if (strcmp(fresh->socket, old.socket) != 0)
                log_notice("the socket stays where it is until the next start: %s", old.socket);
        *server->options = *fresh;
        server->options->socket = old.socket;
        old.socket = fresh->socket;
        *fresh = old;
        log_set_level(server->options->log_level);
        set_limits(server);
        server->listeners.complained = false;
}

void server_limit_store(struct server *server, uint64_t max) {
        if (max >= server->store_max)
                return;
        log_event(LOG_NOTICE, LOG_EVENT_LIMIT,
                  "FileDescriptorStoreMax= is %" PRIu64 ", and not %" PRIu64
                  " as the daemon was told (SHMD_STORE_MAX): no "
                  "more than %" PRIu64 " are stored",
                  max, server->store_max, max);
        server->store_max = max;
        store_limit(&server->estate.store, max);
}

static void on_left(struct quotas *quotas) {
        struct server *server = container_of(quotas, struct server, quotas);
        struct request *r;

        if (TAILQ_EMPTY(&server->starved))
                return;
        TAILQ_FOREACH (r, &server->starved, queue_link)
                r->queue = &server->woken;
        TAILQ_CONCAT(&server->woken, &server->starved, queue_link);
        server_defer(server);
}

static void serve(struct server *server) {
        const struct quota_limit *limits = server->quotas.limits;

        log_event(LOG_INFO, LOG_EVENT_READY,
                  "ready: %" PRIu64 " segments, %" PRIu64 " bytes, %" PRIu64 " clients at most",
                  limits[QUOTA_SEGMENTS].all, limits[QUOTA_BYTES].all, limits[QUOTA_CLIENTS].all);
        service_ready(server);
        unit_init(server);
        (void)event_base_dispatch(server->base);
        service_stopping(server);
        unit_deinit(server);
}

static void drop_all(struct server *server) {
        struct connection *c;

        while ((c = TAILQ_FIRST(&server->connections)))
                connection_drop(c);
        settle(server);
        while ((c = TAILQ_FIRST(&server->lingering))) {
                TAILQ_REMOVE(&server->lingering, c, link);
                connection_free(c);
        }
}

/* Everything that does not depend on the machine's state. */
static void init(struct server *server) {
        TAILQ_INIT(&server->connections);
        TAILQ_INIT(&server->dead);
        TAILQ_INIT(&server->lingering);
        TAILQ_INIT(&server->flights);
        TAILQ_INIT(&server->woken);
        TAILQ_INIT(&server->starved);
        TAILQ_INIT(&server->parked);
        TAILQ_INIT(&server->successors);
        (void)evtimer_assign(&server->deferred, server->base, on_deferred, server);
        notices_init(server);
        registry_init(&server->registry);
        quotas_init(&server->quotas, geteuid());
        server->quotas.left = on_left;
        set_limits(server);
        users_init(&server->users, &server->pool, &server->quotas);
        service_init(server);
        ghosts_init(server);
        results_init(&server->results, &server->estate, server->base);
        server->hosts = (struct segment_hosts){ &server->estate, &server->worker };
}

static void release(struct server *server) {
        (void)event_del(&server->deferred);
        notices_deinit(server);
        service_deinit(server);
        reload_deinit(server);
        for (size_t i = 0; i < sizeof(server->ends) / sizeof(server->ends[0]); i++)
                if (event_initialized(&server->ends[i]))
                        (void)event_del(&server->ends[i]);
        event_base_free(server->base);
        free(server->buffer);
}

/* Sockets and segments: what the instance before has left, or our own. */
static int inherit(struct server *server, struct handover *old, struct inheritance *in) {
        int r = -ENOENT;

        if (server->options->replace)
                r = handover_take(old, server, in);
        if (r == -ENOENT)
                r = listeners_init(server, server->options->socket, in);
        inheritance_sort(in);
        return r;
}

static int take_over(struct server *server) {
        struct handover old = { .socket = -1, .process = -1 };
        struct inheritance in = { 0 };
        int r = estate_init(&server->estate, server->base, server->store_max);

        listeners_prepare(server);
        if (r == 0)
                r = inherit(server, &old, &in);
        if (r == 0)
                r = restore(server, &in);
        if (r == 0 && old.socket >= 0 && server->n_refused > 0)
                r = -EBADMSG; /* the old instance goes on, with all of it */
        if (r == 0)
                r = handover_confirm(&old);
        if (r == 0)
                r = restore_finish(server);
        if (r == 0)
                r = listeners_start(server);
        handover_deinit(&old);
        inheritance_deinit(&in);
        if (r < 0)
                log_event(LOG_ERR, LOG_EVENT_START_FAILED, "cannot start: %s", strerror(-r));
        return r;
}

static int start_and_serve(struct server *server) {
        int r = handle_signals(server);

        if (r < 0)
                return r;
        r = worker_pool_init(&server->pool, server->base);
        if (r < 0)
                return r;
        r = worker_start(&server->worker, &server->pool);
        if (r < 0) {
                worker_pool_deinit(&server->pool);
                return r;
        }
        r = take_over(server);
        if (r == 0)
                serve(server);
        listeners_deinit(server);
        server->quotas.ending = true;
        server->estate.sealed = true;
        drop_all(server);
        ghosts_deinit(server);
        results_deinit(&server->results);
        if (!worker_pool_drain(&server->pool, DRAIN_MS)) {
                log_warning("a descriptor that a client has sent can be neither used nor closed: ending without that");
                _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
        }
        registry_deinit(&server->registry);
        worker_stop(&server->worker);
        (void)worker_pool_drain(&server->pool, 0);
        assert(RB_EMPTY(&server->quotas.accounts));
        worker_pool_deinit(&server->pool);
        estate_deinit(&server->estate);
        return r;
}

int server_run(struct options *options, int argc, char **argv) {
        struct server server = { .options = options };
        int r;

        server.store_max = limits_store();
        server.fds_max = limits_raise();
        server.base = make_base();
        server.buffer = malloc(PROTO_MESSAGE_MAX);
        if (!server.base || !server.buffer) {
                if (server.base)
                        event_base_free(server.base);
                free(server.buffer);
                log_event(LOG_ERR, LOG_EVENT_START_FAILED, "cannot start: %s", strerror(ENOMEM));
                return -ENOMEM;
        }
        init(&server);
        r = reload_init(&server, argc, argv);
        if (r == 0)
                r = start_and_serve(&server);
        release(&server);
        return r;
}
