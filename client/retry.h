/* retry.h -- to ask again when the daemon was there and has gone: it may be being restarted. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct retry {
        int64_t lost_at; /* when it was there for the last time; 0: it has not gone yet */
        int64_t pause;
        unsigned losses; /* how often it has gone */
};

/**
 * retry_again() - after a failure: wait a little, if it is worth trying again
 * @r:        all zero at first
 * @error:    what connecting, or waiting for an answer, failed with; not what the daemon has answered
 * @deadline: when there is no time left
 *
 * Return: true: try again.
 */
bool retry_again(struct retry *r, int error, int64_t deadline);
