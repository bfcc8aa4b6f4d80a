#define _GNU_SOURCE
#include "daemon/flight.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#define LOOKS 2        /* at each time, so that the queue stays short */
#define LOOKS_MORE 256 /* before anything is refused */

static void look(struct flight_queue *queue, int most) {
        struct flight *f;

        while (most-- > 0 && (f = TAILQ_FIRST(queue))) {
                if (flight_has_landed(f, queue))
                        continue;
                TAILQ_REMOVE(queue, f, link);
                TAILQ_INSERT_TAIL(queue, f, link);
        }
}

int flight_check(struct flight_queue *queue, const struct quota_account *account, size_t n) {
        look(queue, LOOKS);
        if (quota_check(account, QUOTA_FLIGHT, n))
                look(queue, LOOKS_MORE);
        return quota_check(account, QUOTA_FLIGHT, n);
}

int flight_begin(struct flight *f, struct flight_queue *queue, struct quota_account *account, size_t n) {
        int r = flight_check(queue, account, n);

        if (r)
                return r;
        if (!f->charge.account)
                TAILQ_INSERT_TAIL(queue, f, link);
        return quota_charge(&f->charge, account, QUOTA_FLIGHT, n);
}

void flight_cancel(struct flight *f, struct flight_queue *queue, size_t n) {
        if (f->charge.amount == n)
                flight_end(f, queue);
        else
                quota_reduce(&f->charge, n);
}

bool flight_has_landed(struct flight *f, struct flight_queue *queue) {
        int unread = 0;

        if (f->charge.account && ioctl(f->socket, SIOCOUTQ, &unread) == 0 && unread > 0)
                return false;
        flight_end(f, queue);
        return true;
}

void flight_end(struct flight *f, struct flight_queue *queue) {
        if (!f->charge.account)
                return;
        TAILQ_REMOVE(queue, f, link);
        quota_release(&f->charge);
}
