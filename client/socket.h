/*
 * socket.h -- a socket to the daemon: connecting, sending a request, waiting for its reply.
 *
 * A connection has one, and so has every handle: a handle's life is its socket's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/failure.h"
#include "proto/packet.h"

/**
 * socket_connect() - a new socket to the daemon at @failure->path, with its hello under way
 * @out:      receives the socket
 * @failure:  tells the path, receives the sentence
 * @flags:    of the hello: PROTO_HELLO_*
 * @token:    of the hello; 0: none
 * @deadline: when to give up; DEADLINE_NOW: do not wait
 *
 * Return: 0 or a negative errno with its sentence set.
 */
int socket_connect(int *out, struct failure *failure, uint32_t flags, uint64_t token, int64_t deadline);

/* Receive the reply to the hello. The packet's buffer is set. Return: as socket_reply(). */
int socket_welcome(int socket, struct failure *failure, struct packet *packet, int64_t deadline);

/* Send one message. Return: 0 or a negative errno with its sentence set. */
int socket_send(int socket, struct failure *failure, const void *message, const int *fds, size_t n_fds,
                int64_t deadline);

/**
 * socket_reply() - wait for the reply to a request
 * @socket:        borrowed
 * @failure:       receives the sentence
 * @packet:        its buffer is set; receives the reply and its descriptors, which the caller closes
 * @op:            the request's
 * @serial:        the request's
 * @fds_max:       how many descriptors may come
 * @deadline:      when to give up: -ETIMEDOUT
 * @interruptible: give up with -EINTR when a signal handler ran
 *
 * Return: 0 or a negative errno with its sentence set: the daemon's, -ENOTCONN, -EPROTO, -EPROTONOSUPPORT, -EMFILE.
 */
int socket_reply(int socket, struct failure *failure, struct packet *packet, uint16_t op, uint32_t serial,
                 size_t fds_max, int64_t deadline, bool interruptible);
