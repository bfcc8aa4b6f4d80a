/*
 * geometry.h -- where things lie in a segment's data memfd.
 *
 * Both ends compute it from the slot size, the number of slots and the page size, which the daemon says: nobody
 * believes an offset that lies in memory others can write.
 */
#pragma once

#include <stdint.h>

#define GEOMETRY_SLOT_SIZE_MAX (UINT64_C(1) << 44) /* 16 TiB */
#define GEOMETRY_HUGE_PAGE (UINT64_C(2) << 20)     /* what MFD_HUGE_2MB gives */

enum {
        GEOMETRY_E_SLOT_SIZE = 1, /* zero, or above GEOMETRY_SLOT_SIZE_MAX */
        GEOMETRY_E_SLOTS,         /* zero, or above LAYOUT_SLOTS_MAX */
        GEOMETRY_E_PAGE,          /* not a power of two from 4096 to GEOMETRY_HUGE_PAGE */
        GEOMETRY_E_SIZE,          /* the whole would be larger than a file can be */
};

struct geometry {
        uint64_t slot_size; /* bytes that a frame may have */
        uint64_t stride;    /* bytes from one slot's payload to the next one's */
        uint32_t n_slots;
        uint32_t index_size;  /* entries of the index: a power of two, at least n_slots */
        uint64_t slot_offset; /* of the descriptors */
        uint64_t index_offset;
        uint64_t payload_offset; /* everything before it is the metadata */
        uint64_t file_size;      /* a multiple of the page size */
};

/**
 * geometry_init() - lay out a segment
 * @out:       receives the layout; written only on success
 * @slot_size: largest frame, bytes
 * @n_slots:   number of slots
 * @page_size: granularity of the memory: the page size, or GEOMETRY_HUGE_PAGE
 *
 * Return: 0 or GEOMETRY_E_*.
 */
int geometry_init(struct geometry *out, uint64_t slot_size, uint32_t n_slots, uint64_t page_size);
