/*
 * hostile.h -- a segment and two reader tables that somebody else writes to, before any access of ours.
 *
 * What is tried gets the memory as it would have it, read-only or not, with a page before and behind that nobody may
 * touch. The other mapping of it is the attacker's. The input says after how many accesses it stores what and where; at
 * its end it may begin again, so an attacker goes on for as long as it likes.
 */
#pragma once

#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>

#include "proto/message.h"
#include "proto/slots.h"
#include "tests/fuzz/feed.h"

/* Being given up after 20000 tries is the same as after 50, but takes longer. */
#undef SLOTS_RETRIES
#define SLOTS_RETRIES 50

#include "tests/unit/point.h"

#define HOSTILE_PAGE 4096u
#define HOSTILE_GROUPS 2u

/* One memfd, twice in memory. */
struct hostile_map {
        size_t size;
        unsigned char *ours;
        unsigned char *theirs;
};

struct hostile {
        struct slots slots; /* as we have it */
        struct layout_table *table[HOSTILE_GROUPS];
        struct hostile_map data;
        struct hostile_map tables[HOSTILE_GROUPS];
        struct slots honest; /* the attacker's mapping as slots, for frames as they should be */
        struct feed stores;  /* what is stored */
        struct feed all_stores;
        bool again;      /* at its end the stores begin anew */
        bool spare_data; /* the attacker may write to the tables only */
        bool spare_tables;
        uint32_t pause;    /* accesses until the next store */
        uint64_t accesses; /* of the current call */
        uint64_t limit;    /* of them */
        bool running;      /* a call is under way: accesses are counted, and stored between */
};

static struct hostile *hostile_current;

static inline void hostile_map_init(struct hostile_map *m, const char *name, size_t size, bool writable) {
        size_t room = (size + HOSTILE_PAGE - 1) / HOSTILE_PAGE * HOSTILE_PAGE;
        int fd = memfd_create(name, MFD_CLOEXEC);
        unsigned char *area;

        CHECK(fd >= 0 && ftruncate(fd, (off_t)room) == 0);
        area = mmap(NULL, room + 2 * (size_t)HOSTILE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(area != MAP_FAILED);
        m->size = size;
        m->ours =
                mmap(area + HOSTILE_PAGE, room, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, fd, 0);
        m->theirs = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        CHECK(m->ours != MAP_FAILED && m->theirs != MAP_FAILED);
        (void)close(fd);
}

/* Made once for each geometry, and never freed. */
static inline struct hostile *hostile_new(uint64_t slot_size, uint32_t n_slots, bool data_writable,
                                          bool tables_writable) {
        struct hostile *h = calloc(1, sizeof(*h));

        CHECK(h && geometry_init(&h->slots.geometry, slot_size, n_slots, HOSTILE_PAGE) == 0);
        hostile_map_init(&h->data, "data", h->slots.geometry.file_size, data_writable);
        h->honest = h->slots;
        h->slots.base = h->data.ours;
        h->honest.base = h->data.theirs;
        for (unsigned i = 0; i < HOSTILE_GROUPS; i++) {
                hostile_map_init(&h->tables[i], "table", sizeof(struct layout_table), tables_writable);
                h->table[i] = (struct layout_table *)(void *)h->tables[i].ours;
        }
        return h;
}

static inline void hostile_init(struct hostile *h, struct feed stores, bool again) {
        h->stores = h->all_stores = stores;
        h->again = again;
        h->spare_data = h->spare_tables = h->running = false;
        h->pause = 0;
        memset(h->data.theirs, 0, h->slots.geometry.payload_offset);
        slots_init(&h->honest);
        for (unsigned i = 0; i < HOSTILE_GROUPS; i++) {
                memset(h->tables[i].theirs, 0, h->tables[i].size);
                slots_table_init((struct layout_table *)(void *)h->tables[i].theirs);
        }
        hostile_current = h;
}

/* ---- the attacker ------------------------------------------------------------------------------------------------ */

/* A value that means something to somebody. */
static inline uint64_t hostile_value(struct hostile *h) {
        uint8_t kind = feed_u8(&h->stores);
        uint64_t newest = slots_word_sequence(*(uint64_t *)(void *)&slots_header(&h->honest)->head);
        uint64_t sequence = newest + (uint64_t)(int64_t)((kind >> 4) - 8);

        switch (kind & 15) {
        case 0:
                return 0;
        case 1:
                return sequence;
        case 2:
                return sequence | LAYOUT_CLAIMED;
        case 3:
                return LAYOUT_WRITING;
        case 4:
                return LAYOUT_TORN;
        case 5:
                return slots_word(sequence, feed_u8(&h->stores) % h->slots.geometry.n_slots);
        case 6:
                return slots_word(sequence, feed_u16(&h->stores) % LAYOUT_SLOTS_MAX);
        case 7:
                return UINT64_MAX >> (kind >> 4);
        case 8:
                return UINT64_C(1) << (kind >> 4) * 4;
        case 9:
                return h->slots.geometry.slot_size + (uint64_t)(int64_t)((kind >> 4) - 8);
        case 10:
                return LAYOUT_SEQUENCE_MAX - (kind >> 4);
        case 11:
                return slots_word(LAYOUT_SEQUENCE_MAX - (kind >> 4), feed_u8(&h->stores) % h->slots.geometry.n_slots);
        case 12:
                return 1;
        default:
                return feed_u64(&h->stores);
        }
}

static inline void hostile_store32(_Atomic uint32_t *p, uint64_t v) {
        __atomic_store_n((uint32_t *)(void *)p, (uint32_t)v, __ATOMIC_SEQ_CST);
}

static inline void hostile_store64(_Atomic uint64_t *p, uint64_t v) {
        __atomic_store_n((uint64_t *)(void *)p, v, __ATOMIC_SEQ_CST);
}

static inline void hostile_store_data(struct hostile *h) {
        struct layout_header *header = slots_header(&h->honest);
        uint8_t what = feed_u8(&h->stores);
        uint32_t slot = (what >> 4) % h->slots.geometry.n_slots;
        uint64_t offset;
        uint64_t v;

        switch (what & 15) {
        case 0:
        case 1:
        case 2:
                hostile_store64(&header->head, hostile_value(h));
                break;
        case 3:
        case 4:
        case 5:
                hostile_store64(&slots_slot(&h->honest, slot)->sequence, hostile_value(h));
                break;
        case 6:
                hostile_store64(&slots_slot(&h->honest, slot)->length, hostile_value(h));
                break;
        case 7:
        case 8:
                v = hostile_value(h);
                hostile_store64(slots_index(&h->honest, slots_word_sequence(v)), v);
                break;
        case 9:
                hostile_store32(&header->epoch, hostile_value(h));
                break;
        case 10:
                hostile_store32(&header->lock, hostile_value(h));
                break;
        case 11:
                hostile_store32(&header->next_slot, hostile_value(h));
                break;
        case 12:
                hostile_store32(&header->lock_wanted, hostile_value(h));
                break;
        case 13:
                hostile_store32(&header->room_wanted, hostile_value(h));
                break;
        case 14:
                hostile_store64(&header->kept[slot].word, hostile_value(h));
                hostile_store64(&header->kept[slot].accounts, feed_u8(&h->stores));
                break;
        default:
                offset = feed_u16(&h->stores) * (uint64_t)8 % h->slots.geometry.payload_offset;
                v = hostile_value(h);
                memcpy(h->data.theirs + offset, &v, sizeof(v));
                break;
        }
}

static inline void hostile_store_table(struct hostile *h) {
        uint8_t what = feed_u8(&h->stores);
        struct layout_table *table = (struct layout_table *)(void *)h->tables[what >> 7].theirs;
        struct layout_reader *r = &table->reader[(what >> 4 & 7) == 7 ? LAYOUT_READERS_MAX - 1 : what >> 4 & 7];
        uint64_t offset;
        uint64_t v;

        switch (what & 15) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
                hostile_store64(&r->hold, hostile_value(h));
                break;
        case 5:
        case 6:
                hostile_store64(&r->cursor, hostile_value(h));
                break;
        case 7:
        case 8:
                hostile_store64(&r->ordered, hostile_value(h));
                break;
        case 9:
                hostile_store64(&r->missed, hostile_value(h));
                break;
        case 10:
        case 11:
                hostile_store32(&table->used, hostile_value(h));
                break;
        case 12:
                hostile_store64(&table->waiting[(what >> 4) % LAYOUT_WAITING_WORDS], hostile_value(h));
                break;
        default:
                offset = feed_u16(&h->stores) * (uint64_t)8 % h->tables[0].size;
                v = hostile_value(h);
                memcpy(h->tables[what >> 7].theirs + offset, &v, sizeof(v));
                break;
        }
}

static inline void hostile_store(struct hostile *h) {
        uint8_t how = feed_u8(&h->stores);

        if (!h->spare_data && (h->spare_tables || (how & 1)))
                hostile_store_data(h);
        else if (!h->spare_tables)
                hostile_store_table(h);
        /* Most of the time soon, but now and then far on. */
        h->pause = how & 2 ? (how >> 2) * (uint32_t)16 : how >> 2 & 7;
}

/* Several stores one after the other, between two calls. */
static inline void hostile_scribble(struct hostile *h, uint32_t n) {
        while (n-- > 0 && h->stores.left > 0)
                hostile_store(h);
}

void point(void) {
        struct hostile *h = hostile_current;

        if (!h->running)
                return;
        CHECK(h->accesses++ < h->limit);
        if (h->pause > 0) {
                h->pause--;
                return;
        }
        if (h->stores.left == 0 && h->again)
                h->stores = h->all_stores;
        if (h->stores.left > 0)
                hostile_store(h);
}

/* A call of what is tried, which may make so many accesses. */
#define HOSTILE_CALL(h, most, call)          \
        ({                                   \
                (h)->accesses = 0;           \
                (h)->limit = (most);         \
                (h)->running = true;         \
                __auto_type result = (call); \
                (h)->running = false;        \
                result;                      \
        })

/* A frame as an honest writer makes it, on whatever memory there is. */
static inline void hostile_publish(struct hostile *h, struct slots_writer *w, uint64_t length) {
        uint32_t seen;

        w->slots = h->honest;
        w->epoch = __atomic_load_n((uint32_t *)(void *)&slots_header(&h->honest)->epoch, __ATOMIC_SEQ_CST);
        (void)slots_lock(&w->slots, 3, &seen);
        if (slots_begin(w) == 0)
                (void)slots_flush(w, length % (h->slots.geometry.slot_size + 1), length, 1);
        (void)slots_unlock(&w->slots);
}
