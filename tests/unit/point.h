/*
 * point.h -- the slots' own code, compiled into a test with atomics that call point() before each access.
 *
 * What point() does is the test's business. This header comes last, after slots.h.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/slots.h"

void point(void);

static inline uint64_t load64(const _Atomic uint64_t *p) {
        point();
        return atomic_load(p);
}

static inline uint32_t load32(const _Atomic uint32_t *p) {
        point();
        return atomic_load(p);
}

static inline void store64(_Atomic uint64_t *p, uint64_t v) {
        point();
        atomic_store(p, v);
}

static inline void store32(_Atomic uint32_t *p, uint32_t v) {
        point();
        atomic_store(p, v);
}

static inline uint64_t and64(_Atomic uint64_t *p, uint64_t v) {
        point();
        return atomic_fetch_and(p, v);
}

static inline uint64_t or64(_Atomic uint64_t *p, uint64_t v) {
        point();
        return atomic_fetch_or(p, v);
}

static inline uint64_t add64(_Atomic uint64_t *p, uint64_t v) {
        point();
        return atomic_fetch_add(p, v);
}

static inline uint32_t add32(_Atomic uint32_t *p, uint32_t v) {
        point();
        return atomic_fetch_add(p, v);
}

static inline uint32_t swap32(_Atomic uint32_t *p, uint32_t v) {
        point();
        return atomic_exchange(p, v);
}

static inline bool cas32(_Atomic uint32_t *p, uint32_t *is, uint32_t v) {
        point();
        return atomic_compare_exchange_strong(p, is, v);
}

#undef atomic_load
#undef atomic_load_explicit
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_fetch_and
#undef atomic_fetch_or
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#define LOAD(p) \
        _Generic((p), _Atomic uint64_t *: load64, const _Atomic uint64_t *: load64, _Atomic uint32_t *: load32, \
                 const _Atomic uint32_t *: load32)(p)
#define STORE(p, v) _Generic((p), _Atomic uint64_t * : store64, _Atomic uint32_t * : store32)(p, v)
#define ADD(p, v) _Generic((p), _Atomic uint64_t * : add64, _Atomic uint32_t * : add32)(p, v)
#define atomic_load(p) LOAD(p)
#define atomic_load_explicit(p, order) LOAD(p)
#define atomic_store(p, v) STORE(p, v)
#define atomic_store_explicit(p, v, order) STORE(p, v)
#define atomic_fetch_and(p, v) and64(p, v)
#define atomic_fetch_or(p, v) or64(p, v)
#define atomic_fetch_add(p, v) ADD(p, v)
#define atomic_fetch_add_explicit(p, v, order) ADD(p, v)
#define atomic_exchange(p, v) swap32(p, v)
#define atomic_exchange_explicit(p, v, order) swap32(p, v)
#define atomic_compare_exchange_strong_explicit(p, is, v, yes, no) cas32(p, is, v)
#define atomic_compare_exchange_weak_explicit(p, is, v, yes, no) cas32(p, is, v)

/* NOLINTBEGIN(bugprone-suspicious-include): compiled anew, with these */
#include "proto/slots_foreign.c"
#include "proto/slots_reader.c"
#include "proto/slots_writer.c"
/* NOLINTEND(bugprone-suspicious-include) */
