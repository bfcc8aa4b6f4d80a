#include "client/fork.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct fork_guard *guards;
static bool registered;

static void before_fork(void) { pthread_mutex_lock(&mutex); }

static void in_parent(void) { pthread_mutex_unlock(&mutex); }

static void in_child(void) {
        while (guards) {
                struct fork_guard *guard = guards;

                guards = guard->next;
                guard->next = guard->previous = NULL;
                guard->in_child(guard);
        }
        pthread_mutex_unlock(&mutex);
}

int fork_guard(struct fork_guard *guard) {
        int r = 0;

        pthread_mutex_lock(&mutex);
        if (!registered) {
                r = -pthread_atfork(before_fork, in_parent, in_child);
                registered = r == 0;
        }
        if (r == 0) {
                guard->previous = NULL;
                guard->next = guards;
                if (guards)
                        guards->previous = guard;
                guards = guard;
        }
        pthread_mutex_unlock(&mutex);
        return r;
}

void fork_unguard(struct fork_guard *guard) {
        pthread_mutex_lock(&mutex);
        if (guards == guard || guard->previous) {
                if (guard->previous)
                        guard->previous->next = guard->next;
                else
                        guards = guard->next;
                if (guard->next)
                        guard->next->previous = guard->previous;
                guard->next = guard->previous = NULL;
        }
        pthread_mutex_unlock(&mutex);
}
