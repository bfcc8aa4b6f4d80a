/*
 * naming.h -- who may create which names: rules for the beginnings of names.
 *
 * The rule with the longest beginning counts; where there is none, everybody may. It knows nothing about segments that
 * exist, nor about administrators, whom no rule binds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct naming_grant;
struct peer;

struct naming {
        struct naming_grant *grants; /* owned */
        size_t n;
};

enum {
        NAMING_E_WRONG = 1, /* a sentence says what, and what would be right */
};

/* Forget all rules. */
void naming_deinit(struct naming *naming);

/**
 * naming_add() - a rule, or more of one
 * @naming: gets it; may have got some of it if something is wrong
 * @prefix: what the names begin with; "*": every name
 * @who:    'any', 'nobody', or a list of 'user NAME' and 'group NAME' (or numbers), with commas
 * @text:   receives a sentence if that is wrong
 * @size:   bytes of @text
 *
 * Users and groups are looked up now.
 *
 * Return: 0, NAMING_E_WRONG, or a negative errno.
 */
int naming_add(struct naming *naming, const char *prefix, const char *who, char *text, size_t size);

bool naming_may_create(const struct naming *naming, const char *name, const struct peer *peer);

/* Who may create that name, as a sentence: "names that begin with cam/ are for group video, user alice". */
void naming_explain(const struct naming *naming, const char *name, char *text, size_t size);
