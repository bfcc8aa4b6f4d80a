#define _GNU_SOURCE
#include "daemon/request.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/connection.h"
#include "daemon/log.h"
#include "daemon/options.h"
#include "daemon/request_handler.h"
#include "daemon/result.h"
#include "daemon/segment.h"
#include "daemon/server.h"
#include "daemon/user.h"
#include "proto/cleanup.h"
#include "proto/name.h"
#include "proto/packet.h"

/* ---- a request's end -------------------------------------------------------------------------------------------- */

static struct request *request_free(struct request *r) {
        struct connection *c;

        if (!r)
                return NULL;
        c = r->connection;
        registry_forget(&c->server->registry, &r->waiter);
        if (r->queue)
                TAILQ_REMOVE(r->queue, r, queue_link);
        quota_release(&r->waiting);
        user_close(c->user, r->watch);
        free(r->list);
        if (c->request == r)
                c->request = NULL;
        free(r);
        return NULL;
}
DEFINE_CLEANUP(struct request *, request_free)

void request_finish_with_fds(struct request *r, struct proto_header *reply, size_t size, int *fds, size_t n_fds) {
        struct connection *c = r->connection;

        message_init(reply, r->message.header.op, size, r->message.header.serial);
        reply->n_fds = (uint32_t)n_fds;
        result_end(r, reply);
        request_free(r);
        connection_reply(c, reply, fds, n_fds);
        connection_update(c);
}

void request_finish(struct request *r, struct proto_header *reply, size_t size) {
        request_finish_with_fds(r, reply, size, NULL, 0);
}

void request_fail(struct request *r, int error, const char *format, ...) {
        struct connection *c = r->connection;
        struct proto_error reply = { 0 };
        va_list args;

        message_init(&reply.header, r->message.header.op, sizeof(reply), r->message.header.serial);
        reply.header.error = error;
        va_start(args, format);
        (void)vsnprintf(reply.text, sizeof(reply.text), format, args);
        va_end(args);
        request_free(r);
        connection_reply(c, &reply.header, NULL, 0);
        connection_update(c);
}

void request_fail_system(struct request *r, int error, const char *what) {
        request_fail(r, error, "the daemon cannot %s: %s", what, strerror(-error));
}

/* What would not survive a restart is not made. */
void request_fail_full(struct request *r) {
        const struct store *store = &r->connection->server->estate.store;

        if (store_is_there(store))
                request_fail(r, -ENOSPC,
                             "the service manager keeps %zu descriptors for the daemon, as many as it may "
                             "(FileDescriptorStoreMax=): one more would not survive a restart",
                             store->n);
        else
                request_fail(r, -ENOSPC, "the daemon's record has no room for another one");
}

bool request_fail_name(struct request *r, const char *name) {
        char text[PROTO_TEXT_SIZE];

        if (name_explain(text, sizeof(text), name) == 0)
                return false;
        request_fail(r, -EINVAL, "%s", text);
        return true;
}

struct quota_account *request_account(const struct request *r) {
        return r->connection->user->account;
}

void request_fail_quota(struct request *r, enum quota_resource resource, uint64_t amount, int outcome, int error,
                        const char *what) {
        char text[PROTO_TEXT_SIZE];

        quota_explain(text, sizeof(text), request_account(r), resource, amount, outcome);
        request_fail(r, outcome == QUOTA_E_ALL ? error : -EDQUOT, "cannot %s: %s", what, text);
}

static void enqueue(struct request *r, struct request_queue *queue) {
        r->queue = queue;
        TAILQ_INSERT_TAIL(queue, r, queue_link);
}

void request_put_off(struct request *r, struct request_queue *queue) {
        enqueue(r, queue);
        server_defer(r->connection->server);
        connection_update(r->connection);
}

void request_run_again(struct request *r) {
        enqueue(r, &r->connection->server->woken);
        server_defer(r->connection->server);
}

bool request_fail_waiting(struct request *r) {
        int outcome = r->waiting.account ? 0 : quota_charge(&r->waiting, request_account(r), QUOTA_WAITING, 1);

        if (outcome)
                request_fail_quota(r, QUOTA_WAITING, 1, outcome, -EDQUOT, "wait");
        return outcome != 0;
}

void request_starve(struct request *r) {
        if (request_fail_waiting(r))
                return;
        enqueue(r, &r->connection->server->starved);
        connection_update(r->connection);
}

static void on_wake(struct waiter *waiter) { request_run_again(container_of(waiter, struct request, waiter)); }

void request_wait(struct request *r, const char *name) {
        if (request_fail_waiting(r))
                return;
        r->waiter.wake = on_wake;
        registry_wait(&r->connection->server->registry, &r->waiter, name);
        connection_update(r->connection);
}

struct segment *request_find(struct request *r, const char *name) {
        struct segment *s = registry_find(&r->connection->server->registry, name);

        return s && s->state == SEGMENT_READY ? s : NULL;
}

gid_t request_admins(const struct request *r) { return r->connection->server->options->admins; }

/* ---- hello ------------------------------------------------------------------------------------------------------ */

static void request_hello(struct request *r) {
        struct connection *c = r->connection;
        struct proto_welcome reply = { .layout_version = LAYOUT_VERSION };

        if (r->message.hello.layout_version != LAYOUT_VERSION) {
                connection_violation(c, &r->message.header, -EPROTONOSUPPORT,
                                     "the client has version %" PRIu32
                                     " of the layout in memory, the daemon has %d: they must be the same",
                                     r->message.hello.layout_version, LAYOUT_VERSION);
                return;
        }
        if (r->message.hello.flags & ~PROTO_HELLO_QUIET) {
                connection_violation(c, &r->message.header, -EPROTO,
                                     "the flags of the hello are 0x%" PRIx32 ": only 0x%x is known here",
                                     r->message.hello.flags, PROTO_HELLO_QUIET);
                return;
        }
        connection_set_client(c, r->message.hello.client);
        result_find(c, r->message.hello.token);
        c->state = CONNECTION_READY;
        (void)event_del(&c->timer);
        if (r->message.hello.flags & PROTO_HELLO_QUIET) {
                request_free(r);
                connection_update(c);
                return;
        }
        (void)snprintf(reply.daemon, sizeof(reply.daemon), "shmd %s", SHMD_VERSION);
        request_finish(r, &reply.header, sizeof(reply));
}

/* ---- dispatch --------------------------------------------------------------------------------------------------- */

static void (*const handlers[PROTO_OP_REQUESTS])(struct request *r) = {
        [PROTO_OP_HELLO] = request_hello,     [PROTO_OP_CREATE] = request_create, [PROTO_OP_OPEN] = request_open,
        [PROTO_OP_STAT] = request_stat,       [PROTO_OP_LIST] = request_list,     [PROTO_OP_REMOVE] = request_remove,
        [PROTO_OP_CHMOD] = request_chmod,     [PROTO_OP_CHOWN] = request_chown,   [PROTO_OP_CLAIM] = request_claim,
        [PROTO_OP_REPLACE] = request_replace,
};

void request_run(struct request *r) {
        if (r->connection->state != CONNECTION_DEAD)
                handlers[r->message.header.op](r);
}

void request_receive(struct connection *c, struct packet *packet) {
        CLEANUP(request_freep) struct request *r = malloc(sizeof(*r));
        struct proto_header header = { 0 };
        const struct proto_header *reply;
        size_t size;
        int outcome;

        if (!r) {
                user_close(c->user, packet_take_fd(packet, 0));
                connection_give_up(c, "out of memory");
                return;
        }
        *r = (struct request){ .connection = c, .watch = packet_take_fd(packet, 0) };
        outcome = message_check(packet->bytes, packet->size, packet->n_fds);
        if (outcome != MESSAGE_E_SHORT)
                memcpy(&header, packet->bytes, sizeof(header));
        if (outcome == MESSAGE_E_VERSION) {
                connection_violation(
                        c, &header, -EPROTONOSUPPORT,
                        "the client has version %u of the protocol, the daemon has %d: they must be the same",
                        header.version, PROTO_VERSION);
                return;
        }
        if (outcome) {
                connection_violation(c, &header, -EPROTO, "the message %s", message_explain(outcome));
                return;
        }
        size = message_request_size(header.op);
        if (size == 0) {
                connection_violation(c, &header, -EPROTO, "the message asks for operation %u, which is not known here",
                                     header.op);
                return;
        }
        if ((c->state == CONNECTION_NEW) != (header.op == PROTO_OP_HELLO)) {
                connection_violation(c, &header, -EPROTO,
                                     c->state == CONNECTION_NEW ? "the first message is not a hello"
                                                                : "a second hello came");
                return;
        }
        if (r->watch >= 0 && header.op != PROTO_OP_OPEN && header.op != PROTO_OP_CLAIM) {
                connection_violation(c, &header, -EPROTO, "a descriptor came with a request that takes none");
                return;
        }
        outcome = message_extract(&r->message, size, packet->bytes, packet->size);
        if (outcome == 0)
                outcome = message_check_request(&r->message);
        if (outcome) {
                connection_violation(c, &header, -EPROTO, "the message %s", message_explain(outcome));
                return;
        }
        c->request = r;
        reply = result_of(r);
        if (reply) {
                request_free(STEAL_PTR(r));
                connection_reply(c, reply, NULL, 0);
                connection_update(c);
                return;
        }
        request_run(STEAL_PTR(r));
}

void request_abandon(struct request *r) {
        if (r->creation)
                request_abandon_creation(r->creation);
        if (r->claim)
                request_abandon_claim(r->claim);
        request_free(r);
}
