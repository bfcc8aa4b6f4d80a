#define _GNU_SOURCE
#include "daemon/naming.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/peer.h"
#include "proto/account.h"
#include "proto/cleanup.h"
#include "proto/name.h"

#define BLANKS " \t"

enum kind {
        KIND_ANY,
        KIND_NOBODY,
        KIND_USER,
        KIND_GROUP,
};

/* One of those whom a rule names. The grants with the same prefix are the rule. */
struct naming_grant {
        char *prefix; /* owned; "": every name */
        char *name;   /* owned; of the user or group, as it was written */
        enum kind kind;
        uint32_t id;
};

static const struct {
        const char *word;
        bool named; /* a name follows */
} kinds[] = {
        [KIND_ANY] = { "any", false },
        [KIND_NOBODY] = { "nobody", false },
        [KIND_USER] = { "user", true },
        [KIND_GROUP] = { "group", true },
};

void naming_deinit(struct naming *naming) {
        for (size_t i = 0; i < naming->n; i++) {
                free(naming->grants[i].prefix);
                free(naming->grants[i].name);
        }
        free(naming->grants);
        *naming = (struct naming){ 0 };
}

/* ---- what is written -------------------------------------------------------------------------------------------- */

/* Nothing could begin so? A name is made of it, and looked at. */
static bool is_prefix(const char *prefix, char *text, size_t size) {
        char name[NAME_LENGTH_MAX + 2];
        char why[256];
        int length;

        if (name_check(prefix, &(size_t){ 0 }) == 0)
                return true;
        length = snprintf(name, sizeof(name), "%sx", prefix);
        if (*prefix && (size_t)length < sizeof(name) && name_check(name, &(size_t){ 0 }) == 0)
                return true;
        (void)name_explain(why, sizeof(why), *prefix && (size_t)length < sizeof(name) ? name : prefix);
        (void)snprintf(text, size, "no name begins with '%s': it must be the beginning of one, or * for all (%s)",
                       prefix, why);
        return false;
}

/* Cut the blanks at both ends. */
static char *trim(char *text) {
        size_t n;

        text += strspn(text, BLANKS);
        n = strlen(text);
        while (n > 0 && strchr(BLANKS, text[n - 1]))
                n--;
        text[n] = '\0';
        return text;
}

/* The kind that an item begins with, and what follows it. */
static bool parse_item(enum kind *kind, const char **name, const char *item) {
        size_t length = strcspn(item, BLANKS);

        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
                if (strlen(kinds[i].word) != length || memcmp(item, kinds[i].word, length) != 0)
                        continue;
                *kind = (enum kind)i;
                *name = item + length + strspn(item + length, BLANKS);
                return kinds[i].named == (**name != '\0');
        }
        return false;
}

/* 'any' and 'nobody' say it all. */
static bool is_contradiction(const struct naming *naming, const char *prefix, enum kind kind) {
        for (size_t i = 0; i < naming->n; i++)
                if (strcmp(naming->grants[i].prefix, prefix) == 0 &&
                    !(kinds[kind].named && kinds[naming->grants[i].kind].named))
                        return true;
        return false;
}

static int append(struct naming *naming, const char *prefix, const char *name, enum kind kind, uint32_t id) {
        CLEANUP(freep) char *own_prefix = strdup(prefix);
        CLEANUP(freep) char *own_name = strdup(name);
        struct naming_grant *grants;

        if (!own_prefix || !own_name)
                return -ENOMEM;
        grants = reallocarray(naming->grants, naming->n + 1, sizeof(*grants));
        if (!grants)
                return -ENOMEM;
        naming->grants = grants;
        grants[naming->n++] = (struct naming_grant){
                .prefix = STEAL_PTR(own_prefix),
                .name = STEAL_PTR(own_name),
                .kind = kind,
                .id = id,
        };
        return 0;
}

static int add_item(struct naming *naming, const char *prefix, const char *item, char *text, size_t size) {
        enum kind kind = KIND_ANY;
        const char *name = NULL;
        uint32_t id = 0;

        if (!parse_item(&kind, &name, item)) {
                (void)snprintf(text, size,
                               "'%s' is nobody: it must be any, nobody, or a list of 'user NAME' and 'group NAME', "
                               "with commas",
                               item);
                return NAMING_E_WRONG;
        }
        if (kinds[kind].named && !(kind == KIND_USER ? account_user : account_group)(&id, name)) {
                (void)snprintf(text, size, "there is no %s '%s': it must be a %s's name or number", kinds[kind].word,
                               name, kinds[kind].word);
                return NAMING_E_WRONG;
        }
        if (is_contradiction(naming, prefix, kind)) {
                (void)snprintf(text, size, "'%s' is not all that is said of these names: any and nobody stand alone",
                               item);
                return NAMING_E_WRONG;
        }
        return append(naming, prefix, name, kind, id);
}

int naming_add(struct naming *naming, const char *prefix, const char *who, char *text, size_t size) {
        CLEANUP(freep) char *items = strdup(who);
        char *rest = items;
        char *item;
        int r = 0;

        if (!items)
                return -ENOMEM;
        if (strcmp(prefix, "*") == 0)
                prefix = "";
        else if (!is_prefix(prefix, text, size))
                return NAMING_E_WRONG;
        while (r == 0 && (item = strsep(&rest, ",")))
                r = add_item(naming, prefix, trim(item), text, size);
        return r;
}

/* ---- what it means ---------------------------------------------------------------------------------------------- */

/* The prefix of the rule that counts, or NULL. */
static const char *find_prefix(const struct naming *naming, const char *name) {
        const char *best = NULL;

        for (size_t i = 0; i < naming->n; i++) {
                const char *prefix = naming->grants[i].prefix;

                if (strncmp(name, prefix, strlen(prefix)) == 0 && (!best || strlen(prefix) > strlen(best)))
                        best = prefix;
        }
        return best;
}

static bool is_granted(const struct naming_grant *grant, const struct peer *peer) {
        switch (grant->kind) {
        case KIND_ANY:
                return true;
        case KIND_USER:
                return peer->uid == grant->id;
        case KIND_GROUP:
                return peer_in_group(peer, grant->id);
        default:
                return false;
        }
}

bool naming_may_create(const struct naming *naming, const char *name, const struct peer *peer) {
        const char *prefix = find_prefix(naming, name);

        if (!prefix)
                return true;
        for (size_t i = 0; i < naming->n; i++)
                if (strcmp(naming->grants[i].prefix, prefix) == 0 && is_granted(&naming->grants[i], peer))
                        return true;
        return false;
}

void naming_explain(const struct naming *naming, const char *name, char *text, size_t size) {
        const char *prefix = find_prefix(naming, name);
        const char *between = "";
        size_t used;

        if (!prefix)
                used = (size_t)snprintf(text, size, "there is no rule for this name");
        else if (*prefix)
                used = (size_t)snprintf(text, size, "names that begin with %s are for ", prefix);
        else
                used = (size_t)snprintf(text, size, "names for which there is no other rule are for ");
        for (size_t i = 0; prefix && i < naming->n && used < size; i++) {
                const struct naming_grant *grant = &naming->grants[i];

                if (strcmp(grant->prefix, prefix) != 0)
                        continue;
                used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", between, kinds[grant->kind].word,
                                         kinds[grant->kind].named ? " " : "", grant->name);
                between = ", ";
        }
}
