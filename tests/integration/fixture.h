/*
 * fixture.h -- a daemon of the test's own, which must end as it began: no descriptor, no segment, no file left over.
 *
 * It dies with the test. What it logs goes to the test's standard error, from warnings up.
 */
#pragma once

#include <sys/types.h>

struct fixture;

/* Start a daemon; returns when it listens. @arguments: more of them, NULL at the end; NULL: none. */
struct fixture *fixture_start(const char *const *arguments);

/* The same as another user, with the group of the same number and no other. Takes root. 0: as whoever runs the test. */
struct fixture *fixture_start_as(uid_t uid, const char *const *arguments);

/* Remove every segment, see that the daemon then has no more descriptors than at first, end it, and see that it ended
 * well and has left no file. After fixture_kill() only tidies up. Returns NULL. */
struct fixture *fixture_stop(struct fixture *f);

/* The path of its socket. */
const char *fixture_socket(const struct fixture *f);

pid_t fixture_pid(const struct fixture *f);

/* Descriptors that it has open now. */
int fixture_fds(const struct fixture *f);

/* Remove every segment, and wait until it has no more descriptors than at first and @clients. Fails if that does not
 * come. */
void fixture_expect_idle(const struct fixture *f, int clients);

/* Its resident memory without what it shares, in KiB. */
long fixture_memory(const struct fixture *f);

/* SIGKILL, and wait until it is gone. */
void fixture_kill(struct fixture *f);

/* SIGSTOP, and wait until it stands; and on again. */
void fixture_pause(struct fixture *f);
void fixture_resume(struct fixture *f);
