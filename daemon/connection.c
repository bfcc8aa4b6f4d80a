#define _GNU_SOURCE
#include "daemon/connection.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/handle.h"
#include "daemon/notice.h"
#include "daemon/options.h"
#include "daemon/request.h"
#include "daemon/result.h"
#include "daemon/segment.h"
#include "daemon/server.h"
#include "daemon/user.h"
#include "proto/cleanup.h"
#include "proto/packet.h"

#define RETRY_MS 10
#define RETRY_MAX_MS 1000

const char *connection_name(const struct connection *c, char *text, size_t size) {
        (void)snprintf(text, size, "uid %u, pid %d%s%s%s", c->peer.uid, c->peer.pid, c->client[0] ? " (" : "",
                       c->client, c->client[0] ? ")" : "");
        return text;
}

struct log_about connection_about(const struct connection *c, enum log_event event, const char *segment) {
        return (struct log_about){ .event = event, .segment = segment, .peer = &c->peer, .client = c->client };
}

void connection_set_client(struct connection *c, const char *client) {
        (void)snprintf(c->client, sizeof(c->client), "%s", client);
        for (char *p = c->client; *p; p++)
                if (*p < ' ' || *p > '~')
                        *p = '?';
}

static void complain(struct connection *c, const char *what) {
        struct log_about about = connection_about(c, LOG_EVENT_DROPPED, NULL);
        char name[128];

        if (c->complained)
                return;
        c->complained = true;
        log_write(LOG_WARNING, &about, "%s: %s", connection_name(c, name, sizeof(name)), what);
}

void connection_give_up(struct connection *c, const char *why) {
        char text[192];

        (void)snprintf(text, sizeof(text), "dropped: %s", why);
        complain(c, text);
        connection_drop(c);
}

/* ---- what to wait for ------------------------------------------------------------------------------------------- */

static void on_event(evutil_socket_t fd, short what, void *data);

static bool is_busy(const struct connection *c) { return c->reply || c->request || c->reception; }

/* A client that goes before it has read all leaves an error, which libevent tells as reading and writing, not as closed. */
static bool has_failed(const struct connection *c) {
        struct pollfd p = { .fd = c->socket };

        return poll(&p, 1, 0) == 1 && p.revents & (POLLERR | POLLHUP);
}

/* While a request is under way nothing is read, and EV_CLOSED tells of a client that has gone, or an error, which comes
 * with EV_READ or EV_WRITE. The next request may be there to be read all the time: an edge is enough. */
void connection_update(struct connection *c) {
        short wanted = EV_READ;

        if (c->state == CONNECTION_DEAD)
                return;
        if (is_busy(c))
                wanted = c->full ? EV_CLOSED : EV_CLOSED | EV_READ | EV_ET;
        if (c->full)
                wanted |= EV_WRITE;
        if (wanted == c->wanted)
                return;
        if (c->wanted)
                (void)event_del(&c->event);
        c->wanted = 0;
        (void)event_assign(&c->event, c->server->base, c->socket, (short)(wanted | EV_PERSIST), on_event, c);
        if (event_add(&c->event, NULL) < 0) {
                connection_give_up(c, "out of memory");
                return;
        }
        c->wanted = wanted;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static struct reply *reply_free(struct reply *reply) {
        if (!reply)
                return NULL;
        for (size_t i = 0; i < reply->n_fds; i++)
                fd_close(reply->fds[i]);
        free(reply);
        return NULL;
}

int connection_send(struct connection *c, const struct proto_header *message, const int *fds, size_t n_fds) {
        struct flight_queue *flights = &c->server->flights;
        int r;

        if (n_fds && flight_begin(&c->flight, flights, c->user->account, n_fds))
                return -ETOOMANYREFS;
        r = packet_send(c->socket, message, message->size, fds, n_fds);
        if (r && n_fds)
                flight_cancel(&c->flight, flights, n_fds);
        if (r == 0)
                c->retry_ms = 0;
        return r;
}

static int unread(const struct connection *c) {
        int n = 0;

        return ioctl(c->socket, SIOCOUTQ, &n) < 0 ? 0 : n;
}

void connection_suspect(struct connection *c) {
        const struct timeval patience = { .tv_sec = (time_t)c->server->options->client_timeout };

        if (c->state == CONNECTION_DEAD || event_pending(&c->suspect, EV_TIMEOUT, NULL))
                return;
        c->unread = unread(c);
        (void)event_add(&c->suspect, &patience);
}

/* Having less to read than it had is a sign of life. */
static void on_patience_end(evutil_socket_t fd, short what, void *data) {
        struct connection *c = data;
        int left = unread(c);

        (void)fd;
        (void)what;
        if (left > 0 && left >= c->unread) {
                complain(c, "dropped: it does not read what it is sent");
                connection_drop(c);
        } else if (c->full || c->retrying) {
                connection_suspect(c);
        }
}

static bool try_again_later(struct connection *c) {
        c->retry_ms = c->retry_ms ? c->retry_ms * 2 : RETRY_MS;
        if (c->retry_ms > RETRY_MAX_MS)
                c->retry_ms = RETRY_MAX_MS;
        c->retrying = true;
        return event_add(&c->timer,
                         &(struct timeval){ .tv_sec = c->retry_ms / 1000, .tv_usec = c->retry_ms % 1000 * 1000L }) == 0;
}

/* A message has not been sent. Return: true if it may be tried again. */
static bool put_off(struct connection *c, int outcome) {
        char text[128];

        switch (outcome) {
        case PACKET_E_AGAIN:
                c->full = true;
                connection_suspect(c);
                return true;
        case -ETOOMANYREFS: /* too many descriptors are under way; only their receivers can change that */
        case -ENOBUFS:
        case -ENOMEM:
        case -EMFILE:
        case -ENFILE:
                connection_suspect(c);
                if (try_again_later(c))
                        return true;
                break;
        case PACKET_E_CLOSED:
                break;
        default:
                (void)snprintf(text, sizeof(text), "it cannot be sent to: %s", strerror(-outcome));
                connection_give_up(c, text);
                break;
        }
        connection_drop(c);
        return false;
}

static void push_notices(struct connection *c) {
        bool sent;
        int r;

        if (!c->handle || !c->handle->open)
                return;
        r = notice_send(c->handle, &sent);
        if (r)
                (void)put_off(c, r);
}

/* What a reply says is to be true after a restart as well. */
static int send_reply(struct connection *c, const struct proto_header *reply, const int *fds, size_t n_fds) {
        if (!store_is_settled(&c->server->estate.store))
                return -ENOBUFS;
        return connection_send(c, reply, fds, n_fds);
}

void connection_push(struct connection *c) {
        if (c->state == CONNECTION_DEAD || c->retrying || (c->reply && c->full))
                return;
        if (c->reply) {
                int r = send_reply(c, (const struct proto_header *)(const void *)c->reply->bytes, c->reply->fds,
                                   c->reply->n_fds);

                if (r) {
                        (void)put_off(c, r);
                        connection_update(c);
                        return;
                }
                c->reply = reply_free(c->reply);
        }
        push_notices(c);
        connection_update(c);
}

/* What could not be sent before is sent now. Nobody else raises the epoch for it. */
static void push_late(struct connection *c) {
        connection_push(c);
        if (c->handle && c->handle->open)
                segment_raise_epoch(c->handle->segment);
}

void connection_reply(struct connection *c, const struct proto_header *message, int *fds, size_t n_fds) {
        struct reply *reply = NULL;
        int r;

        if (c->state == CONNECTION_DEAD)
                goto out;
        r = c->full || c->retrying ? PACKET_E_AGAIN : send_reply(c, message, fds, n_fds);
        if (r == 0 || !put_off(c, r))
                goto out;
        reply = malloc(sizeof(*reply) + message->size);
        if (!reply) {
                connection_give_up(c, "out of memory");
                goto out;
        }
        reply->size = message->size;
        memcpy(reply->bytes, message, message->size);
        reply->n_fds = n_fds;
        if (n_fds)
                memcpy(reply->fds, fds, n_fds * sizeof(*fds));
        c->reply = reply;
        n_fds = 0;
out:
        for (size_t i = 0; i < n_fds; i++)
                fd_close(fds[i]);
}

void connection_violation(struct connection *c, const struct proto_header *request, int error, const char *format,
                          ...) {
        struct proto_error reply = { 0 };
        va_list args;

        message_init(&reply.header, request->op, sizeof(reply), request->serial);
        reply.header.error = error;
        va_start(args, format);
        (void)vsnprintf(reply.text, sizeof(reply.text), format, args);
        va_end(args);
        complain(c, reply.text);
        /* Nothing else is queued: it would not have been read from. Whether this still arrives is the client's affair. */
        (void)packet_send(c->socket, &reply, sizeof(reply), NULL, 0);
        connection_drop(c);
}

/* ---- receiving -------------------------------------------------------------------------------------------------- */

/* A message that brings descriptors is taken off the socket on its user's thread: the surplus ones are closed right
 * there, and even that may take for ever. */
struct reception {
        struct job job;
        struct user *user;             /* a reference */
        struct connection *connection; /* NULL: dropped meanwhile; the socket is ours then */
        int socket;
        struct quota_charge charge; /* the socket's, once it is ours */
        struct packet packet;
        _Alignas(8) unsigned char buffer[PROTO_MESSAGE_MAX];
};

/* A message has come, or why none has. Takes descriptors out of @packet. */
static void received(struct connection *c, struct packet *packet, int outcome) {
        static const struct proto_header none = { 0 };
        char text[128];

        switch (outcome) {
        case 0:
                request_receive(c, packet);
                break;
        case PACKET_E_AGAIN:
                break;
        case PACKET_E_CLOSED:
                connection_drop(c);
                break;
        case PACKET_E_LARGE:
                connection_violation(c, &none, -EPROTO, "the message is longer than %d bytes", PROTO_MESSAGE_MAX);
                break;
        case PACKET_E_FDS:
                connection_violation(c, &none, -EPROTO,
                                     "more than one descriptor came with the message, or the daemon has no more room "
                                     "for any");
                break;
        default:
                (void)snprintf(text, sizeof(text), "it cannot be received from: %s", strerror(-outcome));
                connection_give_up(c, text);
                break;
        }
        connection_update(c);
}

static int on_reception(struct job *job) {
        struct reception *reception = container_of(job, struct reception, job);

        return packet_receive(&reception->packet, reception->socket, 1);
}

static void on_reception_done(struct job *job, int result) {
        struct reception *reception = container_of(job, struct reception, job);
        struct connection *c = reception->connection;

        if (c)
                c->reception = NULL;
        else
                user_close_socket(reception->user, reception->socket, &reception->charge);
        if (c && c->state != CONNECTION_DEAD)
                received(c, &reception->packet, result);
        else
                user_close(reception->user, packet_take_fd(&reception->packet, 0));
        user_unref(reception->user);
        free(reception);
}

static void receive_with_fds(struct connection *c) {
        struct reception *reception = malloc(sizeof(*reception));
        int r = -ENOMEM;

        if (reception) {
                reception->job = (struct job){ .step = on_reception, .done = on_reception_done };
                reception->user = c->user;
                reception->connection = c;
                reception->socket = c->socket;
                reception->charge = (struct quota_charge){ 0 };
                reception->packet.bytes = reception->buffer;
                reception->packet.capacity = sizeof(reception->buffer);
                r = user_submit(c->user, &reception->job);
        }
        if (r < 0) {
                free(reception);
                connection_give_up(c, "no memory or no thread to receive its descriptor with");
                return;
        }
        c->user->n_refs++;
        c->reception = reception;
        connection_update(c);
}

static void receive(struct connection *c) {
        struct packet packet = { .bytes = c->server->buffer, .capacity = PROTO_MESSAGE_MAX };
        int r = packet_peek(&packet, c->socket, 0);

        if (r == PACKET_E_FDS) {
                receive_with_fds(c);
                return;
        }
        if (r == 0)
                r = packet_discard(c->socket);
        received(c, &packet, r);
}

static void on_event(evutil_socket_t fd, short what, void *data) {
        struct connection *c = data;

        (void)fd;
        if (c->state == CONNECTION_DEAD)
                return;
        if (what & EV_CLOSED || (what & EV_READ && is_busy(c) && has_failed(c))) {
                connection_drop(c);
                return;
        }
        if (what & EV_WRITE) {
                c->full = false;
                push_late(c);
        }
        if (what & EV_READ && !is_busy(c) && c->state != CONNECTION_DEAD)
                receive(c);
        service_changed(c->server);
}

static void on_timer(evutil_socket_t fd, short what, void *data) {
        struct connection *c = data;

        (void)fd;
        (void)what;
        if (c->state == CONNECTION_DEAD)
                return;
        if (c->retrying) {
                c->retrying = false;
                push_late(c);
        } else if (c->state == CONNECTION_NEW) {
                connection_give_up(c, "no hello came in time");
        }
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

void connection_refuse(struct user *user, int socket, int error, const char *text) {
        struct proto_error reply = { 0 };
        struct quota_charge none = { 0 };

        message_init(&reply.header, PROTO_OP_HELLO, sizeof(reply), 0);
        reply.header.error = error;
        (void)snprintf(reply.text, sizeof(reply.text), "%s", text);
        (void)packet_send(socket, &reply, sizeof(reply), NULL, 0);
        if (user)
                user_close_socket(user, socket, &none);
        else
                fd_close(socket);
}

/* One more than its user may have, or than all may have. */
static void refuse(const struct connection *c, int socket, int outcome) {
        struct quota_account *account = c->user->account;
        char text[PROTO_TEXT_SIZE];

        quota_explain(text, sizeof(text), account, QUOTA_CLIENTS, 1, outcome);
        if (!account->complained)
                log_write(LOG_WARNING, &(struct log_about){ .event = LOG_EVENT_TURNED_AWAY, .peer = &c->peer },
                          "clients are turned away: %s; this is said once", text);
        account->complained = true;
        connection_refuse(c->user, socket, outcome == QUOTA_E_ALL ? -EUSERS : -EDQUOT, text);
}

int connection_new(struct server *server, int socket) {
        const struct timeval patience = { .tv_sec = (time_t)server->options->client_timeout };
        CLEANUP(fd_closep) int own = socket;
        struct connection *c;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->server = server;
        r = peer_init(&c->peer, own);
        if (r < 0)
                goto fail;
        r = -ENOMEM;
        c->user = user_get(&server->users, c->peer.uid);
        if (!c->user)
                goto fail;
        r = quota_charge(&c->charge, c->user->account, QUOTA_CLIENTS, 1);
        if (r) {
                refuse(c, STEAL_FD(own), r);
                goto fail;
        }
        r = -ENOMEM;
        c->flight.socket = own;
        (void)evtimer_assign(&c->suspect, server->base, on_patience_end, c);
        (void)evtimer_assign(&c->timer, server->base, on_timer, c);
        (void)event_assign(&c->event, server->base, own, EV_READ | EV_PERSIST, on_event, c);
        c->wanted = EV_READ;
        if (event_add(&c->timer, &patience) < 0)
                goto fail;
        if (event_add(&c->event, NULL) < 0) {
                (void)event_del(&c->timer);
                goto fail;
        }
        c->socket = STEAL_FD(own);
        server_add_connection(server, c);
        return 0;
fail:
        quota_release(&c->charge);
        user_unref(c->user);
        peer_deinit(&c->peer);
        free(c);
        return r;
}

void connection_drop(struct connection *c) {
        if (c->state == CONNECTION_DEAD)
                return;
        c->state = CONNECTION_DEAD;
        if (c->wanted)
                (void)event_del(&c->event);
        (void)event_del(&c->timer);
        (void)event_del(&c->suspect);
        server_bury_connection(c->server, c);
}

/* Perhaps the client has closed its end as well, or it is time to look whether it has read all. */
static void on_lingered(evutil_socket_t fd, short what, void *data) {
        struct connection *c = data;

        (void)fd;
        (void)what;
        if (!flight_has_landed(&c->flight, &c->server->flights))
                return;
        TAILQ_REMOVE(&c->server->lingering, c, link);
        connection_free(c);
}

/* What is under way to a client stays so when the socket is closed here, and nobody could tell any more when it has
 * landed. Return: true if there is something. */
static bool linger(struct connection *c) {
        static const struct timeval pause = { .tv_sec = 1 };

        if (c->server->quotas.ending || flight_has_landed(&c->flight, &c->server->flights))
                return false;
        (void)event_assign(&c->event, c->server->base, c->socket, EV_CLOSED | EV_READ | EV_ET | EV_PERSIST, on_lingered,
                           c);
        if (event_add(&c->event, &pause) < 0)
                return false;
        (void)shutdown(c->socket, SHUT_WR);
        TAILQ_INSERT_TAIL(&c->server->lingering, c, link);
        return true;
}

void connection_free(struct connection *c) {
        (void)event_del(&c->event);
        if (c->request)
                request_abandon(c->request);
        if (c->handle && !c->handle->open)
                c->handle->connection = NULL; /* freed when its watch is done with */
        else
                handle_free(c->handle);
        c->handle = NULL;
        c->reply = reply_free(c->reply);
        c->result = result_free(c->result);
        if (linger(c))
                return;
        flight_end(&c->flight, &c->server->flights);
        if (c->reception) {
                c->reception->connection = NULL;
                quota_move(&c->reception->charge, &c->charge);
        } else {
                user_close_socket(c->user, c->socket, &c->charge);
        }
        user_unref(c->user);
        peer_deinit(&c->peer);
        free(c);
}
