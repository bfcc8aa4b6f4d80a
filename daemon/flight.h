/*
 * flight.h -- descriptors that were sent to a client, and that it has perhaps not read yet.
 *
 * The kernel counts them against the sender: one client that leaves them unread could keep the daemon from sending any
 * to anybody. So each uid has a share of what the kernel allows. They are under way until the client reads them or
 * closes its end; that the daemon closes its own changes nothing.
 */
#pragma once

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stddef.h>

#include "daemon/quota.h"

struct flight {
        TAILQ_ENTRY(flight) link; /* while there is a charge */
        int socket;               /* borrowed */
        struct quota_charge charge;
};

TAILQ_HEAD(flight_queue, flight);

/* Would that many more be refused? Return: 0 or QUOTA_E_*. */
int flight_check(struct flight_queue *queue, const struct quota_account *account, size_t n);

/**
 * flight_begin() - descriptors are about to be sent
 * @f:       of the connection that they are for
 * @queue:   all that is under way
 * @account: of the connection's user
 * @n:       how many
 *
 * Return: 0 or QUOTA_E_*: more of that user's are under way than may be.
 */
int flight_begin(struct flight *f, struct flight_queue *queue, struct quota_account *account, size_t n);

/* @n of them have not been sent after all. */
void flight_cancel(struct flight *f, struct flight_queue *queue, size_t n);

/* Has everything been read that was sent there? */
bool flight_has_landed(struct flight *f, struct flight_queue *queue);

/* Read or not, forget it. Also for one with nothing under way. */
void flight_end(struct flight *f, struct flight_queue *queue);
