#include "daemon/log_limit.h"

#define LINE 1000 /* of level */

static void fill(struct log_bucket *b, uint64_t now, uint64_t burst, uint64_t rate) {
        uint64_t gained = (now - b->at) * rate; /* a thousandth each millisecond, for each line a second */

        if (!b->used || gained >= burst * LINE - b->level)
                b->level = burst * LINE;
        else
                b->level += gained;
        b->at = now;
        b->used = true;
}

static int take(struct log_bucket *b, uint64_t burst, uint64_t *left_out) {
        if (b->empty && b->level < burst * LINE / 2) {
                b->left_out++;
                return LOG_LIMIT_E_OUT;
        }
        if (b->level < LINE) {
                b->empty = true;
                b->left_out = 1;
                return LOG_LIMIT_E_LAST;
        }
        *left_out = b->empty ? b->left_out : 0;
        b->empty = false;
        b->left_out = 0;
        b->level -= LINE;
        return 0;
}

/* That user's, or a new one in the place of the one that has been needed least lately. */
static struct log_bucket *find(struct log_limit *l, uid_t uid) {
        struct log_bucket *oldest = &l->users[0];

        for (size_t i = 0; i < LOG_LIMIT_USERS; i++) {
                struct log_bucket *b = &l->users[i];

                if (!b->used || b->uid == uid) {
                        b->uid = uid;
                        return b;
                }
                if (b->at < oldest->at)
                        oldest = b;
        }
        *oldest = (struct log_bucket){ .uid = uid };
        return oldest;
}

int log_limit_take(struct log_limit *l, uid_t uid, uint64_t now, uint64_t *left_out) {
        struct log_bucket *b = find(l, uid);
        uint64_t ignored;
        int r;

        fill(b, now, LOG_LIMIT_BURST, LOG_LIMIT_RATE);
        fill(&l->all, now, LOG_LIMIT_BURST_ALL, LOG_LIMIT_RATE_ALL);
        r = take(b, LOG_LIMIT_BURST, left_out);
        if (r == 0)
                r = take(&l->all, LOG_LIMIT_BURST_ALL, &ignored);
        return r;
}
