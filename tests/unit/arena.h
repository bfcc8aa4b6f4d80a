/*
 * arena.h -- a segment and its reader tables in plain memory, for tests of the slots without any daemon.
 *
 * Before and behind each piece lies a page that nobody may touch. The memory is shared with children, so a test can
 * stop one anywhere and look at what it has left. Payloads are stamped, so a frame tells whether it is whole.
 */
#pragma once

#include <string.h>
#include <sys/mman.h>

#include "proto/message.h"
#include "proto/slots.h"
#include "tests/support.h"

#define ARENA_PAGE 4096u
#define ARENA_GROUPS 4u
#define ARENA_STAMP_TS UINT64_C(1000000000)

struct arena {
        struct slots slots;
        struct layout_table
                *table[ARENA_GROUPS]; /* the first binds, the others are of three other uids, with no holds */
        struct slots_writer writer;
        unsigned char *map[1 + ARENA_GROUPS];
        size_t map_size[1 + ARENA_GROUPS];
};

/* @size bytes, zero, that end where a forbidden page begins. */
static inline unsigned char *arena_map(struct arena *a, unsigned i, size_t size) {
        size_t room = (size + ARENA_PAGE - 1) / ARENA_PAGE * ARENA_PAGE;

        a->map_size[i] = room + 2 * (size_t)ARENA_PAGE;
        a->map[i] = mmap(NULL, a->map_size[i], PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(a->map[i] != MAP_FAILED);
        assert_int_equal(mprotect(a->map[i] + ARENA_PAGE, room, PROT_READ | PROT_WRITE), 0);
        return a->map[i] + ARENA_PAGE + room - size;
}

/* What the daemon tells of a group. */
static inline void arena_set_holds(struct arena *a, uint32_t group, uint32_t account, uint32_t holds) {
        slots_set_group(&a->writer, group,
                        &(struct slots_group){
                                .table = a->table[group],
                                .binding = group == 0,
                                .account = account,
                                .holds = holds,
                        });
}

static inline struct arena *arena_new(uint64_t slot_size, uint32_t n_slots, bool block) {
        struct arena *a = calloc(1, sizeof(*a));

        assert_non_null(a);
        assert_int_equal(geometry_init(&a->slots.geometry, slot_size, n_slots, ARENA_PAGE), 0);
        a->slots.base = arena_map(a, 0, a->slots.geometry.file_size);
        slots_init(&a->slots);
        a->writer.slots = a->slots;
        a->writer.block = block;
        for (unsigned i = 0; i < ARENA_GROUPS; i++) {
                a->table[i] = (struct layout_table *)arena_map(a, 1 + i, sizeof(struct layout_table));
                slots_table_init(a->table[i]);
                arena_set_holds(a, i, i, 0);
        }
        return a;
}

static inline struct arena *arena_free(struct arena *a) {
        if (a)
                for (unsigned i = 0; i <= ARENA_GROUPS; i++)
                        (void)munmap(a->map[i], a->map_size[i]);
        free(a);
        return NULL;
}

/* What the daemon and the library do to open a reader. */
static inline void arena_enter(struct arena *a, struct slots_reader *r, unsigned group, uint32_t entry, uint32_t start,
                               bool ordered) {
        slots_enter(&a->slots, a->table[group], entry, start, ordered);
        *r = (struct slots_reader){
                .slots = a->slots,
                .table = a->table[group],
                .entry = entry,
                .ordered = ordered,
                .cursor = atomic_load(&a->table[group]->reader[entry].cursor),
        };
}

static inline void arena_leave(struct slots_reader *r) { slots_leave(r->table, r->entry); }

/* Length and bytes of a frame follow from its tag. */
static inline uint64_t arena_length(const struct slots *s, uint64_t tag) {
        return 8 + tag * UINT64_C(0x9e3779b97f4a7c15) % (s->geometry.slot_size - 7);
}

static inline void arena_stamp(const struct slots *s, uint32_t slot, uint64_t tag) {
        unsigned char *p = slots_payload(s, slot);
        uint64_t length = arena_length(s, tag), i = 0;

        for (; i + 8 <= length; i += 8) {
                uint64_t word = tag + i;

                memcpy(p + i, &word, 8);
        }
        for (; i < length; i++)
                p[i] = (unsigned char)(tag + i);
}

static inline bool arena_whole(const struct slots *s, const struct slots_frame *frame) {
        uint64_t i = 0;

        if (frame->length != arena_length(s, frame->tag))
                return false;
        for (; i + 8 <= frame->length; i += 8) {
                uint64_t word;

                memcpy(&word, frame->data + i, 8);
                if (word != frame->tag + i)
                        return false;
        }
        for (; i < frame->length; i++)
                if (frame->data[i] != (unsigned char)(frame->tag + i))
                        return false;
        return true;
}

/* Fill and publish what was begun. */
static inline uint64_t arena_flush(struct slots_writer *w, uint64_t tag) {
        arena_stamp(&w->slots, w->slot, tag);
        return slots_flush(w, arena_length(&w->slots, tag), tag, ARENA_STAMP_TS + tag);
}

/* One frame by writer @id: lock, begin, flush, unlock. The tag is the sequence number it should get. */
static inline void arena_publish(struct arena *a, uint32_t id) {
        uint64_t tag = slots_newest(&a->slots) + 1;
        uint32_t seen;

        assert_int_equal(slots_lock(&a->slots, id, &seen), 0);
        assert_int_equal(slots_begin(&a->writer), 0);
        assert_int_equal(arena_flush(&a->writer, tag), tag);
        assert_false(slots_unlock(&a->slots));
}

/* The frame is whole and is number @sequence. */
static inline void arena_assert_frame(const struct arena *a, const struct slots_frame *frame, uint64_t sequence) {
        assert_int_equal(frame->sequence, sequence);
        assert_int_equal(frame->tag, sequence);
        assert_int_equal(frame->timestamp, ARENA_STAMP_TS + sequence);
        assert_true(arena_whole(&a->slots, frame));
}
