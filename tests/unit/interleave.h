/*
 * interleave.h -- the slots' own code, cut at every access to shared memory.
 *
 * Jobs run as coroutines, and point() gives control back to the test: so a test stops a writer or a reader before any
 * access, lets another go on, or lets one die there. Everything is sequentially consistent here, so this finds wrong
 * orders of steps, not missing barriers.
 */
#pragma once

#include <ucontext.h>

#include "tests/unit/arena.h"
#include "tests/unit/point.h"

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

/* gcc finds out which registers a function leaves alone, and its callers keep values there: but on the way back into a
 * routine everybody else has been at them. */
#if __has_attribute(noipa)
#define UNKNOWN_TO_CALLERS __attribute__((noipa))
#else
#define UNKNOWN_TO_CALLERS __attribute__((noinline))
#endif

/* Outside a routine nothing is cut. */
UNKNOWN_TO_CALLERS void point(void) {
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

static UNKNOWN_TO_CALLERS void routine_enter(struct routine *r) {
        running = r;
        if (__builtin_setjmp(r->test) == 0) {
                if (r->begun)
                        jump(r->here);
                routine_begin(r);
                __asm__ volatile(""); /* no tail call: this frame is what r->test leads back to */
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
