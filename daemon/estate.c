#include "daemon/estate.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/group.h"
#include "daemon/segment.h"
#include "daemon/user.h"

/* That the record has places for. Places that are not used take no memory, and limits may be raised by a reload. */
#define SEGMENTS (UINT32_C(1) << 20)
#define GROUPS (UINT32_C(1) << 22)
#define RESULTS (UINT32_C(1) << 20)

static void on_settled(struct store *store);

int estate_init(struct estate *e, struct event_base *base, uint64_t store_max) {
        int r;

        *e = (struct estate){ .record = RECORD_INIT, .counters = RECORD_NONE };
        LIST_INIT(&e->segments);
        r = store_init(&e->store, base, store_max);
        e->store.settled = on_settled;
        return r;
}

void estate_deinit(struct estate *e) {
        record_deinit(&e->record);
        store_deinit(&e->store);
}

int estate_begin(struct estate *e, uint64_t generation, uint64_t next_id) {
        static const uint32_t n[RECORD_KINDS] = {
                [RECORD_COUNTERS] = 1,
                [RECORD_SEGMENT] = SEGMENTS,
                [RECORD_GROUP] = GROUPS,
                [RECORD_RESULT] = RESULTS,
        };
        int r = record_new(&e->record, generation, n);

        if (r < 0)
                return r;
        e->next_id = next_id;
        e->counters = record_take(&e->record, RECORD_COUNTERS);
        if (e->counters == RECORD_NONE)
                return -ENOMEM;
        record_write(&e->record, RECORD_COUNTERS, e->counters, &(struct record_counters){ .next_id = next_id });
        store_count(&e->store, 1);
        return 0;
}

void estate_keep(struct estate *e) {
        char name[STORE_NAME_MAX];

        store_put(&e->store, e->record.fd, estate_name(name, 's', e->record.generation));
        e->kept = true;
}

uint64_t estate_number(struct estate *e) {
        uint64_t number = e->next_id++;

        record_write(&e->record, RECORD_COUNTERS, e->counters, &(struct record_counters){ .next_id = e->next_id });
        return number;
}

const char *estate_name(char name[STORE_NAME_MAX], char letter, uint64_t number) {
        (void)snprintf(name, STORE_NAME_MAX, "%c%" PRIu64, letter, number);
        return name;
}

static uint64_t inode(int fd) {
        struct stat st;

        return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

/* ---- segments --------------------------------------------------------------------------------------------------- */

int estate_reserve_segment(struct estate *e, struct segment *s) {
        if (!store_reserve(&e->store, 1))
                return ESTATE_E_FULL;
        s->place = record_take(&e->record, RECORD_SEGMENT);
        if (s->place != RECORD_NONE)
                return 0;
        store_release(&e->store, 1);
        return ESTATE_E_FULL;
}

static void write_segment(struct estate *e, struct segment *s) {
        struct record_segment body = {
                .id = s->id,
                .inode = s->inode,
                .created = s->created,
                .slot_size = s->geometry.slot_size,
                .arrivals = s->users.arrivals,
                .departures = s->users.departures,
                .n_slots = s->geometry.n_slots,
                .policy = s->policy,
                .flags = s->flags,
                .page_size = s->page_size,
                .uid = s->rule.uid,
                .gid = s->rule.gid,
                .mode = s->rule.mode,
                .state = (s->state == SEGMENT_REMOVED ? RECORD_SEGMENT_REMOVED : 0) |
                         (s->used ? RECORD_SEGMENT_USED : 0),
        };

        s->tentative = s->tentative && !store_is_settled(&e->store);
        body.state |= s->tentative ? RECORD_SEGMENT_TENTATIVE : 0;
        body.foreign_holds = s->foreign_holds;
        memcpy(body.writers, s->writer_ids, sizeof(body.writers));
        (void)snprintf(body.name, sizeof(body.name), "%s", s->name);
        (void)snprintf(body.type, sizeof(body.type), "%s", s->type);
        record_write(&e->record, RECORD_SEGMENT, s->place, &body);
}

void estate_keep_segment(struct estate *e, struct segment *s) {
        char name[STORE_NAME_MAX];

        s->inode = inode(s->fd);
        store_put(&e->store, s->fd, estate_name(name, 'd', s->id));
        estate_adopt_segment(e, s);
        s->tentative = true;
        write_segment(e, s);
        e->tentative |= s->tentative;
}

void estate_adopt_segment(struct estate *e, struct segment *s) {
        s->kept = true;
        LIST_INSERT_HEAD(&e->segments, s, estate_link);
}

/* What was tentative is sure now. */
static void on_settled(struct store *store) {
        struct estate *e = container_of(store, struct estate, store);
        struct segment *s;

        if (!e->tentative || e->sealed)
                return;
        e->tentative = false;
        LIST_FOREACH (s, &e->segments, estate_link)
                if (s->tentative)
                        write_segment(e, s);
}

void estate_for_each(struct estate *e, void (*fn)(struct segment *s, void *data), void *data) {
        struct segment *s;

        LIST_FOREACH (s, &e->segments, estate_link)
                fn(s, data);
}

void estate_update_segment(struct estate *e, struct segment *s) {
        if (s->kept)
                write_segment(e, s);
}

void estate_drop_segment(struct estate *e, struct segment *s) {
        char name[STORE_NAME_MAX];

        if (e->sealed || (s->place == RECORD_NONE && !s->kept))
                return;
        record_free(&e->record, RECORD_SEGMENT, s->place);
        s->place = RECORD_NONE;
        if (s->kept) {
                LIST_REMOVE(s, estate_link);
                store_remove(&e->store, estate_name(name, 'd', s->id));
        } else {
                store_release(&e->store, 1);
        }
        s->kept = false;
}

int estate_keep_room(struct estate *e, struct segment *s) {
        char name[STORE_NAME_MAX];

        if (!store_reserve(&e->store, 1))
                return ESTATE_E_FULL;
        store_put(&e->store, s->room, estate_name(name, 'r', s->id));
        return 0;
}

void estate_drop_room(struct estate *e, struct segment *s) {
        char name[STORE_NAME_MAX];

        if (!e->sealed)
                store_remove(&e->store, estate_name(name, 'r', s->id));
}

/* ---- groups ----------------------------------------------------------------------------------------------------- */

int estate_reserve_group(struct estate *e, struct group *g) {
        if (!store_reserve(&e->store, 2))
                return ESTATE_E_FULL;
        g->place = record_take(&e->record, RECORD_GROUP);
        if (g->place != RECORD_NONE)
                return 0;
        store_release(&e->store, 2);
        return ESTATE_E_FULL;
}

static void write_group(struct estate *e, const struct group *g) {
        struct record_group body = {
                .id = g->id,
                .segment = g->segment_id,
                .inode = g->inode,
                .uid = g->user->uid,
                .index = g->index,
                .account = g->account,
                .flags = (g->binding ? RECORD_GROUP_BINDING : 0) | (g->entered ? RECORD_GROUP_ENTERED : 0),
        };

        memcpy(body.entries, g->entries, sizeof(body.entries));
        record_write(&e->record, RECORD_GROUP, g->place, &body);
}

void estate_keep_group(struct estate *e, struct group *g) {
        char name[STORE_NAME_MAX];

        g->inode = inode(g->table);
        store_put(&e->store, g->table, estate_name(name, 't', g->id));
        store_put(&e->store, g->bell, estate_name(name, 'b', g->id));
        g->kept = true;
        write_group(e, g);
}

void estate_update_group(struct estate *e, struct group *g) {
        if (g->kept)
                write_group(e, g);
}

void estate_drop_group(struct estate *e, struct group *g) {
        char name[STORE_NAME_MAX];

        if (e->sealed || (g->place == RECORD_NONE && !g->kept))
                return;
        record_free(&e->record, RECORD_GROUP, g->place);
        g->place = RECORD_NONE;
        if (g->kept) {
                store_remove(&e->store, estate_name(name, 't', g->id));
                store_remove(&e->store, estate_name(name, 'b', g->id));
        } else {
                store_release(&e->store, 2);
        }
        g->kept = false;
}
