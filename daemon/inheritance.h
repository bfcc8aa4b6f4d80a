/*
 * inheritance.h -- descriptors that came from the instance before: each with its name, until somebody takes it.
 *
 * Nothing is believed of them but that the kernel says what they are: see the checks. Those that nobody takes are closed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/store.h"

struct heirloom {
        char letter; /* see estate.h */
        uint64_t number;
        int fd; /* owned; -1: taken */
};

struct inheritance {
        size_t n;
        size_t size;
        struct heirloom *items; /* owned; in order of letter and number, once sorted */
};

/* Is it how the estate calls its things? */
bool inheritance_is_name(const char *name);

/* One more. @name: as the store has it. @fd: consumed, also on failure. Return: 0; -EINVAL: no such name; -ENOMEM. */
int inheritance_add(struct inheritance *in, const char *name, int fd);

/* All are there. */
void inheritance_sort(struct inheritance *in);

/* Take the one of that name: the caller's then. -1: there is none. */
int inheritance_take(struct inheritance *in, char letter, uint64_t number);

/* The one of that letter with the highest number that nobody has taken. NULL: none. Borrowed. */
const struct heirloom *inheritance_last(const struct inheritance *in, char letter);

/* Close what nobody took. */
void inheritance_deinit(struct inheritance *in);

/* Is it a sealed memfd of ours of that size, and the one with that inode? */
bool inheritance_is_memfd(int fd, uint64_t size, uint64_t inode);

/* Is it an eventfd? */
bool inheritance_is_bell(int fd);
