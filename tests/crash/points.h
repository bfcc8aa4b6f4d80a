/*
 * points.h -- a process that is killed at one certain step of the library: before an access to the slots' memory, or
 * before a system call. Every step has a number; a test dies at each of them in turn.
 */
#pragma once

#include <stdint.h>

/* Count from now on, and send this process SIGKILL at point @n, counted from 1; 0: never. */
void points_kill_at(uint64_t n);

/* How many points have gone by. */
uint64_t points_passed(void);
