#include "daemon/quota.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int compare(const struct quota_account *a, const struct quota_account *b) {
        return (a->uid > b->uid) - (a->uid < b->uid);
}

TREE_GENERATE(quota_tree, quota_account, link, compare)

/* ---- accounts --------------------------------------------------------------------------------------------------- */

void quotas_init(struct quotas *quotas, uid_t own) {
        *quotas = (struct quotas){ .own = own };
        RB_INIT(&quotas->accounts);
        for (int i = 0; i < QUOTA_RESOURCES; i++)
                quotas->limits[i] = (struct quota_limit){ .all = UINT64_MAX, .user = UINT64_MAX };
}

struct quota_account *quota_account_get(struct quotas *quotas, uid_t uid) {
        struct quota_account key = { .uid = uid };
        struct quota_account *account = RB_FIND(quota_tree, &quotas->accounts, &key);

        if (account)
                return quota_account_ref(account);
        account = calloc(1, sizeof(*account));
        if (!account)
                return NULL;
        account->quotas = quotas;
        account->uid = uid;
        account->n_refs = 1;
        (void)RB_INSERT(quota_tree, &quotas->accounts, account);
        return account;
}

struct quota_account *quota_account_ref(struct quota_account *account) {
        account->n_refs++;
        return account;
}

struct quota_account *quota_account_unref(struct quota_account *account) {
        if (!account || --account->n_refs > 0)
                return NULL;
        for (int i = 0; i < QUOTA_RESOURCES; i++)
                assert(account->used[i] == 0 && account->leaving[i] == 0);
        RB_REMOVE(quota_tree, &account->quotas->accounts, account);
        free(account);
        return NULL;
}

/* ---- charges ---------------------------------------------------------------------------------------------------- */

/* Is @amount more than @limit leaves beside @used? Limits may have been lowered below what is used. */
static bool is_over(uint64_t limit, uint64_t used, uint64_t amount) { return used > limit || amount > limit - used; }

bool quota_is_bound(const struct quotas *quotas, uid_t uid) { return uid != 0 && uid != quotas->own; }

bool quota_is_fair(uint64_t all, uint64_t used_all, uint64_t used, uint64_t amount) {
        return !is_over(all, used_all, amount) && !is_over(all - used_all - amount, used, amount);
}

/* The rules, for one who has @used where all have @used_all. @amount_all: what all would have more. */
static int check(const struct quota_account *account, enum quota_resource resource, uint64_t used, uint64_t amount,
                 uint64_t used_all, uint64_t amount_all) {
        const struct quotas *quotas = account->quotas;
        const struct quota_limit *limit = &quotas->limits[resource];

        if (is_over(limit->all, used_all, amount_all))
                return QUOTA_E_ALL;
        if (!quota_is_bound(quotas, account->uid))
                return 0;
        if (is_over(limit->user, used, amount))
                return QUOTA_E_USER;
        if (limit->all != UINT64_MAX && is_over(limit->all - used_all - amount_all, used, amount))
                return QUOTA_E_SHARE;
        return 0;
}

int quota_check(const struct quota_account *account, enum quota_resource resource, uint64_t amount) {
        const struct quotas *quotas = account->quotas;
        uint64_t used = account->used[resource];
        uint64_t used_all = quotas->used[resource];
        int r = check(account, resource, used, amount, used_all, amount);

        if (r && check(account, resource, used - account->leaving[resource], amount,
                       used_all - quotas->leaving[resource], amount) == 0)
                return QUOTA_E_SOON;
        return r;
}

static void add(struct quota_charge *charge, struct quota_account *account, uint64_t amount) {
        if (!charge->account)
                charge->account = quota_account_ref(account);
        charge->amount += amount;
        account->used[charge->resource] += amount;
        account->quotas->used[charge->resource] += amount;
}

int quota_charge(struct quota_charge *charge, struct quota_account *account, enum quota_resource resource,
                 uint64_t amount) {
        int r = quota_check(account, resource, amount);

        assert(!charge->account || (charge->account == account && charge->resource == resource && !charge->leaving));
        if (r)
                return r;
        charge->resource = resource;
        add(charge, account, amount);
        return 0;
}

void quota_charge_anyhow(struct quota_charge *charge, struct quota_account *account, enum quota_resource resource,
                         uint64_t amount) {
        assert(!charge->account);
        charge->resource = resource;
        add(charge, account, amount);
}

static void take_off(struct quota_charge *charge, uint64_t amount) {
        struct quota_account *account = charge->account;
        enum quota_resource resource = charge->resource;

        assert(charge->amount >= amount);
        charge->amount -= amount;
        account->used[resource] -= amount;
        account->quotas->used[resource] -= amount;
}

void quota_reduce(struct quota_charge *charge, uint64_t amount) {
        assert(amount < charge->amount && !charge->leaving);
        take_off(charge, amount);
}

void quota_release(struct quota_charge *charge) {
        struct quota_account *account = charge->account;
        enum quota_resource resource = charge->resource;
        struct quotas *quotas;

        if (!account)
                return;
        quotas = account->quotas;
        if (charge->leaving) {
                account->leaving[resource] -= charge->amount;
                quotas->leaving[resource] -= charge->amount;
        }
        take_off(charge, charge->amount);
        if (charge->leaving && quotas->left)
                quotas->left(quotas);
        quota_account_unref(account);
        *charge = (struct quota_charge){ 0 };
}

void quota_leave(struct quota_charge *charge) {
        if (!charge->account || charge->leaving)
                return;
        charge->leaving = true;
        charge->account->leaving[charge->resource] += charge->amount;
        charge->account->quotas->leaving[charge->resource] += charge->amount;
}

void quota_move(struct quota_charge *to, struct quota_charge *from) {
        assert(!to->account);
        *to = *from;
        *from = (struct quota_charge){ 0 };
}

int quota_transfer(struct quota_charge *charges, size_t n, struct quota_account *to, enum quota_resource *resource) {
        for (size_t i = 0; i < n; i++) {
                const struct quota_charge *c = &charges[i];
                int r;

                if (c->account == to)
                        return 0;
                assert(c->account && !c->leaving);
                r = check(to, c->resource, to->used[c->resource], c->amount, to->quotas->used[c->resource], 0);
                if (r) {
                        *resource = c->resource;
                        return r;
                }
        }
        for (size_t i = 0; i < n; i++) {
                struct quota_charge moved = { .resource = charges[i].resource };

                add(&moved, to, charges[i].amount);
                quota_release(&charges[i]);
                charges[i] = moved;
        }
        return 0;
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

static const struct words {
        const char *what;
        const char *all;  /* what sets the limit of all together; NULL: there is none */
        const char *user; /* what sets that of each */
} words[QUOTA_RESOURCES] = {
        [QUOTA_SEGMENTS] = { "segments", "--max-segments", "--user-segments" },
        [QUOTA_BYTES] = { "bytes of segments", "--max-bytes", "--user-bytes" },
        [QUOTA_CLIENTS] = { "clients", "--max-clients", "--user-clients" },
        [QUOTA_HANDLES] = { "open handles", "--max-clients", "--user-handles" },
        [QUOTA_GROUPS] = { "segments that it has read and that have a writer", "--max-clients", "--user-handles" },
        [QUOTA_WAITING] = { "requests that wait", NULL, "--user-waiting" },
        [QUOTA_FLIGHT] = { "descriptors that no client has read yet", "LimitNOFILE=, ulimit -n", NULL },
};

void quota_explain(char *text, size_t size, const struct quota_account *account, enum quota_resource resource,
                   uint64_t amount, int outcome) {
        const struct quotas *quotas = account->quotas;
        const struct quota_limit *limit = &quotas->limits[resource];
        const struct words *w = &words[resource];

        switch (outcome) {
        case QUOTA_E_ALL:
                (void)snprintf(text, size,
                               "all users together have %" PRIu64 " %s and may have %" PRIu64
                               ": there is no room for %" PRIu64 " more (%s)",
                               quotas->used[resource], w->what, limit->all, amount, w->all);
                break;
        case QUOTA_E_USER:
                (void)snprintf(text, size,
                               "uid %u has %" PRIu64 " %s and may have %" PRIu64 ": %" PRIu64
                               " more are over its quota (%s)",
                               account->uid, account->used[resource], w->what, limit->user, amount, w->user);
                break;
        default:
                (void)snprintf(text, size,
                               "uid %u has %" PRIu64 " %s, and of the %" PRIu64 " for all users %" PRIu64
                               " are left: with %" PRIu64 " more it would have more than it leaves to the others (%s)",
                               account->uid, account->used[resource], w->what, limit->all,
                               limit->all - quotas->used[resource], amount, w->all);
                break;
        }
}
