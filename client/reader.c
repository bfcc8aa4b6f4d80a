/* reader.c -- a segment opened for reading: the waiting around the slots. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/deadline.h"
#include "client/handle.h"
#include "client/patience.h"
#include "proto/cleanup.h"

#define COPY_RETRIES 1000 /* of a copy that the writer overtakes */

struct shmd_reader {
        struct handle handle;
        struct slots_reader slots;
        int table; /* the reader's sign of life */
        uint32_t group;
        int room; /* rung for a writer that waits for us; -1 where none does */
        bool armed;
        struct patience patience;
        unsigned busy; /* times in a row that a one-slot segment was being changed */
};

static struct shmd_reader *reader_of(struct handle *h) { return container_of(h, struct shmd_reader, handle); }

static void close_own(struct handle *h) {
        struct shmd_reader *r = reader_of(h);

        fd_close(STEAL_FD(r->table));
        fd_close(STEAL_FD(r->room));
        if (h->forked)
                r->slots.table = NULL; /* not mapped here */
}

static int fill_claim(struct handle *h, struct proto_claim *claim) {
        struct shmd_reader *r = reader_of(h);

        claim->access = PROTO_ACCESS_READ;
        claim->entry = r->slots.entry;
        claim->group = r->group;
        return r->table;
}

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

static int take_answer(struct shmd_reader *r, const struct proto_opened *opened, struct packet *packet) {
        void *table;
        int e;

        r->table = packet_take_fd(packet, 1);
        r->room = packet_take_fd(packet, 2);
        if (r->table < 0 || opened->entry >= LAYOUT_READERS_MAX)
                return -EPROTO;
        e = handle_map(&table, r->table, sizeof(struct layout_table), true, true);
        if (e)
                return e;
        r->slots.slots = r->handle.slots;
        r->slots.table = table;
        r->slots.entry = opened->entry;
        r->group = opened->group;
        r->slots.cursor = atomic_load(&r->slots.table->reader[opened->entry].cursor);
        return 0;
}

int shmd_reader_open(struct shmd_reader **out, struct shmd *conn, const char *name, unsigned flags, int timeout_ms) {
        const unsigned known = SHMD_WAIT | SHMD_ORDERED | SHMD_FROM_OLDEST | SHMD_FROM_END;
        struct proto_open request = {
                .access = PROTO_ACCESS_READ,
                .flags = (flags & SHMD_WAIT ? PROTO_OPEN_WAIT : 0) | (flags & SHMD_ORDERED ? PROTO_OPEN_ORDERED : 0),
                .start = flags & SHMD_FROM_OLDEST ? PROTO_START_OLDEST
                         : flags & SHMD_FROM_END  ? PROTO_START_END
                                                  : PROTO_START_NEWEST,
        };
        struct proto_opened opened;
        struct packet packet;
        struct shmd_reader *r;
        unsigned unknown;
        int e;

        *out = NULL;
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        handle_init(&r->handle);
        r->handle.in_child = close_own;
        r->handle.fill_claim = fill_claim;
        r->table = r->room = -1;
        patience_init(&r->patience);
        unknown = flags & ~known;
        if ((flags & SHMD_FROM_OLDEST) && (flags & SHMD_FROM_END))
                unknown |= SHMD_FROM_OLDEST | SHMD_FROM_END;
        e = handle_open(&r->handle, conn, name, unknown, &request, &opened, &packet, 3, timeout_ms);
        if (e == 0) {
                r->slots.ordered = (flags & SHMD_ORDERED) && opened.policy == PROTO_POLICY_BLOCK && opened.binding;
                e = take_answer(r, &opened, &packet);
                packet_close(&packet);
        }
        if (e) {
                shmd_reader_close(r);
                return e;
        }
        *out = r;
        return 0;
}

struct shmd_reader *shmd_reader_close(struct shmd_reader *r) {
        if (!r)
                return NULL;
        if (r->slots.held && !r->handle.forked)
                shmd_reader_release(r);
        if (r->slots.table)
                (void)munmap(r->slots.table, sizeof(*r->slots.table));
        close_own(&r->handle);
        handle_close(&r->handle);
        free(r);
        return NULL;
}

/* ---- frames ----------------------------------------------------------------------------------------------------- */

/* Wake a writer that waits until we let go, if there is one. */
static void ring_room(struct shmd_reader *r) {
        static const uint64_t zero;

        if (!r->slots.room)
                return;
        r->slots.room = false;
        if (r->room >= 0 && write(r->room, &zero, sizeof(zero)) < 0)
                return; /* only memory pressure is left; the writer looks again by itself after a while */
}

static int disarm(struct shmd_reader *r) {
        if (r->armed)
                slots_disarm(&r->slots);
        r->armed = false;
        return 0;
}

/* One slot: did the writer that is changing it die doing so? Asked at first and then now and then: it costs a system
 * call. With the daemon there, it marks the slot torn by itself. */
static bool is_writer_dead(struct shmd_reader *r) {
        uint32_t lock;

        if (r->busy++ % 64)
                return false;
        lock = atomic_load_explicit(&slots_header(&r->handle.slots)->lock, memory_order_relaxed);
        return slots_lock_owner(lock) != UINT32_MAX && !handle_is_alive(r->handle.data, slots_lock_owner(lock));
}

/* What the slots say of a frame, as an errno. */
static int outcome(struct shmd_reader *r, int e) {
        switch (e) {
        case 0:
                r->busy = 0;
                return 0;
        case SLOTS_E_NONE:
                return r->handle.removed ? -EIDRM : -EAGAIN;
        case SLOTS_E_BUSY:
                return is_writer_dead(r) ? -EOWNERDEAD : -EAGAIN;
        case SLOTS_E_TORN:
                return -EOWNERDEAD;
        default:
                return -EPROTO;
        }
}

/* Hold a frame. Return: 0, or a negative errno. */
static int hold(struct shmd_reader *r, unsigned which, struct slots_frame *frame) {
        int e;

        if (r->handle.forked)
                return -ECHILD;
        if (r->slots.held)
                return -EBUSY;
        if (which != SHMD_LATEST && which != SHMD_NEXT)
                return -EINVAL;
        disarm(r);
        e = handle_look(&r->handle);
        if (e)
                return e;
        /* Of a removed segment what is new is still given, and nothing twice. */
        if (r->handle.removed && !slots_fresh(&r->slots))
                return -EIDRM;
        e = outcome(r, which == SHMD_NEXT ? slots_next(&r->slots, frame) : slots_latest(&r->slots, frame));
        ring_room(r);
        return e;
}

static void describe(struct shmd_frame *out, const struct slots_frame *in) {
        *out = (struct shmd_frame){
                .data = in->data,
                .length = in->length,
                .sequence = in->sequence,
                .timestamp = in->timestamp,
                .tag = in->tag,
                .missed = in->missed,
        };
}

int shmd_reader_latest(struct shmd_reader *r, struct shmd_frame *frame) {
        struct slots_frame f;
        int e = hold(r, SHMD_LATEST, &f);

        if (e)
                return e;
        describe(frame, &f);
        return f.sequence == r->slots.before;
}

int shmd_reader_next(struct shmd_reader *r, struct shmd_frame *frame) {
        struct slots_frame f;
        int e = hold(r, SHMD_NEXT, &f);

        if (e)
                return e;
        describe(frame, &f);
        return 0;
}

int shmd_reader_release(struct shmd_reader *r) {
        int e;

        if (r->handle.forked)
                return -ECHILD;
        e = slots_release(&r->slots);
        ring_room(r);
        return e == 0 ? 0 : e == SLOTS_E_OVERWRITTEN ? -ESTALE : -EINVAL;
}

int shmd_reader_intact(struct shmd_reader *r) {
        if (r->handle.forked)
                return -ECHILD;
        return r->slots.held ? slots_intact(&r->slots) : -EINVAL;
}

int shmd_reader_copy(struct shmd_reader *r, unsigned which, void *buffer, size_t size, struct shmd_frame *frame) {
        for (unsigned i = 0; i < COPY_RETRIES; i++) {
                struct slots_frame f;
                bool same, fits, whole;
                int e = hold(r, which, &f);

                if (e)
                        return e;
                same = f.sequence == r->slots.before;
                fits = f.length <= size;
                if (fits && f.length > 0) /* an empty frame needs no buffer */
                        memcpy(buffer, f.data, f.length);
                if (frame) {
                        describe(frame, &f);
                        frame->data = NULL;
                }
                /* Overtaken while it was copied: it was never taken, and next() will count it as missed. What happens to
                 * it after this look does not matter any more. */
                whole = slots_intact(&r->slots);
                if (!fits || !whole)
                        slots_untake(&r->slots);
                (void)shmd_reader_release(r);
                if (whole)
                        return fits ? same : -EMSGSIZE;
        }
        return -EAGAIN;
}

int shmd_reader_data(struct shmd_reader *r, const void **data, size_t *size) {
        if (r->handle.forked)
                return -ECHILD;
        if (r->handle.slots.geometry.n_slots > 1)
                return -EINVAL;
        *data = slots_payload(&r->handle.slots, 0);
        *size = r->handle.slots.geometry.slot_size;
        return 0;
}

/* ---- events ----------------------------------------------------------------------------------------------------- */

/* What there is to tell now, each but FRAME once. Return: a mask, 0, or -EIDRM. */
static int collect(struct shmd_reader *r) {
        unsigned events = r->handle.events;

        r->handle.events = 0;
        if (slots_fresh(&r->slots))
                events |= SHMD_EVENT_FRAME;
        if (events == 0 && r->handle.removed)
                return -EIDRM;
        return (int)events;
}

int shmd_reader_arm(struct shmd_reader *r) {
        int e;

        if (r->handle.forked)
                return -ECHILD;
        disarm(r);
        /* Take what lies on the watch off it: from then on whatever rings it is news. */
        e = handle_sleep(&r->handle, 0);
        if (e == 0)
                e = collect(r);
        if (e)
                return e;
        r->armed = slots_arm(&r->slots);
        /* A frame has come meanwhile. To look for it once more would be to trust that it is still there: a writer that
         * shows one and takes it back, as it sees us look, would keep us here. */
        return r->armed ? 0 : SHMD_EVENT_FRAME;
}

/* Look for a frame or a notice for a while. Return: whether something is there. */
static bool look_out(struct shmd_reader *r, int64_t until) {
        const struct layout_header *h = slots_header(&r->handle.slots);

        do {
                /* The clock costs as much as a hundred looks. */
                for (int i = 0; i < 64; i++) {
                        if (slots_fresh(&r->slots) ||
                            atomic_load_explicit(&h->epoch, memory_order_relaxed) != r->handle.epoch)
                                return true;
                        patience_pause();
                }
        } while (deadline_now() < until);
        return false;
}

/* Wait once: by looking, or asleep. Return: the events, 0: none, or a negative errno. */
static int wait_once(struct shmd_reader *r, int64_t begin, int64_t deadline) {
        int64_t spin = patience_spin(&r->patience);
        int e;

        if (spin > 0 && look_out(r, begin + spin < deadline ? begin + spin : deadline)) {
                e = handle_look(&r->handle);
                return e ? e : collect(r);
        }
        /* What lies on the watch stays there: a stale edge ends the sleep early, and costs no more than to look for one
         * first would each time. */
        r->armed = slots_arm(&r->slots);
        if (!r->armed)
                return collect(r);
        e = handle_sleep(&r->handle, deadline_left(deadline, -1));
        disarm(r);
        return e ? e : collect(r);
}

/* From @begin to a time that may be anything: a writer has stored it. */
static int64_t since(uint64_t time, uint64_t begin) {
        uint64_t ns = time > begin ? time - begin : 0;

        return ns < INT64_MAX ? (int64_t)ns : INT64_MAX;
}

int shmd_reader_wait(struct shmd_reader *r, int timeout_ms) {
        int64_t begin, deadline;
        int e;

        if (r->handle.forked)
                return -ECHILD;
        e = handle_look(&r->handle);
        if (e == 0)
                e = collect(r);
        if (e || timeout_ms == 0)
                return e;
        begin = deadline_now();
        deadline = timeout_ms < 0 ? DEADLINE_NEVER : begin + timeout_ms * INT64_C(1000000);
        do
                e = wait_once(r, begin, deadline);
        while (e == 0 && deadline_left(deadline, -1) != 0);
        /* When the frame was published tells how long the wait was without the price of waking up. */
        if (e > 0 && ((unsigned)e & SHMD_EVENT_FRAME))
                patience_learn(&r->patience, since(slots_newest_timestamp(&r->handle.slots), (uint64_t)begin));
        else if (e == 0)
                patience_learn(&r->patience, deadline - begin);
        return e;
}

int shmd_reader_fd(struct shmd_reader *r) { return r->handle.forked ? -ECHILD : r->handle.watch; }

int shmd_reader_writers(struct shmd_reader *r) {
        int e;

        if (r->handle.forked)
                return -ECHILD;
        e = handle_look(&r->handle);
        if (e)
                return e;
        return r->handle.removed ? -EIDRM : (int)r->handle.users.writers;
}

const struct shmd_info *shmd_reader_info(const struct shmd_reader *r) { return &r->handle.info; }
