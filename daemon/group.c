#define _GNU_SOURCE
#include "daemon/group.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "daemon/segment.h"
#include "daemon/user.h"
#include "proto/message.h"

static struct layout_table *table(const struct group *g) { return (struct layout_table *)(void *)g->mapping.base; }

int group_new(struct group **out, struct user *user, uint32_t index, bool binding, uint32_t account) {
        CLEANUP(group_freep) struct group *g = malloc(sizeof(*g));
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t size = (sizeof(struct layout_table) + page - 1) / page * page;
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
        };
        user->n_refs++;
        r = quota_charge(&g->charge, user->account, QUOTA_GROUPS, 1);
        if (r)
                return r;
        r = segment_memfd("readers", size, 0);
        if (r < 0)
                return r;
        g->table = r;
        r = mapping_init(&g->mapping, g->table, size);
        if (r < 0)
                return r;
        slots_table_init(table(g));
        /* The counter is never 0, so that write(0) rings and cannot block. */
        g->bell = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        if (g->bell < 0)
                return -errno;
        *out = STEAL_PTR(g);
        return 0;
}

struct group *group_free(struct group *g) {
        if (!g)
                return NULL;
        assert(g->n_readers == 0);
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
                *entry = i;
                *fd = STEAL_FD(own);
                return 0;
        }
        return r;
}

void group_enter(struct group *g, const struct slots *slots, uint32_t entry, uint32_t start, bool ordered) {
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
}
