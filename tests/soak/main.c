/*
 * main.c -- shmd-soak: a writer and eight readers of every kind for as long as one likes, while processes are killed
 * and the segment is removed and made again.
 *
 * Prints what it counted as a line of JSON. Exit status 1 if a frame was torn, a wake-up was lost, something leaked or
 * failed.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <sys/resource.h>

#include "proto/layout.h"
#include "tests/crash/crowd.h"
#include "tests/integration/library.h"

#define NAME "soak"
#define READERS 8u
#define SLOTS (READERS + 2)
#define SLOT_SIZE 16384

static const struct {
        enum member_kind kind;
        enum member_way way;
} readers[READERS] = {
        { MEMBER_LATEST, WAY_WAIT },    { MEMBER_NEXT, WAY_WAIT },   { MEMBER_COPY, WAY_WAIT },
        { MEMBER_COPY_NEXT, WAY_LOOP }, { MEMBER_LATEST, WAY_LOOP }, { MEMBER_COPY_NEXT, WAY_BUSY },
        { MEMBER_COPY, WAY_LOOP },      { MEMBER_SLOW, WAY_WAIT },
};

struct soak {
        struct fixture *daemon;
        struct shmd *conn;
        struct random random;
        struct tally *tally;
        struct presence *presences;
        struct member members[1 + READERS];
        struct child children[1 + READERS];
        uint64_t kills, removals;
        int fds; /* the daemon's with our connection alone */
};

static void start_one(struct soak *s, unsigned i) {
        s->members[i].seed = random_next(&s->random);
        child_start(&s->children[i], member_run, &s->members[i]);
        (void)child_expect(&s->children[i]);
}

static void kill_one(struct soak *s, unsigned i) {
        (void)kill(s->children[i].pid, SIGKILL);
        (void)child_reap(&s->children[i]); /* one that gave up instead has counted that */
        if (i > 0)
                s->presences[i - 1] = (struct presence){ 0 };
        s->kills++;
}

static void start_all(struct soak *s) {
        for (unsigned i = 0; i <= READERS; i++) {
                s->members[i] = (struct member){
                        .kind = i ? readers[i - 1].kind : MEMBER_WRITER,
                        .way = i ? readers[i - 1].way : WAY_WAIT,
                        .socket = fixture_socket(s->daemon),
                        .name = NAME,
                        .tally = s->tally,
                        .presence = i ? &s->presences[i - 1] : NULL,
                        .presences = i ? NULL : s->presences,
                        .n_presences = i ? 0 : READERS,
                        .reopens = true,
                };
                start_one(s, i);
        }
}

static bool is_well(const struct soak *s) {
        return !atomic_load(&s->tally->failures) && !atomic_load(&s->tally->torn) && !atomic_load(&s->tally->lost);
}

static void disturb(struct soak *s, uint64_t end) {
        while (monotonic_ns() < end && is_well(s)) {
                unsigned i = (unsigned)random_below(&s->random, 1 + READERS);

                (void)usleep((useconds_t)random_below(&s->random, 100000));
                if (random_below(&s->random, 8)) {
                        kill_one(s, i);
                        start_one(s, i);
                } else {
                        OK(s->conn, shmd_remove(s->conn, NAME));
                        (void)usleep((useconds_t)random_below(&s->random, 2000));
                        make(s->conn, NAME, SLOT_SIZE, SLOTS, SHMD_OVERWRITE);
                        s->removals++;
                }
        }
}

/* Descriptors that the daemon has too many, once it has had the time to close them. */
static int surplus(const struct soak *s, int number) {
        int n = 0;

        for (int i = 0; i < 10000; i++) {
                n = fixture_fds(s->daemon) - number;
                if (n == 0)
                        break;
                (void)usleep(1000);
        }
        return n;
}

/* Readers' entries that are lost: with all of one group taken there must be one group. Of the segment, which is open, the
 * daemon has two descriptions. */
static int lost_entries(struct soak *s) {
        static struct shmd_reader *all[LAYOUT_READERS_MAX];
        int n;

        for (unsigned i = 0; i < LAYOUT_READERS_MAX; i++)
                all[i] = reader(s->conn, NAME, 0);
        n = surplus(s, s->fds + 2 + 2 + LAYOUT_READERS_MAX);
        for (unsigned i = 0; i < LAYOUT_READERS_MAX; i++)
                shmd_reader_close(all[i]);
        return n;
}

static void usage(FILE *to) {
        (void)fputs("Usage: shmd-soak [--seconds N] [--seed N]\n"
                    "A writer and eight readers, killed at random, of a segment that comes and goes.\n",
                    to);
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "seconds", required_argument, NULL, 's' },
                { "seed", required_argument, NULL, 'r' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        struct soak s = { 0 };
        unsigned long seconds = 30;
        int fds = fd_count(), entries, leaked;
        struct rlimit limit;
        bool well;

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
                switch (c) {
                case 's':
                        seconds = strtoul(optarg, NULL, 10);
                        break;
                case 'r':
                        (void)setenv("SHMD_TEST_SEED", optarg, 1);
                        break;
                default:
                        usage(c == 'h' ? stdout : stderr);
                        return c == 'h' ? 0 : 2;
                }
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
        s.random = random_seeded("soak");
        s.tally = shared_new(sizeof(*s.tally));
        s.presences = shared_new(READERS * sizeof(*s.presences));
        s.daemon = fixture_start(NULL);
        if (shmd_connect(&s.conn, fixture_socket(s.daemon)))
                fail_msg("%s", shmd_error(s.conn));
        s.fds = fixture_fds(s.daemon);
        make(s.conn, NAME, SLOT_SIZE, SLOTS, SHMD_OVERWRITE);

        start_all(&s);
        disturb(&s, monotonic_ns() + seconds * UINT64_C(1000000000));
        for (unsigned i = 0; i <= READERS; i++)
                kill_one(&s, i);

        expect_users(s.conn, NAME, 0, 0);
        entries = lost_entries(&s);
        OK(s.conn, shmd_remove(s.conn, NAME));
        leaked = surplus(&s, s.fds);
        printf("{\"seconds\":%lu,\"written\":%llu,\"read\":%llu,\"missed\":%llu,\"broken\":%llu,\"torn\":%llu,"
               "\"out_of_order\":%llu,\"lost_wakeups\":%llu,\"failures\":%llu,\"kills\":%llu,\"removals\":%llu,"
               "\"leaked_entries\":%d,\"leaked_fds\":%d,\"daemon_kib\":%ld}\n",
               seconds, (unsigned long long)atomic_load(&s.tally->written),
               (unsigned long long)atomic_load(&s.tally->read), (unsigned long long)atomic_load(&s.tally->missed),
               (unsigned long long)atomic_load(&s.tally->broken), (unsigned long long)atomic_load(&s.tally->torn),
               (unsigned long long)atomic_load(&s.tally->out_of_order), (unsigned long long)atomic_load(&s.tally->lost),
               (unsigned long long)atomic_load(&s.tally->failures), (unsigned long long)s.kills,
               (unsigned long long)s.removals, entries, leaked, fixture_memory(s.daemon));
        if (s.tally->first_failure[0])
                (void)fprintf(stderr, "the first failure: %s\n", s.tally->first_failure);
        well = is_well(&s) && !atomic_load(&s.tally->out_of_order) && entries == 0 && leaked == 0;
        s.conn = shmd_close(s.conn);
        if (well)
                s.daemon = fixture_stop(s.daemon);
        else
                fixture_kill(s.daemon);
        if (well && fd_count() != fds) {
                (void)fprintf(stderr, "%d descriptors of this process leaked\n", fd_count() - fds);
                well = false;
        }
        return well ? 0 : 1;
}
