#define _GNU_SOURCE
#include "daemon/handle.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "daemon/connection.h"
#include "daemon/estate.h"
#include "daemon/ghost.h"
#include "daemon/group.h"
#include "daemon/notice.h"
#include "daemon/segment.h"
#include "daemon/server.h"
#include "daemon/user.h"

DEFINE_CLEANUP(struct handle *, handle_free)

/* ---- the dead ---------------------------------------------------------------------------------------------------- */

/* The writer with that id is gone: if it left the lock behind, what it was writing is given up. */
static void release_lock(const struct segment *s, uint32_t id) {
        struct slots slots = segment_slots(s);
        uint32_t seen = atomic_load(&slots_header(&slots)->lock);

        if (slots_lock_owner(seen) == id && slots_lock_inherit(&slots, LAYOUT_WRITER_DAEMON, seen))
                (void)slots_unlock(&slots);
}

/* It may also have let go, and died before it woke those who sleep. */
static void wake_writers(const struct segment *s) {
        struct slots slots = segment_slots(s);

        /* Who is about to sleep on the value that there was must not. */
        atomic_fetch_add(&slots_header(&slots)->lock_wakes, 1);
        (void)syscall(SYS_futex, &slots_header(&slots)->lock_wakes, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void handle_release_lock(struct segment *s) {
        struct slots slots = segment_slots(s);
        uint32_t owner = slots_lock_owner(atomic_load(&slots_header(&slots)->lock));
        const struct handle *h;

        TAILQ_FOREACH (h, &s->handles, link)
                if (h->writer && h->id == owner)
                        return;
        if (owner != UINT32_MAX)
                release_lock(s, owner);
        wake_writers(s);
}

/* ---- reserving -------------------------------------------------------------------------------------------------- */

/* The owner, root and the daemon's uid find a place as long as there is one; anybody else leaves as many as he has. */
static bool is_bound(const struct handle *h) {
        uid_t uid = h->user->uid;

        return uid != h->segment->rule.uid && quota_is_bound(h->user->account->quotas, uid);
}

static bool may_have_writer(const struct handle *h) {
        const struct handle *other;
        uint64_t used = 0;
        uint64_t used_all = 0;

        LIST_FOREACH (other, &h->segment->writers, writers_link) {
                used_all++;
                used += other->user == h->user;
        }
        return !is_bound(h) || quota_is_fair(LAYOUT_WRITER_DAEMON, used_all, used, 1);
}

static int reserve_writer(struct handle *h) {
        struct segment *s = h->segment;
        CLEANUP(fd_closep) int fd = -1;
        bool locked = false;
        int r;

        if (!may_have_writer(h))
                return HANDLE_E_SHARE;
        r = segment_describe(s->fd, O_RDWR);
        if (r < 0)
                return r;
        fd = r;
        for (uint32_t i = 0; i < LAYOUT_WRITERS_MAX; i++) {
                if (s->writer_ids[i / 64] >> i % 64 & 1)
                        continue;
                /* A writer that has closed its connection and lives on may still have the lock of its old id. */
                r = segment_lock_byte(fd, i);
                locked = locked || r == -EAGAIN;
                if (r == -EAGAIN)
                        continue;
                if (r < 0)
                        return r;
                /* Our lock on the byte would make the one before us look alive. */
                release_lock(s, i);
                s->writer_ids[i / 64] |= UINT64_C(1) << i % 64;
                estate_update_segment(s->estate, s);
                h->id = i;
                LIST_INSERT_HEAD(&s->writers, h, writers_link);
                h->description = STEAL_FD(fd);
                return 0;
        }
        return locked ? HANDLE_E_LOCKED : HANDLE_E_WRITERS;
}

/* What a group may do is fixed when it is made, and told to writers then. So those who were there when the segment got
 * another owner stay what they were, and whoever comes later gets into another group. */
static bool is_binding(const struct segment *s, uint32_t uid) { return uid == s->rule.uid; }

static struct group *find_group(const struct segment *s, const struct user *user) {
        struct group *g;

        LIST_FOREACH (g, &s->groups, link)
                if (g->user == user && g->binding == is_binding(s, user->uid) && g->n_readers < LAYOUT_READERS_MAX)
                        return g;
        return NULL;
}

static struct group *find_empty_group(const struct segment *s) {
        struct group *g;

        LIST_FOREACH (g, &s->groups, link)
                if (g->n_readers == 0)
                        return g;
        return NULL;
}

/* The account that a user has, or a free one: there are as many as there may be groups. @but: a group that is going. */
static uint32_t account_of(const struct segment *s, const struct user *user, const struct group *but) {
        uint64_t taken = 0;
        struct group *g;

        LIST_FOREACH (g, &s->groups, link) {
                if (g == but)
                        continue;
                if (g->user == user)
                        return g->account;
                taken |= UINT64_C(1) << g->account;
        }
        assert(~taken);
        return (uint32_t)__builtin_ctzll(~taken);
}

/* Empty ones can be replaced. */
static bool may_have_group(const struct handle *h) {
        const struct group *g;
        uint64_t used = 0;
        uint64_t used_all = 0;

        LIST_FOREACH (g, &h->segment->groups, link) {
                if (g->n_readers == 0)
                        continue;
                used_all++;
                used += g->user == h->user;
        }
        return !is_bound(h) || quota_is_fair(LAYOUT_GROUPS_MAX, used_all, used, 1);
}

/* A group for one more reader of that user: one that there is, a new one, or one in the place of an empty one. */
static int provide_group(struct group **out, const struct handle *h) {
        struct segment *s = h->segment;
        struct user *user = h->user;
        struct group *old = NULL;
        struct group *g = find_group(s, user);
        uint32_t index;
        int r;

        if (g) {
                *out = g;
                return 0;
        }
        if (!may_have_group(h))
                return HANDLE_E_SHARE;
        if (~s->group_indices) {
                index = (uint32_t)__builtin_ctzll(~s->group_indices);
        } else {
                old = find_empty_group(s);
                if (!old)
                        return HANDLE_E_GROUPS;
                index = old->index;
        }
        if (!notice_may_add_group(s))
                return HANDLE_E_UNREAD;
        r = group_new(&g, s->estate, s->id, user, index, is_binding(s, user->uid), account_of(s, user, old));
        if (r)
                return r < 0 || r == ESTATE_E_FULL ? r : HANDLE_E_GROUP_QUOTA;
        if (old) {
                LIST_REMOVE(old, link);
                group_free(old);
        }
        LIST_INSERT_HEAD(&s->groups, g, link);
        s->group_indices |= UINT64_C(1) << index;
        notice_group(s, index);
        *out = g;
        return 0;
}

/* Nobody but writers knows a group without readers. (One that is given up while there are some would leave its bell to
 * them, and the last close of a bell may take for ever.) */
static void discard_empty(struct segment *s) {
        struct group *g;
        struct group *next;

        if (!LIST_EMPTY(&s->writers))
                return;
        LIST_FOREACH_SAFE (g, &s->groups, link, next) {
                if (g->n_readers > 0)
                        continue;
                LIST_REMOVE(g, link);
                s->group_indices &= ~(UINT64_C(1) << g->index);
                group_free(g);
        }
}

static int enter_group(struct handle *h, struct group *g) {
        int r;

        /* Its holds would not be seen by a writer that has not heard of the group. */
        if (!notice_is_group_known(h->segment, g->index))
                return ghosts_are_awaited(&h->server->ghosts) ? HANDLE_E_UNCLAIMED : HANDLE_E_UNREAD;
        /* With its locks taken by others a group is not made up for by another group: who holds them could use up the
         * groups of everybody. */
        r = group_reserve(g, &h->id, &h->description);
        if (r < 0)
                return r == -EAGAIN ? HANDLE_E_LOCKED : r;
        h->group = g;
        return 0;
}

static int reserve_reader(struct handle *h) {
        struct group *g;
        int r = provide_group(&g, h);

        if (r)
                return r;
        r = enter_group(h, g);
        if (r)
                discard_empty(h->segment);
        return r;
}

static int provide_room(struct handle *h) {
        struct segment *s = h->segment;

        if (s->room < 0) {
                int r;

                s->room = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
                if (s->room < 0)
                        return -errno;
                r = estate_keep_room(s->estate, s);
                if (r) {
                        fd_close(STEAL_FD(s->room));
                        return r;
                }
        }
        /* It is in the writers' watches, so closing it is for one of them. The owner need not suffer from another. */
        if (!s->room_user || (h->writer && h->user->uid != s->rule.uid)) {
                user_unref(s->room_user);
                s->room_user = h->user;
                h->user->n_refs++;
        }
        return 0;
}

int handle_new(struct handle **out, struct connection *connection, struct segment *segment,
               const struct proto_open *request) {
        CLEANUP(handle_freep) struct handle *h = malloc(sizeof(*h));
        bool writer = request->access == PROTO_ACCESS_WRITE;
        int r;

        if (!h)
                return -ENOMEM;
        *h = (struct handle){
                .server = connection->server,
                .connection = connection,
                .segment = segment_ref(segment),
                .user = connection->user,
                .writer = writer,
                .ordered = request->flags & PROTO_OPEN_ORDERED,
                .start = request->start,
                .id = UINT32_MAX,
                .description = -1,
                .watch = -1,
                .bell = -1,
        };
        h->user->n_refs++;
        segment->n_handles++;
        if (quota_charge(&h->charge, h->user->account, QUOTA_HANDLES, 1))
                return HANDLE_E_QUOTA;
        r = segment_map(segment);
        if (r < 0)
                return r;
        r = writer ? reserve_writer(h) : reserve_reader(h);
        if (r)
                return r;
        if (segment->policy == PROTO_POLICY_BLOCK && (writer || h->group->binding)) {
                r = provide_room(h);
                if (r)
                        return r;
        }
        if (!writer)
                h->bell = h->group->bell;
        else if (segment->policy == PROTO_POLICY_BLOCK)
                h->bell = segment->room;
        *out = STEAL_PTR(h);
        return 0;
}

/* ---- closing ---------------------------------------------------------------------------------------------------- */

static void leave(struct handle *h) {
        struct segment *s = h->segment;

        if (h->open) {
                h->open = false;
                TAILQ_REMOVE(&s->handles, h, link);
        }
        if (h->writer) {
                release_lock(s, h->id);
                wake_writers(s);
                s->writer_ids[h->id / 64] &= ~(UINT64_C(1) << h->id % 64);
                LIST_REMOVE(h, writers_link);
        } else {
                group_leave(h->group, h->id);
        }
        discard_empty(s);
}

static void abandon(struct handle *h) {
        if (h->open)
                TAILQ_REMOVE(&h->segment->handles, h, link);
        if (h->writer)
                LIST_REMOVE(h, writers_link);
        if (h->group)
                group_abandon(h->group);
}

struct handle *handle_free(struct handle *h) {
        struct segment *s;
        bool was_open;

        if (!h)
                return NULL;
        s = h->segment;
        was_open = h->open;
        fd_close(h->description);
        if (h->ghost)
                ghost_forget(h);
        /* At the end of this instance nothing is left: those who have it open go on. */
        if (h->id != UINT32_MAX && s->estate->sealed)
                abandon(h);
        else if (h->id != UINT32_MAX)
                leave(h);
        s->n_handles--;
        if (was_open && h->writer) {
                s->users.writers--;
                s->users.departures += s->users.writers == 0;
        } else if (was_open) {
                s->users.readers--;
        }
        if (h->writer && !s->estate->sealed)
                estate_update_segment(s->estate, s);
        if (s->n_handles == 0) {
                notice_forget(s);
                segment_rest(s);
                if (s->flags & PROTO_SEGMENT_EPHEMERAL && s->used && s->state == SEGMENT_READY && !s->estate->sealed)
                        server_remove_segment(h->server, s, NULL, "its last user has closed it");
        } else if (was_open && !s->estate->sealed) {
                notice_change(h->server, s, h->writer);
        }
        segment_unref(s);
        quota_release(&h->charge);
        user_unref(h->user);
        free(h);
        return NULL;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int on_watch(struct job *job) {
        struct handle *h = container_of(job, struct handle, job);
        struct epoll_event event = { .events = EPOLLIN | EPOLLET };
        int r;

        if (h->bell >= 0) {
                r = epoll_ctl(h->watch, EPOLL_CTL_ADD, h->bell, &event);
                r = r < 0 ? -errno : 0;
        } else {
                /* Nothing to add, but is it one at all? Then this is not in it. */
                r = epoll_ctl(h->watch, EPOLL_CTL_DEL, h->server->pool.wakeup, &event);
                r = r < 0 && errno != ENOENT ? -errno : 0;
        }
        fd_close(STEAL_FD(h->watch));
        return r == -EPERM || r == -ELOOP || r == -EBADF || r == -EEXIST ? -EINVAL : r;
}

static void on_watch_done(struct job *job, int result) {
        struct handle *h = container_of(job, struct handle, job);

        h->done(h, result);
}

int handle_start(struct handle *h, int watch, void (*done)(struct handle *h, int result)) {
        int r;

        h->watch = watch;
        h->done = done;
        h->job = (struct job){ .step = on_watch, .done = on_watch_done };
        r = user_submit(h->user, &h->job);
        if (r < 0)
                fd_close(STEAL_FD(h->watch));
        return r;
}

size_t handle_fds(const struct segment *segment, bool writer) {
        return writer ? 1 + 2 * (size_t)__builtin_popcountll(segment->group_indices) : 3;
}

/* What goes out, until it is the caller's. */
struct parcel {
        size_t n;
        int fds[PROTO_FDS_MAX];
};

static void parcel_close(struct parcel *p) {
        while (p->n > 0)
                fd_close(p->fds[--p->n]);
}

/* Consumes a descriptor, or passes a negative errno on. */
static int parcel_add(struct parcel *p, int fd) {
        if (fd < 0)
                return fd;
        p->fds[p->n++] = fd;
        return 0;
}

static int duplicate(int fd) {
        int r = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        return r < 0 ? -errno : r;
}

static int pack_reader(struct parcel *p, struct handle *h) {
        struct segment *s = h->segment;
        int r;

        r = parcel_add(p, segment_describe(s->fd, O_RDONLY));
        if (r < 0)
                return r;
        (void)parcel_add(p, STEAL_FD(h->description));
        if (s->policy == PROTO_POLICY_BLOCK && h->group->binding)
                return parcel_add(p, duplicate(s->room));
        return 0;
}

static int pack_writer(struct parcel *p, struct handle *h, struct proto_opened *reply) {
        struct group *g;
        int r;

        (void)parcel_add(p, STEAL_FD(h->description));
        LIST_FOREACH (g, &h->segment->groups, link) {
                r = parcel_add(p, segment_describe(g->table, O_RDONLY));
                if (r < 0)
                        return r;
                r = parcel_add(p, duplicate(g->bell));
                if (r < 0)
                        return r;
                reply->groups[reply->n_groups++] = group_describe(g, h->segment);
        }
        return 0;
}

/* From here on nothing fails. */
static void enter(struct handle *h) {
        struct segment *s = h->segment;
        struct slots slots = segment_slots(s);
        bool recorded = !s->used || (h->writer && s->users.writers == 0);

        if (h->writer) {
                s->users.arrivals += s->users.writers == 0;
                s->users.writers++;
        } else {
                /* A writer that does not know of this entry yet, or takes its last reader for dead, looks at the epoch
                 * before it overwrites anything: raised first, see slots_enter(). */
                segment_raise_epoch(s);
                group_enter(h->group, &slots, h->id, h->start, h->ordered);
                s->users.readers++;
        }
        TAILQ_INSERT_TAIL(&s->handles, h, link);
        h->open = true;
        s->used = true;
        if (recorded)
                estate_update_segment(s->estate, s);
        notice_change(h->server, s, h->writer);
        h->version = s->version; /* the reply says it all */
}

int handle_open(struct handle *h, struct proto_opened *reply, int *fds, size_t *n_fds) {
        CLEANUP(parcel_close) struct parcel parcel = { 0 };
        struct segment *s = h->segment;
        struct slots slots = segment_slots(s);
        int r;

        reply->n_groups = 0;
        r = h->writer ? pack_writer(&parcel, h, reply) : pack_reader(&parcel, h);
        if (r < 0)
                return r;
        enter(h);
        reply->id = s->id;
        reply->slot_size = s->geometry.slot_size;
        reply->n_slots = s->geometry.n_slots;
        reply->page_size = s->page_size;
        reply->layout_version = LAYOUT_VERSION;
        reply->policy = s->policy;
        reply->segment_flags = s->flags;
        reply->mode = s->rule.mode;
        reply->uid = s->rule.uid;
        reply->gid = s->rule.gid;
        reply->entry = h->id;
        reply->group = h->group ? h->group->index : 0;
        reply->unannounced = atomic_load(&slots_header(&slots)->unannounced);
        reply->binding = h->group && h->group->binding;
        reply->foreign_holds = s->foreign_holds;
        reply->epoch = atomic_load(&slots_header(&slots)->epoch);
        notice_users(s, &reply->users);
        (void)snprintf(reply->type, sizeof(reply->type), "%s", s->type);
        memcpy(fds, parcel.fds, parcel.n * sizeof(*fds));
        *n_fds = parcel.n;
        parcel.n = 0;
        return 0;
}
