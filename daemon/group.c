#define _GNU_SOURCE
#include "daemon/group.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>

#include "daemon/estate.h"
#include "daemon/segment.h"
#include "daemon/user.h"
#include "proto/message.h"

static struct layout_table *table(const struct group *g) { return (struct layout_table *)(void *)g->mapping.base; }

uint64_t group_table_size(void) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

        return (sizeof(struct layout_table) + page - 1) / page * page;
}

int group_new(struct group **out, struct estate *estate, uint64_t segment_id, struct user *user, uint32_t index,
              bool binding, uint32_t account) {
        CLEANUP(group_freep) struct group *g = malloc(sizeof(*g));
        int r;

        if (!g)
                return -ENOMEM;
        *g = (struct group){
                .user = user,
                .index = index,
                .binding = binding,
                .account = account,
                .table = -1,
                .bell = -1,
                .estate = estate,
                .place = RECORD_NONE,
                .segment_id = segment_id,
        };
        user->n_refs++;
        r = quota_charge(&g->charge, user->account, QUOTA_GROUPS, 1);
        if (r)
                return r;
        r = estate_reserve_group(estate, g);
        if (r)
                return r;
        r = segment_memfd("readers", group_table_size(), 0);
        if (r < 0)
                return r;
        g->table = r;
        r = mapping_init(&g->mapping, g->table, group_table_size());
        if (r < 0)
                return r;
        slots_table_init(table(g));
        /* The counter is never 0, so that write(0) rings and cannot block. */
        g->bell = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        if (g->bell < 0)
                return -errno;
        g->id = estate_number(estate);
        estate_keep_group(estate, g);
        *out = STEAL_PTR(g);
        return 0;
}

int group_restore(struct group **out, struct estate *estate, struct user *user, const struct record_group *record,
                  int table, int bell) {
        CLEANUP(group_freep) struct group *g = malloc(sizeof(*g));
        int r;

        if (!g) {
                fd_close(table);
                user_close(user, bell);
                return -ENOMEM;
        }
        *g = (struct group){
                .user = user,
                .index = record->index,
                .binding = record->flags & RECORD_GROUP_BINDING,
                .account = record->account,
                .table = table,
                .bell = bell,
                .estate = estate,
                .place = record_take(&estate->record, RECORD_GROUP),
                .kept = true,
                .entered = record->flags & RECORD_GROUP_ENTERED,
                .id = record->id,
                .segment_id = record->segment,
                .inode = record->inode,
        };
        memcpy(g->entries, record->entries, sizeof(g->entries)); /* until it is known who of them lives */
        user->n_refs++;
        quota_charge_anyhow(&g->charge, user->account, QUOTA_GROUPS, 1);
        if (g->place == RECORD_NONE)
                return ESTATE_E_FULL;
        r = mapping_init(&g->mapping, g->table, group_table_size());
        if (r < 0)
                return r;
        estate_update_group(estate, g);
        *out = STEAL_PTR(g);
        return 0;
}

struct group *group_free(struct group *g) {
        if (!g)
                return NULL;
        assert(g->n_readers == 0);
        estate_drop_group(g->estate, g);
        mapping_deinit(&g->mapping);
        fd_close(g->table);
        user_close(g->user, g->bell);
        quota_release(&g->charge);
        user_unref(g->user);
        free(g);
        return NULL;
}

struct proto_group group_describe(const struct group *g, const struct segment *s) {
        return (struct proto_group){
                .index = (uint16_t)g->index,
                .flags = g->binding ? PROTO_GROUP_BINDING : 0,
                .account = (uint16_t)g->account,
                .holds = g->binding ? 0 : (uint16_t)s->foreign_holds,
        };
}

static bool is_taken(const struct group *g, uint32_t entry) { return g->entries[entry / 64] >> entry % 64 & 1; }

int group_reserve(struct group *g, uint32_t *entry, int *fd) {
        CLEANUP(fd_closep) int own = -1;
        int r = segment_describe(g->table, O_RDWR);

        if (r < 0)
                return r;
        own = r;
        r = -EAGAIN;
        for (uint32_t i = 0; i < LAYOUT_READERS_MAX; i++) {
                if (is_taken(g, i))
                        continue;
                /* A reader that has closed its connection and lives on may still have the lock of its old entry. */
                r = segment_lock_byte(own, i);
                if (r == -EAGAIN)
                        continue;
                if (r < 0)
                        return r;
                g->entries[i / 64] |= UINT64_C(1) << i % 64;
                g->n_readers++;
                estate_update_group(g->estate, g);
                *entry = i;
                *fd = STEAL_FD(own);
                return 0;
        }
        return r;
}

void group_adopt(struct group *g, uint32_t entry) {
        assert(!is_taken(g, entry));
        g->entries[entry / 64] |= UINT64_C(1) << entry % 64;
        g->n_readers++;
}

void group_enter(struct group *g, const struct slots *slots, uint32_t entry, uint32_t start, bool ordered) {
        if (!g->entered) {
                g->entered = true;
                estate_update_group(g->estate, g);
        }
        slots_enter(slots, table(g), entry, start, ordered);
}

/* What a writer has to look at ends behind the last entry that is taken. */
static uint32_t used(const struct group *g) {
        for (uint32_t i = LAYOUT_WAITING_WORDS; i-- > 0;)
                if (g->entries[i])
                        return i * 64 + 64 - (uint32_t)__builtin_clzll(g->entries[i]);
        return 0;
}

void group_leave(struct group *g, uint32_t entry) {
        assert(is_taken(g, entry) && g->n_readers > 0);
        slots_leave(table(g), entry);
        g->entries[entry / 64] &= ~(UINT64_C(1) << entry % 64);
        g->n_readers--;
        atomic_store(&table(g)->used, used(g));
        estate_update_group(g->estate, g);
}

void group_tidy(struct group *g) {
        for (uint32_t i = 0; i < LAYOUT_READERS_MAX; i++)
                if (!is_taken(g, i))
                        slots_leave(table(g), i);
        atomic_store(&table(g)->used, used(g));
}

void group_abandon(struct group *g) { g->n_readers--; }
