/*
 * request_claim.c -- a handle's process comes back after a restart of the daemon.
 *
 * Its proof is a descriptor of the very description that has the lock on the handle's byte, as the kernel says. It is
 * looked at on the user's thread, for the descriptor may be anything.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/connection.h"
#include "daemon/ghost.h"
#include "daemon/group.h"
#include "daemon/handle.h"
#include "daemon/notice.h"
#include "daemon/request_handler.h"
#include "daemon/segment.h"
#include "daemon/server.h"
#include "daemon/user.h"
#include "proto/cleanup.h"

struct claim {
        struct job job;
        struct server *server;
        struct user *user;       /* a reference */
        struct request *request; /* NULL: its client is gone */
        struct proto_claim message;
        int proof; /* owned: what came */
        int own;   /* owned: the same file, without a lock */
};

static bool is_same_file(int a, int b) {
        struct stat x;
        struct stat y;

        return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* "lock: 1: OFDLCK ADVISORY WRITE -1 00:01:4711 FIRST LAST", or EOF: is the byte in it? */
static bool is_lock_on(const char *line, int64_t byte) {
        long long first;
        char last[32];

        /* NOLINTNEXTLINE(cert-err34-c): the kernel's own number */
        return strstr(line, "OFDLCK") && sscanf(line, "lock: %*s %*s %*s %*s %*s %*s %lld %31s", &first, last) == 2 &&
               first <= byte && (strcmp(last, "EOF") == 0 || strtoll(last, NULL, 10) >= byte);
}

/* The kernel tells whose a lock is, by description. */
static bool has_lock(int fd, int64_t byte) {
        char path[64];
        char line[256];
        bool has = false;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
        f = fopen(path, "re");
        if (!f)
                return false;
        while (!has && fgets(line, sizeof(line), f))
                has = is_lock_on(line, byte);
        (void)fclose(f);
        return has;
}

static int on_proof(struct job *job) {
        struct claim *claim = container_of(job, struct claim, job);
        bool is_proof = is_same_file(claim->proof, claim->own) &&
                        (fcntl(claim->proof, F_GETFL) & O_ACCMODE) == O_RDWR &&
                        has_lock(claim->proof, LAYOUT_LOCK_BASE + claim->message.entry);

        fd_close(STEAL_FD(claim->proof));
        return is_proof ? 0 : -EPERM;
}

/* The connection is the handle's from here on. */
static void accept_claim(struct request *r, struct handle *h, const struct proto_claim *message) {
        struct connection *c = r->connection;
        struct proto_claimed reply = { 0 };
        struct slots slots;

        ghost_claim(h, c, message);
        c->handle = h;
        notice_users(h->segment, &reply.users);
        h->version = h->segment->version; /* the reply says it all */
        slots = segment_slots(h->segment);
        reply.unannounced = atomic_load(&slots_header(&slots)->unannounced);
        reply.n_groups = (uint32_t)__builtin_popcountll(h->groups);
        request_finish(r, &reply.header, sizeof(reply));
        connection_push(c); /* groups that it does not know */
        segment_raise_epoch(h->segment);
        server_unpark(c->server);
}

static void fail_unknown(struct request *r) {
        const struct proto_claim *m = &r->message.claim;

        request_fail(r, -ENOENT, "there is no %s %" PRIu32 " of a segment %" PRIu64 " that waits to be claimed",
                     m->access == PROTO_ACCESS_WRITE ? "writer" : "reader", m->entry, m->segment);
}

static void on_proof_done(struct job *job, int result) {
        struct claim *claim = container_of(job, struct claim, job);
        struct request *r = claim->request;
        struct handle *h = r ? ghost_find(claim->server, &claim->message) : NULL;

        if (r) {
                r->claim = NULL;
                if (!h) /* claimed meanwhile, or found dead */
                        fail_unknown(r);
                else if (result == 0)
                        accept_claim(r, h, &claim->message);
                else if (result == -EPERM)
                        request_fail(r, result, "the descriptor sent does not hold the lock of what it is to claim");
                else
                        request_fail_system(r, result, "look at the descriptor sent");
        }
        fd_close(claim->own);
        user_unref(claim->user);
        free(claim);
}

static int start(struct request *r, const struct handle *h) {
        struct connection *c = r->connection;
        struct claim *claim = malloc(sizeof(*claim));
        int e;

        if (!claim)
                return -ENOMEM;
        *claim = (struct claim){
                .job = { .step = on_proof, .done = on_proof_done },
                .server = c->server,
                .user = c->user,
                .request = r,
                .message = r->message.claim,
                .proof = -1,
                /* Ours may be closed meanwhile. */
                /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a reader has a group */
                .own = fcntl(h->writer ? h->segment->fd : h->group->table, F_DUPFD_CLOEXEC, 0),
        };
        if (claim->own < 0) {
                e = -errno;
                free(claim);
                return e;
        }
        claim->proof = STEAL_FD(r->watch);
        e = user_submit(c->user, &claim->job);
        if (e < 0) {
                r->watch = STEAL_FD(claim->proof);
                fd_close(claim->own);
                free(claim);
                return e;
        }
        c->user->n_refs++;
        r->claim = claim;
        connection_update(c);
        return 0;
}

void request_claim(struct request *r) {
        const struct proto_claim *m = &r->message.claim;
        struct connection *c = r->connection;
        struct handle *h;
        int e;

        if (c->handle) {
                request_fail(r, -EISCONN, "this connection has %s open: use another connection",
                             c->handle->segment->name);
                return;
        }
        if (m->access != PROTO_ACCESS_READ && m->access != PROTO_ACCESS_WRITE) {
                request_fail(r, -EINVAL, "the access is %" PRIu32 ": it may be %d (read) or %d (write)", m->access,
                             PROTO_ACCESS_READ, PROTO_ACCESS_WRITE);
                return;
        }
        if (r->watch < 0) {
                request_fail(r, -EINVAL, "no descriptor came with the claim: it needs the one that has the lock");
                return;
        }
        h = ghost_find(c->server, m);
        if (!h) {
                fail_unknown(r);
                return;
        }
        if (h->group && h->group->user->uid != c->peer.uid) {
                request_fail(r, -EPERM, "reader %" PRIu32 " of %s belongs to uid %" PRIu32 ": you are uid %u", m->entry,
                             h->segment->name, h->group->user->uid, c->peer.uid);
                return;
        }
        e = start(r, h);
        if (e < 0)
                request_fail_system(r, e, "look at the descriptor sent");
}

void request_abandon_claim(struct claim *claim) { claim->request = NULL; }
