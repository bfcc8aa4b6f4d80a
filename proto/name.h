/* name.h -- what a segment may be called. */
#pragma once

#include <stddef.h>

#define NAME_LENGTH_MAX 200 /* bytes, without the NUL */

enum {
        NAME_E_EMPTY = 1, /* no byte at all */
        NAME_E_LONG,      /* more than NAME_LENGTH_MAX bytes */
        NAME_E_BYTE,      /* a byte other than A-Z a-z 0-9 . _ / - */
        NAME_E_SLASH,     /* begins with a slash */
        NAME_E_PART,      /* a part between slashes is empty or ".." */
};

/**
 * name_check() - is this a segment's name?
 * @name: the name
 * @at:   receives the offset of the byte that is wrong (0 for an empty name)
 *
 * Return: 0 or NAME_E_*.
 */
int name_check(const char *name, size_t *at);

/**
 * name_explain() - the same as a sentence, for people
 * @text: receives the sentence, always terminated
 * @size: bytes of @text
 * @name: the name that name_check() refused
 *
 * Return: what name_check() returns.
 */
int name_explain(char *text, size_t size, const char *name);
