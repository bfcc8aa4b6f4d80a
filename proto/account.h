/* account.h -- users and groups by name or by number. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * account_user() - the user that somebody means
 * @uid:  receives his number
 * @name: his name; or a number, which need not be anybody's
 *
 * A name of digits only is a name, if there is one. Asks the system, which may take its time.
 *
 * Return: false: there is no such user.
 */
bool account_user(uint32_t *uid, const char *name);

/* The same for a group. */
bool account_group(uint32_t *gid, const char *name);
