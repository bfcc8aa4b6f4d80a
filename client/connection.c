#define _GNU_SOURCE
#include "client/connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "client/deadline.h"
#include "client/retry.h"
#include "client/socket.h"
#include "proto/cleanup.h"

/* A parent and its child would take each other's replies: the child gets a socket of its own at its next request. */
static void forget_in_child(struct fork_guard *guard) {
        struct shmd *conn = container_of(guard, struct shmd, guard);

        fd_close(STEAL_FD(conn->socket));
        conn->token = 0;
        (void)pthread_mutex_init(&conn->mutex, NULL);
}

static int ensure_connected(struct shmd *conn) {
        struct packet packet = { .bytes = conn->buffer, .capacity = sizeof(conn->buffer) };
        int r;

        if (conn->socket >= 0)
                return 0;
        r = socket_connect(&conn->socket, &conn->failure, 0, conn->token, DEADLINE_NEVER);
        if (r)
                return r;
        r = socket_welcome(conn->socket, &conn->failure, &packet, DEADLINE_NEVER);
        if (r)
                fd_close(STEAL_FD(conn->socket));
        return r;
}

/* It was there, and has not come back. */
static int fail_lost(struct shmd *conn, const struct retry *retry, int r) {
        if (!retry->lost_at || conn->socket >= 0 || (r != -ENOTCONN && r != -ECONNREFUSED && r != -ENOENT))
                return r;
        return failure_set(&conn->failure, -ENOTCONN,
                           "the daemon at %s has closed the connection, and has not come back within %d ms", conn->path,
                           SHMD_AWAY_MS);
}

static int call_once(struct shmd *conn, const void *request, uint16_t op, struct packet *packet) {
        int r = ensure_connected(conn);

        if (r)
                return r;
        *packet = (struct packet){ .bytes = conn->buffer, .capacity = sizeof(conn->buffer) };
        r = socket_send(conn->socket, &conn->failure, request, NULL, 0, DEADLINE_NEVER);
        if (r == 0)
                r = socket_reply(conn->socket, &conn->failure, packet, op, conn->serial, 0, DEADLINE_NEVER, false);
        if (r == -ENOTCONN || r == -EPROTO) /* nothing sensible comes from there any more */
                fd_close(STEAL_FD(conn->socket));
        return r;
}

int connection_call(struct shmd *conn, void *request, uint16_t op, size_t size, struct packet *packet) {
        struct retry retry = { 0 };
        int r;

        /* With the same serial each time: it takes effect once. */
        message_init(request, op, size, ++conn->serial);
        do
                r = call_once(conn, request, op, packet);
        while (r && conn->socket < 0 && retry_again(&retry, r, DEADLINE_NEVER));
        return fail_lost(conn, &retry, r);
}

static char *default_path(void) {
        const char *path = getenv("SHMD_SOCKET");
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        char *own;

        if (path && path[0])
                return strdup(path);
        if (runtime && runtime[0] == '/') {
                if (asprintf(&own, "%s/shmd/shmd.sock", runtime) < 0)
                        return NULL;
                if (access(own, F_OK) == 0)
                        return own;
                free(own);
        }
        return strdup("/run/shmd/shmd.sock");
}

int shmd_connect(struct shmd **out, const char *path) {
        struct retry retry = { 0 };
        struct shmd *conn;
        int r;

        *out = NULL;
        conn = calloc(1, sizeof(*conn));
        if (!conn)
                return -ENOMEM;
        conn->socket = -1;
        conn->guard.in_child = forget_in_child;
        (void)pthread_mutex_init(&conn->mutex, NULL);
        /* Nobody else must have the same, or he would get our results. Without one, a request that the daemon dies of
         * may take effect twice. */
        if (getrandom(&conn->token, sizeof(conn->token), GRND_NONBLOCK) != (ssize_t)sizeof(conn->token))
                conn->token = 0;
        conn->path = path ? strdup(path) : default_path();
        conn->failure.path = conn->path;
        r = conn->path ? fork_guard(&conn->guard) : -ENOMEM;
        if (r) {
                shmd_close(conn);
                return r;
        }
        *out = conn;
        do
                r = ensure_connected(conn);
        while (r && retry_again(&retry, r, DEADLINE_NEVER));
        return fail_lost(conn, &retry, r);
}

struct shmd *shmd_close(struct shmd *conn) {
        if (!conn)
                return NULL;
        fork_unguard(&conn->guard);
        fd_close(conn->socket);
        (void)pthread_mutex_destroy(&conn->mutex);
        free(conn->path);
        free(conn);
        return NULL;
}

const char *shmd_error(const struct shmd *conn) { return conn->failure.text; }
