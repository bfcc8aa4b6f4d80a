/*
 * test_model.c -- ten thousand random requests of several clients against a model of what the daemon must have; now and
 * then a client dies. In the end everything is as in the model, and when all have gone nothing is left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fnmatch.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/cleanup.h"
#include "tests/integration/wire.h"
#include "tests/support.h"

#define CLIENTS 12u
#define NAMES 10u
#define SEGMENTS_MAX 8u
#define BYTES_MAX (UINT64_C(512) << 10)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OPERATIONS 3000u
#else
#define OPERATIONS 10000u
#endif

struct segment {
        bool named; /* it has its name; otherwise it lives only with who has it open */
        uint64_t id;
        uint64_t bytes;
        struct proto_create made;
        unsigned name;
        uint32_t readers, writers;
        uint64_t arrivals, departures;
        bool used;
};

struct client {
        struct wire wire;
        bool connected;
        struct segment *open; /* what it has open; NULL: nothing */
        bool writer;
        bool removed; /* it was told so */
        uint32_t entry;
        int waits; /* name that it waits for; -1: none */
        bool wants_writer;
};

struct model {
        struct fixture *daemon;
        struct wire observer; /* there all the time, has nothing open */
        struct client client[CLIENTS];
        struct segment *segments[SEGMENTS_MAX]; /* all that have memory */
        struct random rnd;
        uint64_t last_id;
        int fds;
        unsigned long done[16];
};

static int setup(void **state) {
        static const char *const arguments[] = { "--max-segments", "8", "--max-bytes", "512K", NULL };
        struct model *m = calloc(1, sizeof(*m));

        assert_non_null(m);
        m->fds = fd_count();
        m->daemon = fixture_start(arguments);
        m->rnd = random_seeded("model");
        wire_open(&m->observer, m->daemon);
        for (unsigned i = 0; i < CLIENTS; i++) {
                wire_init(&m->client[i].wire, -1);
                m->client[i].waits = -1;
        }
        *state = m;
        return 0;
}

static int teardown(void **state) {
        struct model *m = *state;
        int fds = m->fds;

        wire_close(&m->observer);
        for (unsigned i = 0; i < CLIENTS; i++)
                wire_close(&m->client[i].wire);
        for (unsigned i = 0; i < SEGMENTS_MAX; i++)
                free(m->segments[i]);
        m->daemon = fixture_stop(m->daemon);
        free(m);
        assert_int_equal(fd_count(), fds);
        return 0;
}

static const char *name_of(unsigned name) {
        static const char *const names[NAMES] = { "a", "b", "b/c", "b/d", "cam/0", "cam/1", "x", "x.y", "x_y", "z" };

        return names[name];
}

static struct segment *find(struct model *m, unsigned name) {
        for (unsigned i = 0; i < SEGMENTS_MAX; i++)
                if (m->segments[i] && m->segments[i]->named && m->segments[i]->name == name)
                        return m->segments[i];
        return NULL;
}

static unsigned count(const struct model *m) {
        unsigned n = 0;

        for (unsigned i = 0; i < SEGMENTS_MAX; i++)
                n += m->segments[i] != NULL;
        return n;
}

static uint64_t bytes(const struct model *m) {
        uint64_t n = 0;

        for (unsigned i = 0; i < SEGMENTS_MAX; i++)
                n += m->segments[i] ? m->segments[i]->bytes : 0;
        return n;
}

/* Its memory goes when it has neither a name nor a user. */
static void settle(struct model *m, struct segment *s) {
        if (s->readers + s->writers == 0 && s->used && s->made.segment_flags & PROTO_SEGMENT_EPHEMERAL)
                s->named = false;
        if (s->named || s->readers + s->writers)
                return;
        for (unsigned i = 0; i < SEGMENTS_MAX; i++)
                if (m->segments[i] == s)
                        m->segments[i] = NULL;
        free(s);
}

static void entered(struct client *c, struct segment *s, bool writer) {
        const struct proto_opened *o = &c->wire.in.any.opened;

        if (writer) {
                s->arrivals += s->writers == 0;
                s->writers++;
        } else {
                s->readers++;
        }
        s->used = true;
        c->open = s;
        c->writer = writer;
        c->removed = false;
        c->waits = -1;
        c->entry = o->entry;
        assert_int_equal(o->id, s->id);
        assert_int_equal(o->slot_size, s->made.slot_size);
        assert_int_equal(o->n_slots, s->made.n_slots);
        assert_int_equal(o->policy, s->made.policy);
        assert_int_equal(o->segment_flags, s->made.segment_flags);
        assert_string_equal(o->type, s->made.type);
        assert_int_equal(o->users.writers, s->writers);
        assert_int_equal(o->users.readers, s->readers);
        assert_int_equal(o->users.arrivals, s->arrivals);
        assert_int_equal(o->users.departures, s->departures);
}

/* No two that live share an entry. */
static void check_entries(const struct model *m) {
        for (unsigned i = 0; i < CLIENTS; i++)
                for (unsigned j = 0; j < i; j++) {
                        const struct client *a = &m->client[i], *b = &m->client[j];

                        assert_false(a->open && a->open == b->open && a->writer == b->writer && a->entry == b->entry);
                }
}

/* ---- the operations --------------------------------------------------------------------------------------------- */

static void connect_it(struct model *m, struct client *c) {
        wire_close(&c->wire);
        wire_open(&c->wire, m->daemon);
        c->connected = true;
        c->open = NULL;
        c->waits = -1;
}

/* It goes as a process does that dies. Where no count would tell that the daemon has seen it, the client closes one
 * direction first, and the daemon then closes the other. */
static void disconnect(struct model *m, struct client *c, bool sure) {
        if (sure || random_below(&m->rnd, 2)) {
                assert_return_code(shutdown(c->wire.socket, SHUT_WR), errno);
                (void)wire_expect_dropped(&c->wire);
        }
        wire_close(&c->wire);
        c->connected = false;
        c->open = NULL;
        c->waits = -1;
}

static void close_it(struct model *m, struct client *c) {
        struct segment *s = c->open;
        bool last = s && s->readers + s->writers == 1 && s->made.segment_flags & PROTO_SEGMENT_EPHEMERAL;

        disconnect(m, c, c->waits >= 0 || (s && !s->named) || last);
        if (!s)
                return;
        if (c->writer) {
                s->writers--;
                s->departures += s->writers == 0;
        } else {
                s->readers--;
        }
        if (s->named && !last)
                wire_expect_users(&m->observer, name_of(s->name), s->writers, s->readers);
        settle(m, s);
}

/* Those who wait for a name that has come. */
static void let_in(struct model *m, struct segment *s) {
        for (unsigned pass = 0; pass < CLIENTS; pass++) {
                /* The daemon decides in which order; each reply says how many there are by then. */
                struct client *first = NULL;
                uint32_t least = UINT32_MAX;

                for (unsigned i = 0; i < CLIENTS; i++) {
                        struct client *c = &m->client[i];
                        const struct proto_opened *o = &c->wire.in.any.opened;

                        if (!c->connected || c->waits != (int)s->name)
                                continue;
                        if (c->wire.in.any.header.serial != c->wire.serial || c->wire.in.any.header.op != PROTO_OP_OPEN)
                                assert_int_equal(wire_reply(&c->wire), 0);
                        if (o->users.writers + o->users.readers < least) {
                                least = o->users.writers + o->users.readers;
                                first = c;
                        }
                }
                if (!first)
                        return;
                entered(first, s, first->wants_writer);
                check_entries(m);
        }
}

static bool contradicts(const struct proto_create *a, const struct proto_create *there) {
        return (a->slot_size && a->slot_size != there->slot_size) || (a->n_slots && a->n_slots != there->n_slots) ||
               (a->policy && a->policy != there->policy) ||
               (a->segment_flags && a->segment_flags != there->segment_flags) ||
               (a->type[0] && strcmp(a->type, there->type) != 0);
}

static void create(struct model *m, struct client *c) {
        static const char *const types[] = { "", "", "uint8", "f32[3]" };
        unsigned name = (unsigned)random_below(&m->rnd, NAMES);
        struct segment *s = find(m, name);
        struct proto_create r = {
                .slot_size = random_below(&m->rnd, 8) ? 1 + random_below(&m->rnd, 20000) : 0,
                .n_slots = (uint32_t)random_below(&m->rnd, 6),
                .policy = (uint32_t)random_below(&m->rnd, 3),
                .segment_flags = random_below(&m->rnd, 3) == 0 ? PROTO_SEGMENT_EPHEMERAL : 0,
                .flags = random_below(&m->rnd, 4) == 0 ? PROTO_CREATE_EXCLUSIVE : 0,
        };
        struct geometry g;
        int error;

        (void)strcpy(r.type, types[random_below(&m->rnd, 4)]);
        if (s && random_below(&m->rnd, 2)) { /* the very same */
                uint32_t flags = r.flags;

                r = s->made;
                r.flags = flags;
        }
        error = wire_create_as(&c->wire, name_of(name), &r);
        if (s) {
                bool refused = r.flags & PROTO_CREATE_EXCLUSIVE || contradicts(&r, &s->made);

                assert_int_equal(error, refused ? -EEXIST : 0);
                if (!error) {
                        assert_int_equal(c->wire.in.any.created.existed, 1);
                        assert_int_equal(c->wire.in.any.created.id, s->id);
                }
                return;
        }
        r.n_slots = r.n_slots ? r.n_slots : PROTO_SLOTS_DEFAULT;
        r.policy = r.policy ? r.policy : PROTO_POLICY_OVERWRITE;
        if (r.slot_size == 0) {
                assert_int_equal(error, -EINVAL);
                return;
        }
        assert_int_equal(geometry_init(&g, r.slot_size, r.n_slots, 4096), 0);
        if (count(m) == SEGMENTS_MAX) {
                assert_int_equal(error, -ENOSPC);
                m->done[10]++;
                return;
        }
        if (bytes(m) + g.file_size > BYTES_MAX) {
                assert_int_equal(error, -EDQUOT);
                m->done[11]++;
                return;
        }
        assert_int_equal(error, 0);
        assert_int_equal(c->wire.in.any.created.existed, 0);
        assert_true(c->wire.in.any.created.id > m->last_id);
        m->last_id = c->wire.in.any.created.id;
        s = calloc(1, sizeof(*s));
        assert_non_null(s);
        *s = (struct segment){ .named = true, .id = m->last_id, .bytes = g.file_size, .made = r, .name = name };
        for (unsigned i = 0;; i++)
                if (!m->segments[i]) {
                        m->segments[i] = s;
                        break;
                }
        let_in(m, s);
}

/* Until the daemon has taken in what was sent, and has gone on to something else. */
static void await_reading(struct model *m, const struct client *c) {
        int unread;

        do {
                assert_int_equal(wire_stat(&m->observer, "nothing"), -ENOENT);
                assert_return_code(ioctl(c->wire.socket, SIOCOUTQ, &unread), errno);
        } while (unread);
        assert_int_equal(wire_stat(&m->observer, "nothing"), -ENOENT);
}

static void open_it(struct model *m, struct client *c) {
        unsigned name = (unsigned)random_below(&m->rnd, NAMES);
        struct segment *s = find(m, name);
        bool writer = random_below(&m->rnd, 2);
        uint32_t access = writer ? PROTO_ACCESS_WRITE : PROTO_ACCESS_READ;
        uint32_t flags = random_below(&m->rnd, 3) == 0 ? PROTO_OPEN_WAIT : 0;

        if (!c->open && !s && flags) {
                wire_open_send(&c->wire, name_of(name), access, flags, 0);
                c->waits = (int)name;
                c->wants_writer = writer;
                await_reading(m, c);
                return;
        }
        int error = wire_open_segment(&c->wire, name_of(name), access, flags, 0);
        assert_int_equal(error, c->open ? -EISCONN : s ? 0 : -ENOENT);
        if (error)
                return;
        entered(c, s, writer);
        check_entries(m);
}

static void remove_it(struct model *m, struct client *c) {
        unsigned name = (unsigned)random_below(&m->rnd, NAMES);
        struct segment *s = find(m, name);

        assert_int_equal(wire_remove(&c->wire, name_of(name)), s ? 0 : -ENOENT);
        if (!s)
                return;
        s->named = false;
        settle(m, s);
}

static void check_info(const struct proto_info *i, const struct segment *s) {
        assert_string_equal(i->name, name_of(s->name));
        assert_int_equal(i->id, s->id);
        assert_int_equal(i->slot_size, s->made.slot_size);
        assert_int_equal(i->n_slots, s->made.n_slots);
        assert_int_equal(i->bytes, s->bytes);
        assert_int_equal(i->allocated, s->bytes);
        assert_int_equal(i->policy, s->made.policy);
        assert_int_equal(i->segment_flags, s->made.segment_flags);
        assert_int_equal(i->readers, s->readers);
        assert_int_equal(i->writers, s->writers);
        assert_string_equal(i->type, s->made.type);
}

static void stat_it(struct model *m, struct client *c) {
        unsigned name = (unsigned)random_below(&m->rnd, NAMES);
        struct segment *s = find(m, name);

        assert_int_equal(wire_stat(&c->wire, name_of(name)), s ? 0 : -ENOENT);
        if (s)
                check_info(&c->wire.in.any.stat_reply.info, s);
}

static void list_them(struct model *m, struct client *c, const char *pattern) {
        const struct proto_list_reply *l = wire_page(&c->wire);
        uint32_t n = 0;

        assert_int_equal(wire_list(&c->wire, pattern, ""), 0);
        for (unsigned name = 0; name < NAMES; name++) { /* names are in their order */
                struct segment *s = find(m, name);

                if (!s || (pattern[0] && fnmatch(pattern, name_of(name), 0) != 0))
                        continue;
                assert_true(n < l->count);
                check_info(&l->info[n++], s);
        }
        assert_int_equal(l->count, n);
        assert_int_equal(l->more, 0);
}

/* What a client was told last is how it is. */
static void hear(struct client *c, bool final) {
        struct segment *s = c->open;
        const struct proto_users *u = &c->wire.users;

        if (!s)
                return;
        /* The daemon tells of a change when it has looked at all sockets once more; a death takes a turn longer. */
        for (int i = 0; i < 4; i++)
                assert_int_equal(wire_stat(&c->wire, "nothing"), -ENOENT);
        while (wire_pending(&c->wire))
                assert_true(wire_receive(&c->wire));
        if (c->wire.n_states == 0)
                return;
        /* How many readers there are, other readers learn late: when everything stands still. */
        while (final && !c->writer && u->readers != s->readers)
                assert_true(wire_receive(&c->wire));
        if (final || c->writer)
                assert_int_equal(u->readers, s->readers);
        assert_int_equal(u->writers, s->writers);
        assert_int_equal(u->arrivals, s->arrivals);
        assert_int_equal(u->departures, s->departures);
        assert_int_equal(u->flags & PROTO_STATE_REMOVED, s->named ? 0 : PROTO_STATE_REMOVED);
}

static void operate(struct model *m) {
        static const char *const patterns[] = { "", "*", "b*", "b/*", "[a-c]*", "?", "x?y", "nothing" };
        struct client *c = &m->client[random_below(&m->rnd, CLIENTS)];
        unsigned pick = (unsigned)random_below(&m->rnd, 100);

        if (!c->connected) {
                connect_it(m, c);
                return;
        }
        if (c->waits >= 0 && pick >= 12) /* it waits: it can only go */
                return;
        if (pick < 12) {
                close_it(m, c);
                m->done[0]++;
        } else if (pick < 30) {
                create(m, c);
                m->done[1]++;
        } else if (pick < 62) {
                open_it(m, c);
                m->done[2]++;
        } else if (pick < 70) {
                remove_it(m, c);
                m->done[3]++;
        } else if (pick < 80) {
                stat_it(m, c);
                m->done[4]++;
        } else if (pick < 88) {
                list_them(m, c, patterns[random_below(&m->rnd, 8)]);
                m->done[5]++;
        } else {
                hear(c, false);
                m->done[6]++;
        }
}

static void test_ten_thousand_operations(void **state) {
        struct model *m = *state;
        struct wire w;

        for (unsigned i = 0; i < OPERATIONS; i++)
                operate(m);
        for (unsigned i = 0; i < 7; i++)
                assert_true(m->done[i] > 0);

        /* Everything is as in the model, for each of the clients. */
        for (unsigned i = 0; i < CLIENTS; i++)
                if (m->client[i].connected && m->client[i].waits < 0) {
                        list_them(m, &m->client[i], "");
                        hear(&m->client[i], true);
                }
        /* When all have gone there are the segments without users, and after their removal nothing. */
        for (unsigned i = 0; i < CLIENTS; i++)
                if (m->client[i].connected)
                        close_it(m, &m->client[i]);
        wire_open(&w, m->daemon);
        for (unsigned name = 0; name < NAMES; name++) {
                struct segment *s = find(m, name);

                assert_int_equal(wire_remove(&w, name_of(name)), s ? 0 : -ENOENT);
                if (s) {
                        s->named = false;
                        settle(m, s);
                }
        }
        assert_int_equal(count(m), 0);
        /* All the room is there again, for as many and as large as may be. */
        for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
                char name[16];

                (void)snprintf(name, sizeof(name), "last/%u", i);
                assert_int_equal(wire_create(&w, name, BYTES_MAX / SEGMENTS_MAX - 4096, 1), 0);
        }
        assert_int_equal(wire_list(&w, "", ""), 0);
        assert_int_equal(wire_page(&w)->count, SEGMENTS_MAX);
        wire_close(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_ten_thousand_operations, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
