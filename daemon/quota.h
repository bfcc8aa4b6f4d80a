/*
 * quota.h -- what each uid has of what there is, and how much of it it may have.
 *
 * Three rules. All users together have at most so much. One has at most so much of it. And nobody gets more than then
 * remains for the others: who takes all that he can get alone leaves half, two of them leave a third each, and there is
 * always something left for who comes next. Root and the daemon's own uid are bound by the first rule only: they could
 * end the daemon as well, and a daemon of one user's own serves nobody else.
 *
 * A charge is a member of what it is for, and is released by the same destructor; it keeps its account. It knows nothing
 * of what is counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "daemon/tree.h"

enum quota_resource {
        QUOTA_SEGMENTS,
        QUOTA_BYTES,   /* of segments, as allocated; those of a sparse one as if it were full */
        QUOTA_CLIENTS, /* connections, from accept() until the socket is closed */
        QUOTA_HANDLES, /* opens, from the request until all that is left of them is gone */
        QUOTA_GROUPS,  /* segments at which it has readers, or had while the writers of now were there */
        QUOTA_WAITING, /* requests that wait for a name, for memory, or for a segment to be made */
        QUOTA_FLIGHT,  /* descriptors sent, and perhaps not read yet */
        QUOTA_RESOURCES,
};

struct quota_limit {
        uint64_t all;  /* for all together; UINT64_MAX: no limit, and no third rule */
        uint64_t user; /* for each uid; UINT64_MAX: no limit of its own */
};

struct quota_account;
RB_HEAD(quota_tree, quota_account);

struct quotas {
        struct quota_limit limits[QUOTA_RESOURCES];
        uint64_t used[QUOTA_RESOURCES];
        uint64_t leaving[QUOTA_RESOURCES];
        struct quota_tree accounts;
        uid_t own;   /* the daemon's uid */
        bool ending; /* nothing is taken back any more: clients go on without the daemon */
        /* Something that was leaving has left: see QUOTA_E_SOON. */
        void (*left)(struct quotas *quotas);
};

struct quota_account {
        RB_ENTRY(quota_account) link;
        struct quotas *quotas;
        uid_t uid;
        bool complained; /* in the log, of this uid's connections */
        size_t n_refs;
        uint64_t used[QUOTA_RESOURCES];
        uint64_t leaving[QUOTA_RESOURCES]; /* of these: released soon */
};

/* All zeros: nothing is charged. */
struct quota_charge {
        struct quota_account *account; /* a reference */
        enum quota_resource resource;
        bool leaving;
        uint64_t amount;
};

enum {
        QUOTA_E_ALL = 1, /* over the limit of all together */
        QUOTA_E_USER,    /* over the uid's own */
        QUOTA_E_SHARE,   /* less would be left for the others than this uid would have */
        QUOTA_E_SOON,    /* one of these, but not when what is leaving has left: wait for left() */
};

/* Every limit is UINT64_MAX until it is set. */
void quotas_init(struct quotas *quotas, uid_t own);

/* The account of that uid, and a reference. NULL: no memory. */
struct quota_account *quota_account_get(struct quotas *quotas, uid_t uid);

struct quota_account *quota_account_ref(struct quota_account *account);

/* NULL is fine; returns NULL. */
struct quota_account *quota_account_unref(struct quota_account *account);

/* Is this uid one that the second and the third rule bind? */
bool quota_is_bound(const struct quotas *quotas, uid_t uid);

/* The third rule: of @all, @used_all are taken, @used of them by the one who wants @amount more. */
bool quota_is_fair(uint64_t all, uint64_t used_all, uint64_t used, uint64_t amount);

/* Would that much more be refused? Return: 0 or QUOTA_E_*. */
int quota_check(const struct quota_account *account, enum quota_resource resource, uint64_t amount);

/**
 * quota_charge() - charge that much, or that much more
 * @charge: empty, or of this account and resource already
 *
 * Return: 0, or QUOTA_E_*: nothing has changed.
 */
int quota_charge(struct quota_charge *charge, struct quota_account *account, enum quota_resource resource,
                 uint64_t amount);

/* The same for what there was before, whether it fits or not. */
void quota_charge_anyhow(struct quota_charge *charge, struct quota_account *account, enum quota_resource resource,
                         uint64_t amount);

/* Less than all of it is needed no longer. */
void quota_reduce(struct quota_charge *charge, uint64_t amount);

/* Also for an empty one, which it is then. */
void quota_release(struct quota_charge *charge);

/* What is charged is being given back: it counts until quota_release(), but it is worth waiting for. */
void quota_leave(struct quota_charge *charge);

/* Take a charge over; @from is empty then. @to must be. */
void quota_move(struct quota_charge *to, struct quota_charge *from);

/**
 * quota_transfer() - have another one pay
 * @charges:  not empty, all of one account and of different resources
 * @n:        how many
 * @to:       who; the same account is fine
 * @resource: receives what was refused
 *
 * Return: 0, QUOTA_E_USER or QUOTA_E_SHARE: nothing has changed.
 */
int quota_transfer(struct quota_charge *charges, size_t n, struct quota_account *to, enum quota_resource *resource);

/* Why that much more is refused, as a sentence for people. @outcome: QUOTA_E_ALL, _USER or _SHARE. */
void quota_explain(char *text, size_t size, const struct quota_account *account, enum quota_resource resource,
                   uint64_t amount, int outcome);
