/* limits.h -- how many descriptors there may be: in this process, and in systemd's store for the next one. */
#pragma once

#include <stdint.h>

struct quota_limit;

/**
 * limits_store() - how many descriptors systemd keeps for this service
 *
 * It does not say so when it drops one, so nobody may give it more. The number is $FDSTORE (from systemd 254 on), or
 * $SHMD_STORE_MAX (the unit's), the smaller one. It is less where the soft limit of descriptors, which systemd's next
 * start of the service is bound by, would not let it hand so many over; that is logged. To be called before the limit is
 * raised.
 *
 * Return: the number; 0 without a store.
 */
uint64_t limits_store(void);

/* Raise the soft limit of descriptors to the hard one. Return: the limit. */
uint64_t limits_raise(void);

/**
 * limits_fit() - whoever is let in can also be served
 * @segments: of all users together
 * @clients:  the same
 * @handles:  receives how many there may be: as many as clients, if the descriptors suffice for that
 * @fds:      the limit of descriptors
 *
 * Where the descriptors do not suffice for as many as there may be, there may be fewer; that is logged. So nobody can use
 * up the descriptors, as nobody can use up these. Half of them are safe from the other half.
 */
void limits_fit(struct quota_limit *segments, struct quota_limit *clients, struct quota_limit *handles, uint64_t fds);
