#include "daemon/registry.h"

#include <string.h>

static int compare_segments(const struct segment *a, const struct segment *b) { return strcmp(a->name, b->name); }

static int compare_waiters(const struct waiter *a, const struct waiter *b) {
        int r = strcmp(a->name, b->name);

        return r ? r : (a->turn > b->turn) - (a->turn < b->turn);
}

TREE_GENERATE(segment_tree, segment, by_name, compare_segments)
TREE_GENERATE(waiter_tree, waiter, link, compare_waiters)

void registry_init(struct registry *r) {
        *r = (struct registry){ .next_turn = 1 };
        RB_INIT(&r->segments);
        RB_INIT(&r->waiters);
}

void registry_deinit(struct registry *r) {
        struct segment *s;

        while ((s = RB_MIN(segment_tree, &r->segments)))
                registry_remove(r, s);
}

/* The first segment whose name is not before @name: a search without a whole segment to compare with. */
static struct segment *lower_bound(struct registry *r, const char *name) {
        struct segment *at = RB_ROOT(&r->segments);
        struct segment *best = NULL;

        while (at) {
                if (strcmp(at->name, name) >= 0) {
                        best = at;
                        at = RB_LEFT(at, by_name);
                } else {
                        at = RB_RIGHT(at, by_name);
                }
        }
        return best;
}

struct segment *registry_find(struct registry *r, const char *name) {
        struct segment *s = lower_bound(r, name);

        return s && strcmp(s->name, name) == 0 ? s : NULL;
}

struct segment *registry_after(struct registry *r, const char *name) {
        struct segment *s = lower_bound(r, name);

        return s && strcmp(s->name, name) == 0 ? registry_next(s) : s;
}

struct segment *registry_next(struct segment *s) {
        return RB_NEXT(segment_tree, NULL, s);
}

void registry_add(struct registry *r, struct segment *s) {
        (void)RB_INSERT(segment_tree, &r->segments, segment_ref(s));
}

void registry_remove(struct registry *r, struct segment *s) {
        RB_REMOVE(segment_tree, &r->segments, s);
        s->state = SEGMENT_REMOVED;
        segment_unref(s);
}

void registry_wait(struct registry *r, struct waiter *waiter, const char *name) {
        waiter->name = name;
        waiter->turn = r->next_turn++;
        (void)RB_INSERT(waiter_tree, &r->waiters, waiter);
}

void registry_forget(struct registry *r, struct waiter *waiter) {
        if (!waiter->name)
                return;
        RB_REMOVE(waiter_tree, &r->waiters, waiter);
        waiter->name = NULL;
}

static struct waiter *first_waiter(struct registry *r, const char *name) {
        struct waiter key = { .name = name };
        struct waiter *waiter = RB_NFIND(waiter_tree, &r->waiters, &key);

        return waiter && strcmp(waiter->name, name) == 0 ? waiter : NULL;
}

bool registry_is_awaited(struct registry *r, const char *name) { return first_waiter(r, name) != NULL; }

void registry_wake(struct registry *r, const char *name) {
        struct waiter *waiter;

        while ((waiter = first_waiter(r, name))) {
                registry_forget(r, waiter);
                waiter->wake(waiter);
        }
}
