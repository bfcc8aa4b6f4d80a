/* limits.h -- how many descriptors there may be: in this process, and in systemd's store for the next one. */
#pragma once

#include <stdint.h>

struct options;

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

/* Raise the soft limit of descriptors to the hard one. Says so if that may be too few. */
void limits_raise(const struct options *options);
