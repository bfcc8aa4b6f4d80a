/* fuzz_slots_writer.c -- a writer whose reader tables, and whose header, others rewrite under its hands. */
#include "tests/fuzz/hostile.h"

#define ID 7u

static struct hostile *choose(uint8_t which) {
        static const uint32_t slots[] = { 1, 2, 3, 6 };
        static struct hostile *made[4];
        struct hostile **h = &made[which % 4];

        if (!*h)
                *h = hostile_new(100, slots[which % 4], true, false);
        return *h;
}

/* One look at everybody who might need a frame, twice for each frame: a first look, and after the claim. Where other uids
 * hold it, as many looks at what else they hold as may be kept for them. And one frame more, which is taken from them. */
static uint64_t most_accesses(const struct slots_writer *w) {
        const uint64_t kept = slots_foreign_most(w->slots.geometry.n_slots);
        const uint64_t look = (2 + kept) * HOSTILE_GROUPS * (2 + 3 * (uint64_t)LAYOUT_READERS_MAX) + 8 * kept;

        return SLOTS_ROUNDS * (8 + (w->slots.geometry.n_slots + 1) * (8 + 2 * look));
}

static void begin(struct hostile *h, struct slots_writer *w, bool *begun) {
        const uint32_t n = w->slots.geometry.n_slots;
        uint64_t head = __atomic_load_n((uint64_t *)(void *)&slots_header(&h->honest)->head, __ATOMIC_SEQ_CST);
        int e = HOSTILE_CALL(h, most_accesses(w), slots_begin(w));

        CHECK(e == 0 || e == SLOTS_E_STALE || (e == SLOTS_E_FULL && w->block));
        if (h->spare_data)
                CHECK(e != SLOTS_E_STALE);
        if (e)
                return;
        *begun = true;
        CHECK(w->slot < n);
        /* Where only readers attack, the newest frame stays. */
        if (h->spare_data && n > 1 && head != 0)
                CHECK(w->slot != slots_word_slot(head));
        memset(slots_payload(&w->slots, w->slot), 0x55, w->slots.geometry.slot_size);
}

static void flush(struct hostile *h, struct slots_writer *w, uint8_t length) {
        uint64_t newest = slots_newest(&h->honest);
        uint64_t sequence = HOSTILE_CALL(h, 20, slots_flush(w, length % 101, length, 1));

        CHECK(sequence > 0 && sequence <= LAYOUT_SEQUENCE_MAX);
        if (h->spare_data)
                CHECK(sequence == newest + 1 && slots_newest(&h->honest) == sequence);
}

/* As find_dead() of the library does. */
static void find_blockers(struct hostile *h, struct slots_writer *w, bool dead) {
        uint32_t found = 0;

        for (uint32_t group = 0, entry = 0;
             HOSTILE_CALL(h, 4 * HOSTILE_GROUPS * LAYOUT_READERS_MAX, slots_blocker(w, &group, &entry)); entry++) {
                CHECK(group < w->n_groups && entry < LAYOUT_READERS_MAX);
                CHECK(w->groups[group].table && w->groups[group].binding);
                CHECK(found++ < HOSTILE_GROUPS * LAYOUT_READERS_MAX);
                if (dead)
                        w->groups[group].dead[entry / 64] |= UINT64_C(1) << entry % 64;
        }
}

static void cancel(struct slots_writer *w) { slots_cancel(w); }

static void step(struct hostile *h, struct slots_writer *w, struct feed *ops, bool *begun) {
        uint8_t op = feed_u8(ops);
        uint32_t seen;

        switch (op & 15) {
        case 0:
        case 1:
                hostile_scribble(h, 1 + (op >> 4));
                break;
        case 2:
                (void)HOSTILE_CALL(h, 4, slots_lock(&w->slots, ID, &seen));
                break;
        case 3:
                (void)HOSTILE_CALL(h, 8, slots_unlock(&w->slots));
                break;
        case 4:
        case 5:
        case 6:
        case 7:
                if (!*begun)
                        begin(h, w, begun);
                break;
        case 8:
        case 9:
        case 10:
                if (*begun || w->slots.geometry.n_slots == 1) {
                        w->slot = *begun ? w->slot : 0;
                        flush(h, w, op >> 4);
                }
                *begun = false;
                break;
        case 11:
                if (*begun)
                        (void)HOSTILE_CALL(h, 8, (cancel(w), 0));
                *begun = false;
                break;
        case 12:
                find_blockers(h, w, op & 16);
                break;
        case 13:
                (void)HOSTILE_CALL(h, 4, (slots_want_room(w, op & 16), 0));
                (void)HOSTILE_CALL(h, 4 * LAYOUT_WAITING_WORDS, slots_waiting(&w->groups[op >> 5 & 1]));
                break;
        case 14:
                w->epoch = __atomic_load_n((uint32_t *)(void *)&slots_header(&h->honest)->epoch, __ATOMIC_SEQ_CST);
                (void)HOSTILE_CALL(h, 4, (slots_prepare(w), 0));
                break;
        default:
                seen = __atomic_load_n((uint32_t *)(void *)&slots_header(&h->honest)->lock, __ATOMIC_SEQ_CST);
                (void)HOSTILE_CALL(h, 16 + 8 * (uint64_t)w->slots.geometry.n_slots,
                                   slots_lock_inherit(&w->slots, ID, seen));
                (void)HOSTILE_CALL(h, 4, slots_lock_want(&w->slots));
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct feed f = { data, size };
        struct hostile *h = choose(feed_u8(&f));
        uint8_t flags = feed_u8(&f);
        struct feed ops = feed_split(&f);
        struct slots_writer w = { .slots = h->slots, .block = flags & 1 };
        uint8_t holds = feed_u8(&f);
        bool begun = false;

        hostile_init(h, f, flags & 2);
        h->spare_data = flags & 4;
        for (unsigned i = 0; i < HOSTILE_GROUPS; i++)
                slots_set_group(&w, i,
                                &(struct slots_group){
                                        .table = flags >> (6 + i) & 1 ? NULL : h->table[i],
                                        .binding = flags >> (4 + i) & 1,
                                        .account = holds >> 4 & i,
                                        .holds = holds & 7,
                                });
        while (ops.left > 0)
                step(h, &w, &ops, &begun);
        return 0;
}
