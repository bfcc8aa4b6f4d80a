/*
 * packet.h -- one message with its descriptors, in one system call.
 *
 * Sends and receives on a SOCK_SEQPACKET Unix socket. It knows nothing about what the bytes mean. Every descriptor
 * that arrives is in the packet until somebody takes it out, and packet_close() closes the rest: none is ever lost.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "proto/message.h"

struct packet {
        void *bytes;     /* borrowed: the caller's buffer, aligned to 8 */
        size_t capacity; /* its size */
        size_t size;     /* bytes received */
        size_t n_fds;
        int fds[PROTO_FDS_MAX]; /* owned; -1 where taken out */
};

enum {
        PACKET_E_AGAIN = 1, /* nothing there, or no room to send now */
        PACKET_E_CLOSED,    /* the peer is gone (a message of no bytes looks the same) */
        PACKET_E_LARGE,     /* longer than the buffer; what did fit is lost too */
        PACKET_E_FDS,       /* more descriptors than fds_max, or the kernel could not install them; all are closed */
};

/**
 * packet_receive() - take one message off a socket, without waiting
 * @p:       receives it, in the buffer that is set; descriptors it had are overwritten, so close them first
 * @socket:  borrowed
 * @fds_max: how many descriptors may come: 0 to PROTO_FDS_MAX
 *
 * Descriptors are close-on-exec. On any outcome but 0 the packet holds none.
 *
 * Return: 0, PACKET_E_*, or a negative errno.
 */
int packet_receive(struct packet *p, int socket, size_t fds_max);

/**
 * packet_peek() - the same, but the message stays in the socket
 *
 * The kernel makes the descriptors anew each time. So a receiver that is out of descriptors (PACKET_E_FDS) has lost
 * nothing and may try again; one that is content calls packet_discard().
 */
int packet_peek(struct packet *p, int socket, size_t fds_max);

/* Drop the next message with its descriptors. Return: 0, PACKET_E_AGAIN, PACKET_E_CLOSED, or a negative errno. */
int packet_discard(int socket);

/* Take descriptor @i out of the packet: the caller owns it. -1 if there is none. */
int packet_take_fd(struct packet *p, size_t i);

/* Close every descriptor that nobody took out. */
void packet_close(struct packet *p);

/**
 * packet_send() - send one message, without waiting
 * @socket: borrowed
 * @bytes:  the message
 * @size:   its bytes
 * @fds:    borrowed; the kernel holds them while they are under way
 * @n_fds:  how many, at most PROTO_FDS_MAX
 *
 * Never raises SIGPIPE.
 *
 * Return: 0, PACKET_E_AGAIN, PACKET_E_CLOSED, or a negative errno (-ETOOMANYREFS: too many descriptors of this user
 * are under way; -ENOBUFS, -ENOMEM).
 */
int packet_send(int socket, const void *bytes, size_t size, const int *fds, size_t n_fds);
