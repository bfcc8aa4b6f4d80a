/*
 * fence.h -- the two fences that plain accesses to a payload need beside the atomics.
 *
 * ThreadSanitizer does not model fences (and gcc warns about them); it judges the payload by the atomics alone, which
 * suffices wherever holds are not broken. On x86 both are orders to the compiler only.
 */
#pragma once

#include <stdatomic.h>

#if defined(__SANITIZE_THREAD__)
#define FENCE_MODELLED 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FENCE_MODELLED 0
#endif
#endif
#ifndef FENCE_MODELLED
#define FENCE_MODELLED 1
#endif

/* What was read before it was read before anything that is loaded after it. */
static inline void fence_acquire(void) {
#if FENCE_MODELLED
        atomic_thread_fence(memory_order_acquire);
#endif
}

/* What was stored before it is seen by whoever sees anything stored after it. */
static inline void fence_release(void) {
#if FENCE_MODELLED
        atomic_thread_fence(memory_order_release);
#endif
}
