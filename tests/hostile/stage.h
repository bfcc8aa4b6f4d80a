/*
 * stage.h -- where attacks are tried: a daemon that is a user of its own, attackers that are others, and an honest client,
 * yet another user, that has to be served all the while.
 *
 * After each attack the daemon is what it was: the same process, with the descriptors and the memory that it had, and
 * with no segments but those that the test made. Takes root, or the program is skipped.
 */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

#include "tests/child.h"
#include "tests/integration/fixture.h"
#include "tests/integration/wire.h"

/* Who is who. Nobody is in anybody's group. */
enum {
        UID_DAEMON = 61000,
        UID_HONEST, /* has segments of its own, and reads and writes them */
        UID_OWNER,  /* has the segment that is attacked */
        UID_WRITER, /* may write it */
        UID_READER, /* may read it */
        UID_OTHER,  /* may read it, too */
        UID_STRANGER,
};

#define STAGE_SEGMENT "stage/a" /* names below stage/ are the test's */

struct stage {
        struct fixture *daemon;
        struct child honest;
        _Atomic uint64_t *rounds; /* that the honest client has been through */
        struct wire root;         /* a connection that sees everything */
        struct child attackers[16];
        unsigned n_attackers;
        long memory;
        int fds; /* of this process */
};

/* An attacker: runs as somebody, until it returns. @fd: to talk with the test, see child.h. */
typedef void (*stage_act)(struct stage *s, int fd);

int stage_setup_with(void **state, const char *const *arguments);
int stage_setup(void **state);

/* See that all is as it was, and end it. */
int stage_teardown(void **state);

#define STAGE_TEST(test) cmocka_unit_test_setup_teardown(test, stage_setup, stage_teardown)

/* Start an attacker. Whoever still runs at the end of the test is killed. Returns it. */
struct child *stage_start(struct stage *s, uid_t uid, stage_act act);

/* The same, and wait until it has done. */
void stage_act_as(struct stage *s, uid_t uid, stage_act act);

/* In a child: become somebody, for good. What one process of that uid may do to another, it may do to this one. */
void stage_become(uid_t uid);

/* In a test: a segment that belongs to somebody. @m: all but header and name. */
void stage_make(struct stage *s, uid_t owner, const char *name, struct proto_create *m);

/* The honest client gets on: @rounds more, however long it takes. */
void stage_served(const struct stage *s, unsigned rounds);

/* Is SHMD_TEST_LONG set? */
bool stage_is_long(void);

/* main()'s: 77 and a word where this is not root. */
int stage_run(const char *name, const struct CMUnitTest *tests, size_t n);
#define STAGE_RUN(tests) stage_run(__FILE__, tests, sizeof(tests) / sizeof((tests)[0]))

/* A call that the kernel refuses with that errno. In a child. */
#define REFUSED(error, call)                                                                                   \
        do {                                                                                                   \
                errno = 0;                                                                                     \
                long long refused_ = (long long)(call);                                                        \
                if (refused_ != -1 || errno != (error)) {                                                      \
                        (void)fprintf(stderr, "%s:%d: uid %u: %s: returns %lld, errno %d, not %s\n", __FILE__, \
                                      __LINE__, geteuid(), #call, refused_, errno, #error);                    \
                        _exit(1);                                                                              \
                }                                                                                              \
        } while (0)
