/* fuzz_slots_reader.c -- a reader whose segment, and whose table, others rewrite under its hands. */
#include "tests/fuzz/hostile.h"

#define ENTRY 3u

static struct hostile *choose(uint8_t which) {
        static const uint32_t slots[] = { 1, 2, 3, 4, 16, 64 };
        static const uint64_t sizes[] = { 1, 100, 4096 };
        static struct hostile *made[6][3];
        struct hostile **h = &made[which % 6][which / 6 % 3];

        if (!*h)
                *h = hostile_new(sizes[which / 6 % 3], slots[which % 6], false, true);
        return *h;
}

/* What a caller may rely on, whatever the memory says. */
static void check_frame(const struct slots_reader *r, const struct slots_frame *frame, uint64_t before) {
        const struct geometry *g = &r->slots.geometry;
        const unsigned char *payload = slots_payload(&r->slots, 0);
        static volatile unsigned char last;

        CHECK(frame->data >= payload && (uint64_t)(frame->data - payload) % g->stride == 0);
        CHECK((uint64_t)(frame->data - payload) / g->stride < g->n_slots);
        CHECK(frame->length <= g->slot_size);
        CHECK(frame->sequence > 0 && frame->sequence <= LAYOUT_SEQUENCE_MAX);
        CHECK(r->held != 0 && r->cursor == frame->sequence && r->before == before);
        CHECK(frame->missed < frame->sequence);
        if (frame->length > 0)
                last = frame->data[frame->length - 1];
        (void)last;
}

static void check_outcome(const struct slots_reader *r, int e) {
        CHECK(e == SLOTS_E_NONE || e == SLOTS_E_CONFUSED ||
              (r->slots.geometry.n_slots == 1 && (e == SLOTS_E_BUSY || e == SLOTS_E_TORN)));
        CHECK(r->held == 0);
}

static void step(struct hostile *h, struct slots_reader *r, struct slots_writer *honest, struct feed *ops) {
        /* Of one look: the index, the slot, the hold, six words of the slot, and letting go. */
        const uint64_t most = 20 * (uint64_t)(SLOTS_RETRIES + 4 * (uint64_t)r->slots.geometry.index_size);
        uint8_t op = feed_u8(ops);
        uint64_t before = r->cursor;
        struct slots_frame frame;
        int e;

        switch (op & 15) {
        case 0:
        case 1:
        case 2:
                hostile_publish(h, honest, op >> 4);
                break;
        case 3:
        case 4:
                hostile_scribble(h, 1 + (op >> 4));
                break;
        case 5:
        case 6:
        case 7:
        case 8:
                if (r->held)
                        break;
                e = (op & 1) ? HOSTILE_CALL(h, most, slots_latest(r, &frame))
                             : HOSTILE_CALL(h, most, slots_next(r, &frame));
                if (e == 0)
                        check_frame(r, &frame, before);
                else
                        check_outcome(r, e);
                break;
        case 9:
                if (r->held)
                        (void)HOSTILE_CALL(h, 10, slots_intact(r));
                break;
        case 10:
        case 11:
                e = HOSTILE_CALL(h, 10, slots_release(r));
                CHECK(e == 0 || e == SLOTS_E_OVERWRITTEN || e == SLOTS_E_NONE);
                CHECK(r->held == 0 && r->cursor == before);
                break;
        case 12:
                if (r->held)
                        slots_untake(r);
                break;
        case 13:
                (void)HOSTILE_CALL(h, 10, slots_fresh(r));
                break;
        case 14:
                (void)HOSTILE_CALL(h, 10, slots_arm(r));
                break;
        default:
                (void)HOSTILE_CALL(h, 10, slots_newest_timestamp(&r->slots));
                r->room = false;
                break;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct feed f = { data, size };
        struct hostile *h = choose(feed_u8(&f));
        uint8_t flags = feed_u8(&f);
        struct feed ops = feed_split(&f);
        struct slots_writer honest = { .n_groups = 1, .block = flags & 1 };
        struct slots_reader r = { .slots = h->slots, .table = h->table[0], .entry = ENTRY, .ordered = flags & 2 };

        hostile_init(h, f, flags & 4);
        h->spare_tables = flags & 8;
        honest.groups[0] = (struct slots_group){ .table = h->table[0], .binding = true };
        slots_enter(&h->honest, h->table[0], ENTRY, flags >> 4 & 3, flags & 2);
        while (ops.left > 0)
                step(h, &r, &honest, &ops);
        return 0;
}
