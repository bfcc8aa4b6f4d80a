/*
 * handover.h -- shmd --replace: a new instance takes everything over from the running one, which then ends.
 *
 * What goes over is what a service manager would keep: sockets, memfds, bells, the record, in bounded messages, one at a
 * time. The new instance restores from it as after a crash. Only when it says that it has got all does the old one end, at
 * once and without touching anything; until then, whatever goes wrong, it goes on as if nothing had been. Clients find to
 * the new one by themselves, as after any restart.
 */
#pragma once

#include <sys/types.h>

struct connection;
struct inheritance;
struct proto_header;
struct server;

/**
 * handover_give() - the old instance's part; the end of it, if all goes well
 * @server: settled: nothing is half done
 * @c:      the new instance's connection
 * @asked:  its request
 *
 * The loop stands still meanwhile; whoever is slower than a few seconds is given up.
 *
 * Return: only if it has failed, and why: a negative errno.
 */
int handover_give(struct server *server, struct connection *c, const struct proto_header *asked);

/* With the old instance, as the new one sees it. */
struct handover {
        int socket;  /* owned; -1: there is none */
        int process; /* owned: a pidfd */
};

/**
 * handover_take() - the new instance's part
 * @h:      receives the connection to the old one
 * @server: gets the sockets
 * @in:     receives the rest
 *
 * What went wrong is logged.
 *
 * Return: 0; -ENOENT: there is no old instance; another negative errno.
 */
int handover_take(struct handover *h, struct server *server, struct inheritance *in);

/* All that came can be used: have the old instance end, and wait for it. Also where there is none. Return: 0 or a negative
 * errno. */
int handover_confirm(struct handover *h);

/* Without that, the old instance goes on. */
void handover_deinit(struct handover *h);
