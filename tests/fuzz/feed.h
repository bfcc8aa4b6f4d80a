/*
 * feed.h -- a fuzzer's input, taken a little at a time, and what to do when something is wrong.
 *
 * An input that is used up gives zeros: every input means something, and cutting one makes it simpler.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The entry that libFuzzer calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What has to be so whatever comes. */
#define CHECK(condition)                                                                              \
        do {                                                                                          \
                if (!(condition)) {                                                                   \
                        (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
                        abort();                                                                      \
                }                                                                                     \
        } while (0)

struct feed {
        const uint8_t *at;
        size_t left;
};

static inline void feed_bytes(struct feed *f, void *to, size_t size) {
        size_t n = size < f->left ? size : f->left;

        memset(to, 0, size);
        if (n)
                memcpy(to, f->at, n);
        f->at += n;
        f->left -= n;
}

static inline uint8_t feed_u8(struct feed *f) {
        uint8_t v;

        feed_bytes(f, &v, sizeof(v));
        return v;
}

static inline uint16_t feed_u16(struct feed *f) {
        uint16_t v;

        feed_bytes(f, &v, sizeof(v));
        return v;
}

static inline uint64_t feed_u64(struct feed *f) {
        uint64_t v;

        feed_bytes(f, &v, sizeof(v));
        return v;
}

/* @n is 256 at most. */
static inline uint32_t feed_below(struct feed *f, uint32_t n) { return feed_u8(f) % n; }

/* What is wrong about something: bits, and three times out of four none. */
static inline uint8_t feed_wrong(struct feed *f) {
        uint8_t often = feed_u8(f);

        return often < 192 ? 0 : feed_u8(f);
}

/* The first part of an input as one of its own; a byte says how long it is, in 256ths of what is left. */
static inline struct feed feed_split(struct feed *f) {
        size_t part = feed_u8(f);
        struct feed first = { .at = f->at, .left = f->left * part / 256 };

        f->at += first.left;
        f->left -= first.left;
        return first;
}
