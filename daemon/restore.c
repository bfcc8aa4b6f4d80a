#include "daemon/restore.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ghost.h"
#include "daemon/group.h"
#include "daemon/handle.h"
#include "daemon/inheritance.h"
#include "daemon/log.h"
#include "daemon/record.h"
#include "daemon/segment.h"
#include "daemon/server.h"
#include "daemon/user.h"
#include "proto/cleanup.h"
#include "proto/name.h"

#define RECORDS_MAX 8 /* an instance that dies at its start may leave one more */

#define UNBORN_MAX 4096

struct restoration {
        struct server *server;
        struct inheritance *in;
        size_t n_records;
        struct record records[RECORDS_MAX];
        size_t n_sorted; /* segments from the records before */
        size_t n_unborn;
        uint64_t unborn[UNBORN_MAX]; /* segments that nobody was told of, and that the store does not have */
        bool foreign;                /* a record of another version: what is left over may be its */
};

/* ---- segments --------------------------------------------------------------------------------------------------- */

static __attribute__((format(printf, 3, 4))) void refuse(const struct restoration *r, const char *name,
                                                         const char *format, ...) {
        char why[256];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(why, sizeof(why), format, args);
        va_end(args);
        r->server->n_refused++;
        log_write(LOG_ERR, &(struct log_about){ .event = LOG_EVENT_LOST, .segment = name }, "segment %s is lost: %s",
                  name, why);
}

static int compare_ids(const void *a, const void *b) {
        const struct segment *x = *(struct segment *const *)a;
        const struct segment *y = *(struct segment *const *)b;

        return (x->id > y->id) - (x->id < y->id);
}

static void sort(struct restoration *r) {
        if (r->server->n_restored)
                qsort(r->server->restored, r->server->n_restored, sizeof(struct segment *), compare_ids);
        r->n_sorted = r->server->n_restored;
}

static struct segment *find(const struct restoration *r, uint64_t id) {
        struct segment key = { .id = id };
        struct segment *p = &key;
        struct segment **at = NULL;

        if (r->n_sorted)
                at = bsearch(&p, r->server->restored, r->n_sorted, sizeof(struct segment *), compare_ids);
        return at ? *at : NULL;
}

static bool is_name(const char *name) {
        size_t at;

        return name_check(name, &at) == 0;
}

/* Is it one that this daemon could have written? */
static bool is_sane(const struct record_segment *b) {
        return memchr(b->name, '\0', sizeof(b->name)) && memchr(b->type, '\0', sizeof(b->type)) && is_name(b->name) &&
               b->mode <= 0777 && (b->flags & ~PROTO_SEGMENT_FLAGS) == 0 &&
               (b->policy == PROTO_POLICY_OVERWRITE || b->policy == PROTO_POLICY_BLOCK);
}

static int add_segment(struct restoration *r, const struct record_segment *b, const struct segment_parameters *p,
                       const struct geometry *geometry, int fd) {
        struct server *server = r->server;
        struct quota_account *account = quota_account_get(&server->quotas, b->uid);
        struct segment *s;
        int room;
        int e;

        if (!account) {
                fd_close(fd);
                return -ENOMEM;
        }
        e = segment_restore(&s, p, geometry, b->id, b->created, fd, account, &server->hosts);
        quota_account_unref(account);
        if (e)
                return e;
        s->inode = b->inode;
        s->users.arrivals = b->arrivals;
        s->users.departures = b->departures;
        s->used = b->state & RECORD_SEGMENT_USED;
        memcpy(s->writer_ids, b->writers, sizeof(s->writer_ids));
        room = inheritance_take(r->in, 'r', b->id);
        if (room >= 0)
                s->room = room;
        if (b->state & RECORD_SEGMENT_REMOVED)
                s->state = SEGMENT_REMOVED;
        else
                registry_add(&server->registry, s);
        estate_update_segment(&server->estate, s);
        server->restored[server->n_restored++] = s;
        return 0;
}

static int restore_segment(struct restoration *r, const struct record_segment *b) {
        const struct segment_parameters p = {
                .name = b->name,
                .type = b->type,
                .slot_size = b->slot_size,
                .n_slots = b->n_slots,
                .policy = b->policy,
                .flags = b->flags,
                .foreign_holds = b->foreign_holds,
                .rule = { .uid = b->uid, .gid = b->gid, .mode = b->mode },
        };
        struct geometry geometry;
        int fd;
        int e;

        if (find(r, b->id)) /* an older record of the same */
                return 0;
        if (segment_geometry(&geometry, &p)) {
                refuse(r, b->name, "its record has a size that no segment has");
                return 0;
        }
        if (!(b->state & RECORD_SEGMENT_REMOVED) && registry_find(&r->server->registry, b->name)) {
                refuse(r, b->name, "there is another one of that name");
                return 0;
        }
        fd = inheritance_take(r->in, 'd', b->id);
        if (fd < 0 && b->state & RECORD_SEGMENT_TENTATIVE) {
                if (r->n_unborn < UNBORN_MAX)
                        r->unborn[r->n_unborn++] = b->id;
                return 0;
        }
        if (fd < 0) {
                refuse(r, b->name, "its memory was not kept: is FileDescriptorStoreMax= lower than $SHMD_STORE_MAX?");
                return 0;
        }
        if (!inheritance_is_memfd(fd, geometry.file_size, b->inode)) {
                refuse(r, b->name, "what was kept as its memory is something else");
                fd_close(fd);
                return 0;
        }
        e = add_segment(r, b, &p, &geometry, fd);
        if (e < 0)
                return e;
        if (e)
                refuse(r, b->name, "there is no room for its record");
        return 0;
}

static int restore_segments(struct restoration *r, const struct record *record) {
        for (uint32_t place = 0; place < record_end(record, RECORD_SEGMENT); place++) {
                struct record_segment body;
                int outcome = record_read(record, RECORD_SEGMENT, place, &body);
                int e = 0;

                if (outcome == 0 && is_sane(&body)) {
                        e = restore_segment(r, &body);
                } else if (outcome != RECORD_E_FREE) {
                        body.name[sizeof(body.name) - 1] = '\0';
                        refuse(r, is_name(body.name) ? body.name : "?", "its record (place %" PRIu32 ") %s", place,
                               outcome == RECORD_E_NEWER ? "has parts that only a newer version knows"
                                                         : "does not check");
                }
                if (e < 0)
                        return e;
        }
        return 0;
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

static void lose_group(const struct segment *s, const struct record_group *b, const char *why) {
        log_write(LOG_WARNING, &(struct log_about){ .event = LOG_EVENT_LOST, .segment = s->name },
                  "%s: the readers of uid %" PRIu32 " go on without the daemon: %s", s->name, b->uid, why);
}

static void restore_group(struct restoration *r, const struct record_group *b) {
        CLEANUP(user_unrefp) struct user *user = NULL;
        struct segment *s = find(r, b->segment);
        struct group *g;
        int table;
        int bell;
        int e;

        /* Where nobody was let in yet, not every writer may know of it. */
        if (!s || !(b->flags & RECORD_GROUP_ENTERED))
                return;
        if (b->index >= LAYOUT_GROUPS_MAX || b->account >= LAYOUT_GROUPS_MAX || s->group_indices >> b->index & 1) {
                lose_group(s, b, "their record makes no sense");
                return;
        }
        table = inheritance_take(r->in, 't', b->id);
        bell = inheritance_take(r->in, 'b', b->id);
        if (table < 0 || bell < 0 || !inheritance_is_memfd(table, group_table_size(), b->inode) ||
            !inheritance_is_bell(bell)) {
                lose_group(s, b, "their table or bell was not kept");
                fd_close(table);
                fd_close(bell);
                return;
        }
        user = user_get(&r->server->users, b->uid);
        e = user ? group_restore(&g, s->estate, user, b, table, bell) : -ENOMEM;
        if (e) {
                lose_group(s, b, "no memory");
                return;
        }
        LIST_INSERT_HEAD(&s->groups, g, link);
        s->group_indices |= UINT64_C(1) << g->index;
}

static void restore_groups(struct restoration *r, const struct record *record) {
        for (uint32_t place = 0; place < record_end(record, RECORD_GROUP); place++) {
                struct record_group body;
                int outcome = record_read(record, RECORD_GROUP, place, &body);

                if (outcome == 0)
                        restore_group(r, &body);
                else if (outcome != RECORD_E_FREE)
                        log_event(LOG_ERR, LOG_EVENT_LOST,
                                  "the record of a reader group (place %" PRIu32 ") does not check: its readers go on "
                                  "without the daemon",
                                  place);
        }
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

/* Is it one that has not come to be, though the record has it? */
static bool is_tentative(const struct restoration *r, uint64_t id) {
        for (size_t i = 0; i < r->n_unborn; i++)
                if (r->unborn[i] == id)
                        return true;
        return false;
}

/* Did it take effect? */
static bool has_happened(const struct restoration *r, const struct record_result *b) {
        const struct proto_header *reply = (const struct proto_header *)(const void *)b->reply;
        const struct segment *s = find(r, b->segment);

        if (b->done && !is_tentative(r, b->segment))
                return true;
        return reply->op == PROTO_OP_CREATE ? s != NULL : !s || s->state == SEGMENT_REMOVED;
}

static void restore_results(struct restoration *r, const struct record *record) {
        for (uint32_t place = 0; place < record_end(record, RECORD_RESULT); place++) {
                struct record_result body;

                if (record_read(record, RECORD_RESULT, place, &body) == 0 && body.size <= sizeof(body.reply) &&
                    has_happened(r, &body))
                        results_restore(&r->server->results, &body);
        }
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* Open every record that is there, the newest first. */
static int open_records(struct restoration *r) {
        const struct heirloom *item;

        while ((item = inheritance_last(r->in, 's')) && r->n_records < RECORDS_MAX) {
                uint64_t generation = item->number;
                int fd = inheritance_take(r->in, 's', generation);
                int e = record_open(&r->records[r->n_records], fd);

                if (e < 0)
                        return e;
                if (e == 0) {
                        r->n_records++;
                        continue;
                }
                r->foreign |= e == RECORD_E_VERSION;
                log_event(LOG_ERR, LOG_EVENT_LOST, "record %" PRIu64 " %s", generation,
                          e == RECORD_E_VERSION
                                  ? "is of another version of shmd: its segments are kept for that version, but cannot "
                                    "be had from this one"
                                  : "does not check: its segments are lost");
        }
        return 0;
}

/* No number from there on was ever used. */
static uint64_t next_id(const struct restoration *r) {
        uint64_t next = 1;

        for (size_t i = 0; i < r->in->n; i++)
                if (r->in->items[i].letter != 's' && r->in->items[i].number >= next)
                        next = r->in->items[i].number + 1;
        for (size_t i = 0; i < r->n_records; i++) {
                struct record_counters counters;

                if (record_end(&r->records[i], RECORD_COUNTERS) > 0 &&
                    record_read(&r->records[i], RECORD_COUNTERS, 0, &counters) == 0 && counters.next_id > next)
                        next = counters.next_id;
        }
        return next;
}

static uint64_t last_generation(const struct inheritance *in) {
        uint64_t last = 0;

        for (size_t i = 0; i < in->n; i++)
                if (in->items[i].letter == 's' && in->items[i].number > last)
                        last = in->items[i].number;
        return last;
}

static int begin_record(struct restoration *r) {
        size_t n_segments = 0;

        for (size_t i = 0; i < r->n_records; i++)
                n_segments += record_end(&r->records[i], RECORD_SEGMENT);
        if (n_segments > 0) {
                r->server->restored = calloc(n_segments, sizeof(struct segment *));
                if (!r->server->restored)
                        return -ENOMEM;
        }
        return estate_begin(&r->server->estate, last_generation(r->in) + 1, next_id(r));
}

/* ---- what is left over ------------------------------------------------------------------------------------------ */

/* Half made or half removed when the instance before died; or what nothing could be made of. */
static void give_up_rest(struct restoration *r) {
        char name[STORE_NAME_MAX];

        for (size_t i = 0; i < r->in->n; i++) {
                const struct heirloom *item = &r->in->items[i];

                if (item->fd < 0 || r->foreign)
                        continue;
                store_remove(&r->server->estate.store, estate_name(name, item->letter, item->number));
        }
}

/* Ours says all that theirs do. */
static void give_up_records(struct restoration *r) {
        char name[STORE_NAME_MAX];

        for (size_t i = 0; i < r->n_records; i++)
                store_remove(&r->server->estate.store, estate_name(name, 's', r->records[i].generation));
}

static int restore_all(struct restoration *r) {
        int e = open_records(r);

        if (e < 0)
                return e;
        e = begin_record(r);
        if (e < 0)
                return e;
        for (size_t i = 0; i < r->n_records; i++) {
                e = restore_segments(r, &r->records[i]);
                if (e < 0)
                        return e;
                sort(r);
        }
        for (size_t i = 0; i < r->n_records; i++)
                restore_groups(r, &r->records[i]);
        for (size_t i = 0; i < r->n_records; i++)
                restore_results(r, &r->records[i]);
        return 0;
}

int restore(struct server *server, struct inheritance *in) {
        static struct restoration r; /* large, and once */
        int e;

        r = (struct restoration){ .server = server, .in = in };

        store_count(&server->estate.store, in->n);
        e = restore_all(&r);
        if (e == 0) {
                const struct store *store = &server->estate.store;

                /* Theirs and ours together, so that there is one at any time; unless the limit was lowered. */
                if (store->n <= store->max + 1)
                        estate_keep(&server->estate);
                give_up_records(&r);
                give_up_rest(&r);
                if (store->n > store->max + 1)
                        log_event(LOG_ERR, LOG_EVENT_STORE,
                                  "%zu descriptors are to be kept over a restart, and %zu may be: raise "
                                  "FileDescriptorStoreMax= and $SHMD_STORE_MAX, or segments will be lost",
                                  store->n, store->max + 1);
                if (!server->estate.kept)
                        estate_keep(&server->estate);
                /* What is answered from now on is in our record, and not in theirs. */
                store_flush(&server->estate.store);
        }
        for (size_t i = 0; i < r.n_records; i++)
                record_deinit(&r.records[i]);
        return e;
}

/* ---- who lives -------------------------------------------------------------------------------------------------- */

/* A taken id or entry: a ghost, if its process lives. */
static int find_living_one(struct server *server, struct segment *s, struct group *g, uint32_t id) {
        int e;

        if (!segment_is_locked(g ? g->table : s->fd, id))
                return 0;
        e = segment_map(s);
        return e < 0 ? e : ghost_new(server, s, g, id);
}

/* The bits are given back: those of ghosts are set anew. */
static int find_living_of(struct server *server, struct segment *s, struct group *g, uint64_t *bits, uint32_t n) {
        for (uint32_t i = 0; i < (n + 63) / 64; i++) {
                uint64_t taken = bits[i];

                for (bits[i] = 0; taken; taken &= taken - 1) {
                        uint32_t id = i * 64 + (uint32_t)__builtin_ctzll(taken);
                        int e = id < n ? find_living_one(server, s, g, id) : 0;

                        if (e < 0)
                                return e;
                }
        }
        return 0;
}

static int find_living(struct server *server, struct segment *s) {
        struct group *g;
        int e = find_living_of(server, s, NULL, s->writer_ids, LAYOUT_WRITER_DAEMON);

        LIST_FOREACH (g, &s->groups, link)
                if (e == 0)
                        e = find_living_of(server, s, g, g->entries, LAYOUT_READERS_MAX);
        s->writer_ids[LAYOUT_WRITER_DAEMON / 64] |= UINT64_C(1) << LAYOUT_WRITER_DAEMON % 64;
        return e;
}

/* What the dead have left, and what has happened meanwhile. */
static void tidy(struct segment *s) {
        struct group *g;

        handle_release_lock(s);
        LIST_FOREACH (g, &s->groups, link) {
                group_tidy(g);
                estate_update_group(s->estate, g);
        }
        /* Those who are busy look at it, and find that they have to come back. */
        segment_raise_epoch(s);
}

static int awake(struct server *server, struct segment *s) {
        bool had_writers = s->users.arrivals != s->users.departures;
        int e = find_living(server, s);

        if (e == 0 && segment_is_being_written(s))
                e = segment_map(s);
        if (e < 0)
                return e;
        if (had_writers != (s->users.writers > 0)) {
                s->users.arrivals += !had_writers;
                s->users.departures += had_writers;
        }
        if (s->mapping.base)
                tidy(s);
        estate_update_segment(s->estate, s);
        if (s->n_handles > 0)
                return 0;
        segment_rest(s);
        if (s->flags & PROTO_SEGMENT_EPHEMERAL && s->used && s->state == SEGMENT_READY)
                server_remove_segment(server, s, NULL, "its last user is gone");
        return 0;
}

int restore_finish(struct server *server) {
        int e = 0;

        for (size_t i = 0; i < server->n_restored; i++) {
                if (e == 0)
                        e = awake(server, server->restored[i]);
                segment_unref(server->restored[i]);
        }
        if (e == 0 && server->n_restored > 0)
                log_event(LOG_INFO, LOG_EVENT_RESTORED, "taken over: %zu segments", server->n_restored);
        free(STEAL_PTR(server->restored));
        server->n_restored = 0;
        ghosts_start(server);
        results_start(&server->results);
        return e;
}
