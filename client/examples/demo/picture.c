#include "client/examples/demo/picture.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#define SPEED 7 /* pixels to the left from one picture to the next */

/* Two rows wide, so that a row may begin at any pixel of the first. */
static unsigned char pattern[2ul * PICTURE_ROW];

static void make_pattern(void) {
        for (size_t x = 0; x < 2ul * PICTURE_WIDTH; x++) {
                size_t at = x % PICTURE_WIDTH;

                pattern[3 * x] = (unsigned char)(at * 255 / PICTURE_WIDTH);
                pattern[3 * x + 1] = (unsigned char)(at / 3 ^ 0x55);
                pattern[3 * x + 2] = (unsigned char)(at * at >> 8 | 1);
        }
}

void picture_draw(unsigned char *row, unsigned y, uint64_t n) {
        if (!pattern[2])
                make_pattern();
        memcpy(row, pattern + (y + n * SPEED) % PICTURE_WIDTH * 3, PICTURE_ROW);
}

uint64_t picture_checksum(const unsigned char *picture) { return XXH3_64bits(picture, PICTURE_SIZE); }

uint64_t picture_checksum_slowly(const unsigned char *picture, unsigned steps, unsigned pause_ms) {
        const struct timespec pause = { .tv_nsec = (long)pause_ms * 1000000 };
        const size_t step = PICTURE_SIZE / steps;
        XXH3_state_t *state = XXH3_createState();
        uint64_t sum;

        if (!state)
                abort();
        XXH3_64bits_reset(state);
        for (unsigned i = 0; i < steps; i++) {
                XXH3_64bits_update(state, picture + i * step, step);
                (void)nanosleep(&pause, NULL);
        }
        sum = XXH3_64bits_digest(state);
        XXH3_freeState(state);
        return sum;
}
