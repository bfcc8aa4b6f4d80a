/* cleanup.h -- release on scope exit, and handing over what a scope has built. */
#pragma once

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* The formatter takes the minus for a sign, and spreads statement expressions over seven lines. */
/* clang-format off */

/* Take the value out of @p and leave the empty value behind: the cleanup of @p then does nothing. */
#define STEAL_PTR(p) ({ __typeof__(p) steal_ = (p); (p) = NULL; steal_; })
#define STEAL_FD(fd) ({ int steal_ = (fd); (fd) = -1; steal_; })

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* clang-format on */

/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot have any */
#define DEFINE_CLEANUP(type, fn)            \
        static inline void fn##p(type *p) { \
                if (*p)                     \
                        fn(*p);             \
        }
/* NOLINTEND(bugprone-macro-parentheses) */

/* close() without disturbing errno; -1 is fine. Linux frees the number even when close() reports an error. */
static inline void fd_close(int fd) {
        if (fd >= 0) {
                int saved = errno;
                (void)close(fd);
                errno = saved;
        }
}

static inline void fd_closep(int *fd) { fd_close(*fd); }

static inline void freep(void *p) { free(*(void **)p); }
