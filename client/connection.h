/* connection.h -- a process's connection to the daemon: one request at a time, and the sentence of the last failure. */
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "client/failure.h"
#include "client/fork.h"
#include "client/shmd.h"
#include "proto/packet.h"

struct shmd {
        pthread_mutex_t mutex; /* guards all below */
        char *path;            /* but for this, which never changes */
        int socket;            /* -1: the next request connects */
        uint32_t serial;
        uint64_t token; /* the daemon knows us by it when we come anew; 0: it does not */
        struct fork_guard guard;
        struct failure failure;
        _Alignas(8) unsigned char buffer[PROTO_MESSAGE_MAX];
};

/**
 * connection_call() - send a request and receive its reply
 * @conn:    its mutex is held
 * @request: a message; its header is filled in here
 * @op:      PROTO_OP_*
 * @size:    the request's
 * @packet:  receives the reply, in @conn->buffer
 *
 * Return: 0, or a negative errno with its sentence set: the daemon's, or -ENOTCONN, -EPROTO and what connecting gives.
 */
int connection_call(struct shmd *conn, void *request, uint16_t op, size_t size, struct packet *packet);
