/*
 * connection.h -- one client: what it sends, what it is sent, and its end.
 *
 * One request at a time: the next is read when the reply to the last has left, and one per turn of the loop. So no more
 * than one reply is ever queued; notices are not queued at all, but made when there is room for them (notice.h).
 *
 * Each is charged to its user until its socket is closed, and that has to wait until descriptors that were sent there
 * are read or gone (flight.h). One that lets others wait and reads nothing meanwhile is dropped.
 *
 * It knows nothing about what requests mean.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/flight.h"
#include "daemon/log.h"
#include "daemon/peer.h"
#include "daemon/quota.h"
#include "proto/message.h"

struct handle;
struct reception;
struct request;
struct result;
struct server;
struct user;

enum connection_state {
        CONNECTION_NEW, /* has not said hello */
        CONNECTION_READY,
        CONNECTION_DEAD, /* nothing is read or sent any more; freed at the end of the turn, or when all has landed */
};

/* A message that could not be sent yet. */
struct reply {
        size_t size;
        size_t n_fds;
        int fds[PROTO_FDS_MAX]; /* owned */
        _Alignas(8) unsigned char bytes[];
};

struct connection {
        TAILQ_ENTRY(connection) link; /* the server's */
        struct server *server;
        struct user *user; /* a reference */
        struct quota_charge charge;
        struct flight flight;
        struct peer peer;
        int socket;
        enum connection_state state;
        bool complained; /* about this client, in the log */
        bool full;       /* the last message did not fit: wait until it is writable */
        bool retrying;   /* it could not be sent for another reason: wait for the timer */
        short wanted;    /* what the event waits for */
        int retry_ms;    /* the last pause; 0: none was needed */
        int unread;      /* when it became suspect */
        struct event event;
        struct event timer;   /* the hello's limit; when to try again */
        struct event suspect; /* pending: unless it reads until then, it is dropped */
        struct reply *reply;
        struct reception *reception; /* borrowed: a message with descriptors is being received */
        struct request *request;     /* not answered yet */
        struct handle *handle;       /* open, or being opened */
        uint64_t token;              /* of its hello */
        struct result *result;       /* owned: of its last request that changed something */
        char client[PROTO_CLIENT_SIZE];
};

/**
 * connection_new() - serve a client
 * @server: gets it into its list
 * @socket: consumed, also on failure
 *
 * Return: 0; QUOTA_E_*: one more is refused, and has been told; or a negative errno.
 */
int connection_new(struct server *server, int socket);

/* Tell a client that is not served why. @user: NULL: not known. @socket: consumed. */
void connection_refuse(struct user *user, int socket, int error, const char *text);

/* The client is to go; what it has open is closed at the end of this turn. */
void connection_drop(struct connection *c);

/* One that was dropped and is in no list: free it, or let it linger until all has landed that is under way to it. */
void connection_free(struct connection *c);

/* It cannot be served any longer: log why (once), drop it. */
void connection_give_up(struct connection *c, const char *why);

/* The client broke the protocol: log it (once), tell it, drop it. */
void connection_violation(struct connection *c, const struct proto_header *request, int error, const char *format, ...)
        __attribute__((format(printf, 4, 5)));

/**
 * connection_reply() - send the reply to its request, now or as soon as possible
 * @reply: a whole message
 * @fds:   consumed in any case
 *
 * The connection may be dead afterwards, but is still there.
 */
void connection_reply(struct connection *c, const struct proto_header *reply, int *fds, size_t n_fds);

/**
 * connection_send() - send a message now
 * @fds: borrowed
 *
 * Return: as packet_send(); -ETOOMANYREFS also if too many descriptors are under way to this user's clients.
 */
int connection_send(struct connection *c, const struct proto_header *message, const int *fds, size_t n_fds);

/* Others wait for this client to read: unless it does, it is dropped. */
void connection_suspect(struct connection *c);

/* Send what waits to be sent, if it can be sent now. */
void connection_push(struct connection *c);

/* Its request has been answered, or waits: decide what to wait for next. */
void connection_update(struct connection *c);

/* Who it is, for a line of the log: "uid 1000, pid 4711 (shmctl)". */
const char *connection_name(const struct connection *c, char *text, size_t size);

/* The same for the journal. @segment may be NULL. */
struct log_about connection_about(const struct connection *c, enum log_event event, const char *segment);

/* Keep the client's name for itself, fit for printing. */
void connection_set_client(struct connection *c, const char *client);
