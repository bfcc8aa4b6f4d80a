/*
 * fork.h -- what a child must not inherit.
 *
 * A handle's sign of life is a lock that lasts as long as its descriptor is open anywhere. A child that kept a copy
 * would make a dead reader look alive, so the library closes all descriptors of its handles in every child. The list
 * of handles is the one thing the library keeps for the whole process.
 */
#pragma once

struct fork_guard {
        struct fork_guard *next; /* in the list of guards */
        struct fork_guard *previous;
        void (*in_child)(struct fork_guard *); /* called in the child; may only do what is safe after a fork */
};

/* From now until fork_unguard(), @guard->in_child is called in every child. Return: 0 or -ENOMEM. */
int fork_guard(struct fork_guard *guard);

/* Does nothing for a guard that is not in the list. */
void fork_unguard(struct fork_guard *guard);
