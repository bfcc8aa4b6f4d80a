/* test_geometry.c -- the layout of a segment: at the edges, and for many random ones that nothing overlaps. */
#include <string.h>

#include "proto/geometry.h"
#include "proto/layout.h"
#include "tests/support.h"

static void refused(uint64_t slot_size, uint32_t n_slots, uint64_t page_size, int outcome) {
        struct geometry g, before;

        memset(&g, 0x5a, sizeof(g));
        before = g;
        assert_int_equal(geometry_init(&g, slot_size, n_slots, page_size), outcome);
        assert_memory_equal(&g, &before, sizeof(g));
}

static void holds(uint64_t slot_size, uint32_t n_slots, uint64_t page_size) {
        struct geometry g;

        memset(&g, 0x5a, sizeof(g));
        assert_int_equal(geometry_init(&g, slot_size, n_slots, page_size), 0);
        assert_int_equal(g.slot_size, slot_size);
        assert_int_equal(g.n_slots, n_slots);

        /* Index: a power of two that fits every slot, and no larger than it must be. */
        assert_int_equal(g.index_size & (g.index_size - 1), 0);
        assert_true(g.index_size >= n_slots);
        assert_true(g.index_size == 1 || g.index_size / 2 < n_slots);

        /* Each part begins behind the one before. */
        assert_true(g.slot_offset >= sizeof(struct layout_header));
        assert_true(g.index_offset >= g.slot_offset + n_slots * sizeof(struct layout_slot));
        assert_true(g.payload_offset >= g.index_offset + g.index_size * sizeof(uint64_t));
        assert_true(g.stride >= slot_size);
        assert_true(g.stride - slot_size < 4096);
        assert_true(g.file_size >= g.payload_offset + (n_slots - 1) * g.stride + slot_size);
        assert_true(g.file_size - (g.payload_offset + n_slots * g.stride) < page_size);
        assert_true(g.file_size <= (uint64_t)INT64_MAX);

        assert_int_equal(g.slot_offset % LAYOUT_LINE, 0);
        assert_int_equal(g.index_offset % LAYOUT_LINE, 0);
        assert_int_equal(g.payload_offset % 4096, 0);
        assert_int_equal(g.stride % (slot_size < 4096 ? LAYOUT_LINE : 4096), 0);
        assert_int_equal(g.file_size % page_size, 0);
}

static void test_edges(void **state) {
        (void)state;
        refused(0, 1, 4096, GEOMETRY_E_SLOT_SIZE);
        refused(GEOMETRY_SLOT_SIZE_MAX + 1, 1, 4096, GEOMETRY_E_SLOT_SIZE);
        refused(UINT64_MAX, 1, 4096, GEOMETRY_E_SLOT_SIZE);
        refused(UINT64_MAX - 4094, LAYOUT_SLOTS_MAX, 4096, GEOMETRY_E_SLOT_SIZE);
        refused(1, 0, 4096, GEOMETRY_E_SLOTS);
        refused(1, LAYOUT_SLOTS_MAX + 1, 4096, GEOMETRY_E_SLOTS);
        refused(1, UINT32_MAX, 4096, GEOMETRY_E_SLOTS);
        refused(1, 1, 0, GEOMETRY_E_PAGE);
        refused(1, 1, 2048, GEOMETRY_E_PAGE);
        refused(1, 1, 4095, GEOMETRY_E_PAGE);
        refused(1, 1, 4097, GEOMETRY_E_PAGE);
        refused(1, 1, 12288, GEOMETRY_E_PAGE);
        refused(1, 1, GEOMETRY_HUGE_PAGE * 2, GEOMETRY_E_PAGE);
        refused(1, 1, UINT64_C(1) << 63, GEOMETRY_E_PAGE);

        holds(1, 1, 4096);
        holds(GEOMETRY_SLOT_SIZE_MAX, 1, 4096);
        holds(1, LAYOUT_SLOTS_MAX, 4096);
        holds(1, 1, GEOMETRY_HUGE_PAGE);
        holds(GEOMETRY_SLOT_SIZE_MAX, LAYOUT_SLOTS_MAX, GEOMETRY_HUGE_PAGE);
        holds(GEOMETRY_SLOT_SIZE_MAX - 1, LAYOUT_SLOTS_MAX - 1, 65536);
        for (uint64_t size = 4090; size < 4102; size++)
                holds(size, 3, 4096);
        for (uint64_t size = 60; size < 70; size++)
                holds(size, 3, 4096);
        for (uint32_t n = 1; n <= LAYOUT_SLOTS_MAX; n++)
                holds(100, n, 4096);
}

static void test_random(void **state) {
        struct random rnd = random_seeded("geometry");

        (void)state;
        for (int i = 0; i < 300000; i++) {
                uint64_t size =
                        1 + random_below(&rnd, GEOMETRY_SLOT_SIZE_MAX) % (UINT64_C(1) << random_below(&rnd, 45));
                uint32_t n = 1 + (uint32_t)random_below(&rnd, LAYOUT_SLOTS_MAX);

                holds(size, n, UINT64_C(4096) << random_below(&rnd, 10));
        }
}

/* The same numbers must come out at both ends, so they are part of the layout version. */
static void test_known(void **state) {
        struct geometry g;

        (void)state;
        assert_int_equal(geometry_init(&g, 6220800, 4, 4096), 0);
        assert_int_equal(g.stride, 6221824);
        assert_int_equal(g.index_size, 4);
        assert_int_equal(g.slot_offset, 1280);
        assert_int_equal(g.index_offset, 1536);
        assert_int_equal(g.payload_offset, 4096);
        assert_int_equal(g.file_size, 4096 + 4 * 6221824);
        assert_int_equal(geometry_init(&g, 100, 5, 4096), 0);
        assert_int_equal(g.stride, 128);
        assert_int_equal(g.index_size, 8);
        assert_int_equal(g.index_offset, 1600);
        assert_int_equal(g.file_size, 8192);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_edges),
                cmocka_unit_test(test_random),
                cmocka_unit_test(test_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
