/*
 * interleave.h -- the slots' own code, cut at every access to shared memory.
 *
 * It is compiled into the test with atomics that call point() first. Jobs run as coroutines, and point() gives control
 * back to the test: so a test stops a writer or a reader before any access, lets another go on, or lets one die there.
 * Everything is sequentially consistent here, so this finds wrong orders of steps, not missing barriers.
 */
#pragma once

#include <ucontext.h>

#include "tests/unit/arena.h"

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

#include "proto/slots_reader.c"
#include "proto/slots_writer.c"

#define INTERLEAVE_STACK 65536

struct routine {
        void *here[5]; /* as __builtin_setjmp() leaves it: without the system calls of swapcontext() */
        void *test[5];
        int (*job)(struct arena *a, void *data);
        struct arena *arena;
        void *data;
        bool begun;
        int result; /* -1 until it has ended */
        _Alignas(16) unsigned char stack[INTERLEAVE_STACK];
};

static struct routine *running;

static __attribute__((noinline, noreturn)) void jump(void **to) { __builtin_longjmp(to, 1); }

/* Outside a routine nothing is cut. */
__attribute__((noinline)) void point(void) {
        struct routine *r = running;

        if (r) {
                running = NULL;
                if (__builtin_setjmp(r->here) == 0)
                        jump(r->test);
        }
}

static void routine_main(void) {
        struct routine *r = running;
        int result = r->job(r->arena, r->data);

        r->result = result;
        running = NULL;
        jump(r->test);
}

/* A routine that stands before its first instruction. It needs no end: an abandoned one has died. */
static inline void routine_start(struct routine *r, struct arena *a, int (*job)(struct arena *a, void *data),
                                 void *data) {
        r->job = job;
        r->arena = a;
        r->data = data;
        r->begun = false;
        r->result = -1;
}

static __attribute__((noinline)) void routine_begin(struct routine *r) {
        static ucontext_t unused, context;

        r->begun = true;
        (void)getcontext(&context);
        context.uc_stack.ss_sp = r->stack;
        context.uc_stack.ss_size = sizeof(r->stack);
        context.uc_link = NULL;
        makecontext(&context, routine_main, 0);
        (void)swapcontext(&unused, &context);
}

static __attribute__((noinline)) void routine_enter(struct routine *r) {
        running = r;
        if (__builtin_setjmp(r->test) == 0) {
                if (r->begun)
                        jump(r->here);
                routine_begin(r);
        }
}

/* On to just before the next access. Return: false if there is none: it has ended. */
static inline bool routine_step(struct routine *r) {
        if (r->result < 0)
                routine_enter(r);
        return r->result < 0;
}

/* Return: false if it ended within @n steps. */
static inline bool routine_steps(struct routine *r, unsigned n) {
        bool more = r->result < 0;

        while (n-- && more)
                more = routine_step(r);
        return more;
}

static inline int routine_finish(struct routine *r) {
        while (routine_step(r))
                ;
        return r->result;
}
