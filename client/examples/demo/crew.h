/*
 * crew.h -- the processes that the demo has started, so that none is forgotten and none dies unnoticed. The kernel kills
 * them if the demo itself is killed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CREW_MAX 8
#define CREW_TEXT 128

struct member {
        const char *name; /* borrowed; for people */
        pid_t pid;        /* 0: no such member */
};

struct crew {
        struct member member[CREW_MAX];
};

/**
 * crew_fork() - start a member
 * @crew: the crew
 * @name: what it is called, for people
 *
 * Signals that are blocked in the demo are not in the member.
 *
 * Return: as fork(): 0 in the new process, which must not return from what called this; -1: errno tells.
 */
pid_t crew_fork(struct crew *crew, const char *name);

/* SIGKILL, and wait for its end. */
void crew_kill(struct crew *crew, pid_t pid);

/* The same for all there are. */
void crew_kill_all(struct crew *crew);

/**
 * crew_check() - has anybody ended by himself?
 * @crew: who has is no member any more
 * @text: receives "the NAME ended with exit status 1" or the like, CREW_TEXT bytes
 *
 * Return: true if so.
 */
bool crew_check(struct crew *crew, char *text);
