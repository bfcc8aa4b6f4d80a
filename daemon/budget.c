#include "daemon/budget.h"

#include <assert.h>

int budget_charge(struct budget *b, uint64_t bytes) {
        if (b->segments >= b->segments_max)
                return BUDGET_E_SEGMENTS;
        if (bytes > b->segment_bytes_max)
                return BUDGET_E_SEGMENT_BYTES;
        if (bytes > b->bytes_max || b->bytes > b->bytes_max - bytes)
                return BUDGET_E_BYTES;
        b->segments++;
        b->bytes += bytes;
        return 0;
}

void budget_release(struct budget *b, uint64_t bytes) {
        assert(b->segments > 0 && b->bytes >= bytes);
        b->segments--;
        b->bytes -= bytes;
}
