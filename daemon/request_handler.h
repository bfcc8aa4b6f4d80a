/*
 * request_handler.h -- what the handlers of requests share, and what they are called.
 *
 * A handler answers the request, or has it wait; a request that has been answered is gone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/request.h"

struct segment;

/* ---- answers ---------------------------------------------------------------------------------------------------- */

/* Answer it, and free it. @reply needs no header; @size: all of it. */
void request_finish(struct request *r, struct proto_header *reply, size_t size);

/* The same with descriptors, which are consumed. */
void request_finish_with_fds(struct request *r, struct proto_header *reply, size_t size, int *fds, size_t n_fds);

/* Answer it with an error and a sentence, and free it. */
void request_fail(struct request *r, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* An error of the system that has no sentence of its own. */
void request_fail_system(struct request *r, int error, const char *what);

/* What it would make does not fit into the estate. */
void request_fail_full(struct request *r);

/* Return: true if it is no name, and the request has been answered. */
bool request_fail_name(struct request *r, const char *name);

/**
 * request_fail_quota() - so much more of that is refused: answer it with an error, and free it
 * @outcome: QUOTA_E_ALL, _USER or _SHARE
 * @error:   where it is all users together that have too much; otherwise it is -EDQUOT
 * @what:    cannot be done, such as "open the segment"
 */
void request_fail_quota(struct request *r, enum quota_resource resource, uint64_t amount, int outcome, int error,
                        const char *what);

/* It has to wait: return true if it may not, and has been answered. */
bool request_fail_waiting(struct request *r);

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

/* Run it again when something has happened to that name. */
void request_wait(struct request *r, const char *name);

/* It is in that queue of the server's, which is looked at at the end of the turn. */
void request_put_off(struct request *r, struct request_queue *queue);

/* Run it again in the next turn. */
void request_run_again(struct request *r);

/* Run it again when something has left that is charged still. */
void request_starve(struct request *r);

/* Who pays for what it makes. */
struct quota_account *request_account(const struct request *r);

/* ---- segments --------------------------------------------------------------------------------------------------- */

/* The segment of that name that there is for everybody but its creator, or NULL. */
struct segment *request_find(struct request *r, const char *name);

/* The administrators' group, as access.h wants it. */
gid_t request_admins(const struct request *r);

/* The client that an allocation is for is gone: it goes on only if somebody else waits for the name. */
void request_abandon_creation(struct creation *creation);

/* The client whose proof is being looked at is gone. */
void request_abandon_claim(struct claim *claim);

/* ---- handlers --------------------------------------------------------------------------------------------------- */

void request_create(struct request *r);
void request_open(struct request *r);
void request_stat(struct request *r);
void request_list(struct request *r);
void request_remove(struct request *r);
void request_chmod(struct request *r);
void request_chown(struct request *r);
void request_claim(struct request *r);
void request_replace(struct request *r);
