#include "proto/geometry.h"

#include <stdbool.h>

#include "proto/layout.h"

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

int geometry_init(struct geometry *out, uint64_t slot_size, uint32_t n_slots, uint64_t page_size) {
        struct geometry g = { .slot_size = slot_size, .n_slots = n_slots };
        const uint64_t small_page = 4096;

        if (slot_size == 0 || slot_size > GEOMETRY_SLOT_SIZE_MAX)
                return GEOMETRY_E_SLOT_SIZE;
        if (n_slots == 0 || n_slots > LAYOUT_SLOTS_MAX)
                return GEOMETRY_E_SLOTS;
        if (page_size < small_page || page_size > GEOMETRY_HUGE_PAGE || (page_size & (page_size - 1)))
                return GEOMETRY_E_PAGE;

        g.index_size = 1;
        while (g.index_size < n_slots)
                g.index_size *= 2;
        /* Frames of a page and more start on a page, so that they can be mapped, advised and prefetched alone; small
         * ones on a line, so that two slots never share one. */
        g.stride = round_up(slot_size, slot_size < small_page ? LAYOUT_LINE : small_page);
        g.slot_offset = sizeof(struct layout_header);
        g.index_offset = g.slot_offset + n_slots * sizeof(struct layout_slot);
        g.payload_offset = round_up(g.index_offset + g.index_size * sizeof(uint64_t), small_page);
        /* 2^44 times 2^12 and a little fits 64 bits; a file's size has 63. */
        g.file_size = round_up(g.payload_offset + g.stride * n_slots, page_size);
        if (g.file_size > INT64_MAX / 2)
                return GEOMETRY_E_SIZE;
        *out = g;
        return 0;
}
