/* writer.c -- a segment opened for writing: the waiting and ringing around the slots. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/deadline.h"
#include "client/handle.h"
#include "client/patience.h"
#include "proto/cleanup.h"

/* How long a sleeper trusts that somebody will wake it before it looks whether they live. The daemon tells of deaths
 * too, but it may be away. */
#define LIVENESS_MS 20

/* Times in a row that the daemon may have told something new while we look for a slot: more is no daemon. */
#define STALE_RETRIES 10000

struct group {
        int table; /* kept to ask whether a reader lives */
        int bell;
};

struct shmd_writer {
        struct handle handle;
        struct slots_writer slots;
        struct group groups[LAYOUT_GROUPS_MAX];
        uint32_t id;
        bool begun;
        uint64_t sequence; /* of our last frame */
        struct patience patience;
        bool news;     /* a group has come that may wait for what is there already */
        unsigned full; /* times in a row that there was no room at once */
};

static struct shmd_writer *writer_of(struct handle *h) { return container_of(h, struct shmd_writer, handle); }

/* ---- groups ----------------------------------------------------------------------------------------------------- */

static void drop_group(struct shmd_writer *w, uint32_t i) {
        const struct layout_table *table = w->slots.groups[i].table;

        if (table && !w->handle.forked)
                (void)munmap((void *)(uintptr_t)table, sizeof(*table));
        if (table)
                slots_set_group(&w->slots, i, &(struct slots_group){ .table = NULL });
        fd_close(STEAL_FD(w->groups[i].table));
        fd_close(STEAL_FD(w->groups[i].bell));
}

static int add_group(struct handle *h, const struct proto_group *group, int table_fd, int bell_fd) {
        struct shmd_writer *w = writer_of(h);
        CLEANUP(fd_closep) int table = table_fd;
        CLEANUP(fd_closep) int bell = bell_fd;
        void *p;
        int r;

        if (group->index >= LAYOUT_GROUPS_MAX || table < 0 || bell < 0)
                return -EPROTO;
        r = handle_map(&p, table, sizeof(struct layout_table), false, true);
        if (r)
                return r;
        drop_group(w, group->index);
        slots_set_group(&w->slots, group->index,
                        &(struct slots_group){
                                .table = p,
                                .binding = group->flags & PROTO_GROUP_BINDING,
                                .account = group->account,
                                .holds = group->holds,
                        });
        w->groups[group->index] = (struct group){ .table = STEAL_FD(table), .bell = STEAL_FD(bell) };
        w->news = true;
        return 0;
}

static int fill_claim(struct handle *h, struct proto_claim *claim) {
        const struct shmd_writer *w = writer_of(h);

        claim->access = PROTO_ACCESS_WRITE;
        claim->entry = w->id;
        for (uint32_t i = 0; i < w->slots.n_groups; i++) {
                claim->groups |= (uint64_t)(w->slots.groups[i].table != NULL) << i;
                claim->binding |= (uint64_t)w->slots.groups[i].binding << i;
        }
        return h->data;
}

static void close_groups(struct handle *h) {
        for (uint32_t i = 0; i < LAYOUT_GROUPS_MAX; i++)
                drop_group(writer_of(h), i);
}

/* Wake the readers that wait. */
static void ring(struct shmd_writer *w) {
        /* The bell's counter is 1 for ever and nobody reads it: adding 0 is an edge for every watch it is in, and cannot
         * block, whatever another holder has done to the counter or to O_NONBLOCK. */
        static const uint64_t zero;

        for (uint32_t i = 0; i < w->slots.n_groups; i++)
                if (slots_waiting(&w->slots.groups[i]) && write(w->groups[i].bell, &zero, sizeof(zero)) < 0)
                        continue; /* only memory pressure is left, and the next flush rings again */
}

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

int shmd_writer_open(struct shmd_writer **out, struct shmd *conn, const char *name, unsigned flags, int timeout_ms) {
        struct proto_open request = { .access = PROTO_ACCESS_WRITE, .flags = flags & SHMD_WAIT ? PROTO_OPEN_WAIT : 0 };
        struct proto_opened opened;
        struct packet packet;
        struct shmd_writer *w;
        int r;

        *out = NULL;
        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        handle_init(&w->handle);
        w->handle.in_child = close_groups;
        w->handle.on_group = add_group;
        w->handle.fill_claim = fill_claim;
        for (uint32_t i = 0; i < LAYOUT_GROUPS_MAX; i++)
                w->groups[i] = (struct group){ .table = -1, .bell = -1 };
        r = handle_open(&w->handle, conn, name, flags & ~SHMD_WAIT, &request, &opened, &packet, PROTO_FDS_MAX,
                        timeout_ms);
        if (r) {
                shmd_writer_close(w);
                return r;
        }
        if (opened.n_groups > LAYOUT_GROUPS_MAX || packet.n_fds != 1 + 2 * opened.n_groups)
                r = -EPROTO;
        w->slots.slots = w->handle.slots;
        for (uint32_t i = 0; i < opened.n_groups && r == 0; i++)
                r = add_group(&w->handle, &opened.groups[i], packet_take_fd(&packet, 1 + 2 * i),
                              packet_take_fd(&packet, 2 + 2 * i));
        packet_close(&packet);
        if (r) {
                shmd_writer_close(w);
                return r;
        }
        w->id = opened.entry;
        w->slots.block = opened.policy == PROTO_POLICY_BLOCK;
        w->slots.epoch = w->handle.epoch;
        w->news = false;
        patience_init(&w->patience);
        *out = w;
        return 0;
}

struct shmd_writer *shmd_writer_close(struct shmd_writer *w) {
        if (!w)
                return NULL;
        if (w->begun && !w->handle.forked)
                shmd_writer_cancel(w);
        close_groups(&w->handle);
        handle_close(&w->handle);
        free(w);
        return NULL;
}

/* ---- the lock --------------------------------------------------------------------------------------------------- */

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout) {
        return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

/* Read what the daemon has told, if it has. */
static int look(struct shmd_writer *w) {
        int r = handle_look(&w->handle);

        w->slots.epoch = w->handle.epoch;
        if (w->news) {
                /* Its readers may have been let in while we could not be told, and have slept since. */
                w->news = false;
                ring(w);
        }
        return r;
}

/* Wake whoever waits for what has been published. */
static void look_and_ring(struct shmd_writer *w) {
        /* A group that cannot be taken in now is tried again at the next begin, which reports it. */
        (void)look(w);
        ring(w);
}

static void unlock(struct shmd_writer *w) {
        if (slots_unlock(&w->handle.slots))
                (void)futex(&slots_header(&w->handle.slots)->lock_wakes, FUTEX_WAKE, INT_MAX, NULL);
        look_and_ring(w);
}

static int lock(struct shmd_writer *w, int64_t deadline) {
        const struct slots *s = &w->handle.slots;
        uint32_t seen;

        while (slots_lock(s, w->id, &seen)) {
                const struct timespec slice = { .tv_nsec = LIVENESS_MS * 1000000L };
                uint32_t wakes = slots_lock_want(s);

                if (slots_lock(s, w->id, &seen) == 0)
                        return 0;
                /* The lock of a writer that died is taken over with what it left. It may have died before it rang. */
                if (!handle_is_alive(w->handle.data, slots_lock_owner(seen)) && slots_lock_inherit(s, w->id, seen)) {
                        look_and_ring(w);
                        return 0;
                }
                if (deadline_left(deadline, -1) == 0)
                        return -ETIMEDOUT;
                if (futex(&slots_header(s)->lock_wakes, FUTEX_WAIT, wakes, &slice) < 0 && errno == EINTR)
                        return -EINTR;
        }
        return 0;
}

/* ---- room ------------------------------------------------------------------------------------------------------- */

/* slots_begin(), knowing all the readers' groups. Return: 0, SLOTS_E_FULL, or a negative errno. */
static int pick_slot(struct shmd_writer *w) {
        for (int i = 0; i < STALE_RETRIES; i++) {
                int r = slots_begin(&w->slots);

                if (r != SLOTS_E_STALE)
                        return r;
                r = look(w);
                if (r)
                        return r;
        }
        return -EPROTO;
}

/* Of those in the way, mark the ones that have died. Return: whether there were any. */
static bool find_dead(struct shmd_writer *w) {
        bool found = false;

        for (uint32_t group = 0, entry = 0; slots_blocker(&w->slots, &group, &entry); entry++) {
                if (handle_is_alive(w->groups[group].table, entry))
                        continue;
                w->slots.groups[group].dead[entry / 64] |= UINT64_C(1) << entry % 64;
                found = true;
        }
        return found;
}

/* Look for room for as long as that is cheaper than to sleep. Return: as pick_slot(). */
static int look_for_room(struct shmd_writer *w, int64_t begin) {
        int64_t until = begin + patience_spin(&w->patience);
        int r = SLOTS_E_FULL;

        while (r == SLOTS_E_FULL && deadline_now() < until) {
                patience_pause();
                r = pick_slot(w);
        }
        return r;
}

/* Sleep until readers have let go of a slot. */
static int sleep_for_room(struct shmd_writer *w, int64_t deadline) {
        int r = 0;

        while (r == 0) {
                slots_want_room(&w->slots, true);
                r = pick_slot(w);
                if (r != SLOTS_E_FULL)
                        break;
                r = 0;
                if (find_dead(w))
                        continue;
                if (w->handle.removed)
                        r = -EIDRM;
                else if (deadline_left(deadline, -1) == 0)
                        r = -ETIMEDOUT;
                else
                        r = handle_sleep(&w->handle, deadline_left(deadline, LIVENESS_MS));
        }
        slots_want_room(&w->slots, false);
        return r;
}

/* Wait until readers have let go of a slot. */
static int wait_for_room(struct shmd_writer *w, int64_t deadline) {
        int64_t begin;
        int r;

        /* Asking for the dead costs a system call for each that is in the way: not each time that one who does not wait
         * comes by. */
        if (deadline == 0)
                return w->full++ % 64 == 0 && find_dead(w) && pick_slot(w) == 0 ? 0 : -ETIMEDOUT;
        begin = deadline_now();
        r = look_for_room(w, begin);
        if (r == SLOTS_E_FULL)
                r = sleep_for_room(w, deadline);
        patience_learn(&w->patience, deadline_now() - begin);
        return r;
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

int shmd_writer_begin(struct shmd_writer *w, void **data, size_t *size, int timeout_ms) {
        int64_t deadline = timeout_ms <= 0 ? 0 : deadline_in(timeout_ms);
        int r;

        if (w->handle.forked)
                return -ECHILD;
        if (w->begun)
                return -EBUSY;
        slots_expect(&w->slots);
        if (timeout_ms < 0)
                deadline = DEADLINE_NEVER;
        r = look(w);
        if (r)
                return r;
        if (w->handle.removed)
                return -EIDRM;
        r = lock(w, deadline);
        if (r == 0) {
                r = pick_slot(w);
                if (r == 0)
                        w->full = 0;
                if (r == SLOTS_E_FULL)
                        r = wait_for_room(w, deadline);
                if (r)
                        unlock(w);
        }
        if (r)
                return r == -ETIMEDOUT && timeout_ms == 0 ? -EAGAIN : r;
        w->begun = true;
        *data = slots_payload(&w->handle.slots, w->slots.slot);
        if (size)
                *size = w->handle.slots.geometry.slot_size;
        return 0;
}

int shmd_writer_flush(struct shmd_writer *w, size_t length, uint64_t tag) {
        int r;

        if (w->handle.forked)
                return -ECHILD;
        if (length > w->handle.slots.geometry.slot_size)
                return -EMSGSIZE;
        if (!w->begun) {
                if (w->handle.slots.geometry.n_slots > 1)
                        return -EINVAL;
                r = lock(w, DEADLINE_NEVER);
                if (r)
                        return r;
                w->slots.slot = 0;
        }
        w->sequence = slots_flush(&w->slots, length, tag, (uint64_t)deadline_now());
        w->begun = false;
        unlock(w);
        slots_prepare(&w->slots);
        return 0;
}

int shmd_writer_cancel(struct shmd_writer *w) {
        if (w->handle.forked)
                return -ECHILD;
        if (!w->begun)
                return -EINVAL;
        slots_cancel(&w->slots);
        w->begun = false;
        unlock(w);
        return 0;
}

int shmd_writer_data(struct shmd_writer *w, void **data, size_t *size) {
        if (w->handle.forked)
                return -ECHILD;
        if (w->handle.slots.geometry.n_slots > 1)
                return -EINVAL;
        *data = slots_payload(&w->handle.slots, 0);
        *size = w->handle.slots.geometry.slot_size;
        return 0;
}

/* ---- what else there is to know --------------------------------------------------------------------------------- */

uint64_t shmd_writer_sequence(const struct shmd_writer *w) { return w->sequence; }

const struct shmd_info *shmd_writer_info(const struct shmd_writer *w) { return &w->handle.info; }

int shmd_writer_readers(struct shmd_writer *w) {
        int r;

        if (w->handle.forked)
                return -ECHILD;
        r = look(w);
        if (r)
                return r;
        return w->handle.removed ? -EIDRM : (int)w->handle.users.readers;
}

int shmd_writer_wait_reader(struct shmd_writer *w, int timeout_ms) {
        int64_t deadline = deadline_in(timeout_ms);

        for (;;) {
                int r = shmd_writer_readers(w);

                if (r != 0)
                        return r < 0 ? r : 0;
                if (attach_is_offline(&w->handle.attach))
                        return -ENOTCONN;
                if (deadline_left(deadline, -1) == 0)
                        return timeout_ms == 0 ? -EAGAIN : -ETIMEDOUT;
                r = handle_sleep(&w->handle, deadline_left(deadline, -1));
                if (r)
                        return r;
        }
}
