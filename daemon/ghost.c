#define _GNU_SOURCE
#include "daemon/ghost.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "daemon/connection.h"
#include "daemon/group.h"
#include "daemon/handle.h"
#include "daemon/log.h"
#include "daemon/segment.h"
#include "daemon/server.h"

#define LOOK_MS 20
#define LOOK_MAX_MS 1000
#define AWAIT_MS 100

static int compare(const struct handle *a, const struct handle *b) {
        if (a->segment->id != b->segment->id)
                return a->segment->id < b->segment->id ? -1 : 1;
        if (a->writer != b->writer)
                return a->writer ? -1 : 1;
        if (!a->writer && a->group->index != b->group->index)
                return a->group->index < b->group->index ? -1 : 1;
        return (a->id > b->id) - (a->id < b->id);
}

TREE_GENERATE(ghost_tree, handle, ghost_link, compare)

static void schedule(struct server *server) {
        struct ghosts *g = &server->ghosts;
        const struct timeval pause = { .tv_sec = g->pause_ms / 1000, .tv_usec = g->pause_ms % 1000 * 1000L };

        if (RB_EMPTY(&g->tree) && TAILQ_EMPTY(&server->parked))
                g->awaited = false;
        else
                (void)event_add(&g->timer, &pause);
}

/* Free those whose processes have died. */
static void bury(struct server *server) {
        struct handle *h;
        struct handle *next;

        for (h = RB_MIN(ghost_tree, &server->ghosts.tree); h; h = next) {
                next = RB_NEXT(ghost_tree, &server->ghosts.tree, h);
                if (!segment_is_locked(h->writer ? h->segment->fd : h->group->table, h->id))
                        handle_free(h);
        }
}

static void on_timer(evutil_socket_t fd, short what, void *data) {
        struct server *server = data;
        struct ghosts *g = &server->ghosts;

        (void)fd;
        (void)what;
        bury(server);
        g->waited_ms += g->pause_ms;
        if (g->waited_ms >= AWAIT_MS)
                g->awaited = false;
        server_unpark(server);
        if (!g->awaited && g->pause_ms < LOOK_MAX_MS)
                g->pause_ms *= 2;
        schedule(server);
}

void ghosts_init(struct server *server) {
        RB_INIT(&server->ghosts.tree);
        (void)evtimer_assign(&server->ghosts.timer, server->base, on_timer, server);
}

void ghosts_deinit(struct server *server) {
        struct handle *h;

        (void)event_del(&server->ghosts.timer);
        while ((h = RB_MIN(ghost_tree, &server->ghosts.tree)))
                handle_free(h);
}

void ghosts_start(struct server *server) {
        struct ghosts *g = &server->ghosts;

        g->awaited = true;
        g->pause_ms = LOOK_MS;
        g->waited_ms = 0;
        schedule(server);
}

int ghost_new(struct server *server, struct segment *s, struct group *group, uint32_t id) {
        struct handle *h = malloc(sizeof(*h));

        if (!h)
                return -ENOMEM;
        *h = (struct handle){
                .server = server,
                .ghost = true,
                .segment = segment_ref(s),
                .group = group,
                .writer = !group,
                .open = true,
                .id = id,
                .description = -1,
                .watch = -1,
                .bell = -1,
        };
        if (group) {
                group_adopt(group, id);
                s->users.readers++;
        } else {
                s->writer_ids[id / 64] |= UINT64_C(1) << id % 64;
                LIST_INSERT_HEAD(&s->writers, h, writers_link);
                s->users.writers++;
        }
        s->n_handles++;
        s->used = true;
        TAILQ_INSERT_TAIL(&s->handles, h, link);
        (void)RB_INSERT(ghost_tree, &server->ghosts.tree, h);
        return 0;
}

struct handle *ghost_find(struct server *server, const struct proto_claim *request) {
        struct segment segment = { .id = request->segment };
        struct group group = { .index = request->group };
        struct handle key = {
                .segment = &segment,
                .group = &group,
                .writer = request->access == PROTO_ACCESS_WRITE,
                .id = request->entry,
        };

        return RB_FIND(ghost_tree, &server->ghosts.tree, &key);
}

void ghost_claim(struct handle *h, struct connection *connection, const struct proto_claim *request) {
        const struct group *g;

        ghost_forget(h);
        h->connection = connection;
        h->user = connection->user;
        h->user->n_refs++;
        quota_charge_anyhow(&h->charge, h->user->account, QUOTA_HANDLES, 1);
        if (!h->writer)
                return;
        /* What it was told before the restart it knows; what has become of the groups since, it does not. */
        LIST_FOREACH (g, &h->segment->groups, link) {
                bool knows = request->groups >> g->index & 1;
                bool binding = request->binding >> g->index & 1;

                if (!knows || binding != g->binding)
                        h->groups |= UINT64_C(1) << g->index;
        }
}

void ghost_forget(struct handle *h) {
        (void)RB_REMOVE(ghost_tree, &h->server->ghosts.tree, h);
        h->ghost = false;
}
