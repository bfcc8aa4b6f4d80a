/* fuzz_slots_daemon.c -- what the daemon does in memory that writers and readers rewrite under its hands. */
#include "tests/fuzz/hostile.h"

static struct hostile *choose(uint8_t which) {
        static const uint32_t slots[] = { 1, 2, 4, 64 };
        static struct hostile *made[4];
        struct hostile **h = &made[which % 4];

        if (!*h)
                *h = hostile_new(100, slots[which % 4], true, true);
        return *h;
}

/* As release_lock() of the daemon does for a writer that is gone. */
static void bury_writer(struct hostile *h, uint32_t id) {
        const uint64_t n_slots = h->slots.geometry.n_slots;
        uint32_t seen = __atomic_load_n((uint32_t *)(void *)&slots_header(&h->honest)->lock, __ATOMIC_SEQ_CST);

        if (slots_lock_owner(seen) == id &&
            HOSTILE_CALL(h, 16 + 8 * n_slots, slots_lock_inherit(&h->slots, LAYOUT_WRITER_DAEMON, seen)))
                (void)HOSTILE_CALL(h, 8, slots_unlock(&h->slots));
}

static void step(struct hostile *h, struct slots_writer *honest, struct feed *ops) {
        uint8_t op = feed_u8(ops);
        uint32_t entry = op >> 4 & 7 ? op >> 4 & 7 : LAYOUT_READERS_MAX - 1;
        struct layout_table *table = h->table[op >> 7];

        switch (op & 7) {
        case 0:
        case 1:
                hostile_publish(h, honest, op >> 4);
                break;
        case 2:
                hostile_scribble(h, 1 + (op >> 4));
                break;
        case 3:
        case 4:
                (void)HOSTILE_CALL(h, 16 + 4 * (uint64_t)h->slots.geometry.index_size,
                                   (slots_enter(&h->slots, table, entry, op >> 5 & 3, op & 8), 0));
                break;
        case 5:
                (void)HOSTILE_CALL(h, 8, (slots_leave(table, entry), 0));
                break;
        case 6:
                bury_writer(h, op >> 4);
                break;
        default:
                (void)HOSTILE_CALL(h, 4, slots_newest(&h->slots));
                (void)HOSTILE_CALL(h, 4, slots_newest_timestamp(&h->slots));
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct feed f = { data, size };
        struct hostile *h = choose(feed_u8(&f));
        uint8_t flags = feed_u8(&f);
        struct feed ops = feed_split(&f);
        struct slots_writer honest = { .n_groups = HOSTILE_GROUPS, .block = flags & 1 };

        hostile_init(h, f, flags & 2);
        for (unsigned i = 0; i < HOSTILE_GROUPS; i++)
                honest.groups[i] = (struct slots_group){ .table = h->table[i], .binding = i == 0 };
        while (ops.left > 0)
                step(h, &honest, &ops);
        return 0;
}
