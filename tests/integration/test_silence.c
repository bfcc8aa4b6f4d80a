/*
 * test_silence.c -- no system call in the data path while nobody waits: counted with strace.
 *
 * The test runs itself under strace; the part that is watched says where it is by prctl() calls that nobody else makes.
 */
#define _GNU_SOURCE
#include "tests/integration/library.h"

#define SIZE 4096u
#define N_FRAMES 10000u
#define MARK 0x73686d64 /* PR_ number that the kernel does not know */

enum mark {
        CLOCK = 1,
        WRITER,
        READER,
        BOTH,
        END
};

static void mark(enum mark m) { (void)prctl(MARK, m, 0, 0, 0); }

static void check(int line, long long is, long long is_to_be) {
        if (is == is_to_be)
                return;
        (void)fprintf(stderr, "line %d: %lld, not %lld\n", line, is, is_to_be);
        _exit(1);
}
#define CHECK(is, is_to_be) check(__LINE__, (is), (is_to_be))

/* Under strace, at the daemon of the test. */
static int watched(const char *socket, uint32_t n_slots, uint32_t policy) {
        struct shmd_options options = { .slot_size = SIZE, .n_slots = n_slots, .policy = policy };
        char buffer[SIZE], name[32];
        struct shmd *conn;
        struct shmd_writer *w;
        struct shmd_reader *r;
        struct shmd_frame f;
        void *data;

        (void)snprintf(name, sizeof(name), "s%u-%u", n_slots, policy);
        CHECK(shmd_connect(&conn, socket), 0);
        CHECK(shmd_create(conn, name, &options), 0);
        CHECK(shmd_writer_open(&w, conn, name, 0, SOON), 0);
        CHECK(shmd_reader_open(&r, conn, name, 0, SOON), 0);
        /* Everything is touched once, and what the daemon has to say is heard. */
        CHECK(shmd_writer_wait_reader(w, SOON), 0);
        for (unsigned i = 0; i < 8; i++) {
                CHECK(shmd_writer_begin(w, &data, NULL, SOON), 0);
                memset(data, 1, SIZE);
                CHECK(shmd_writer_flush(w, SIZE, i), 0);
                CHECK(shmd_reader_copy(r, SHMD_LATEST, buffer, SIZE, &f), 0);
        }
        (void)shmd_reader_wait(r, 0);

        mark(CLOCK);
        for (unsigned i = 0; i < 100; i++)
                (void)monotonic_ns();
        mark(WRITER);
        for (unsigned i = 0; i < N_FRAMES; i++) {
                CHECK(shmd_writer_begin(w, &data, NULL, SOON), 0);
                memset(data, (int)i, 64);
                CHECK(shmd_writer_flush(w, 64, i), 0);
        }
        mark(READER);
        for (unsigned i = 0; i < N_FRAMES; i++) {
                CHECK(shmd_reader_latest(r, &f) >= 0, 1);
                CHECK(shmd_reader_intact(r), 1);
                CHECK(shmd_reader_release(r), 0);
                CHECK(shmd_reader_next(r, &f), -EAGAIN);
                CHECK(shmd_reader_copy(r, SHMD_LATEST, buffer, SIZE, &f), 1);
                CHECK(shmd_reader_wait(r, 0), 0);
                CHECK(shmd_reader_writers(r), 1);
        }
        mark(BOTH);
        for (unsigned i = 0; i < N_FRAMES; i++) {
                CHECK(shmd_writer_begin(w, &data, NULL, 0), 0);
                CHECK(shmd_writer_cancel(w), 0);
                CHECK(shmd_writer_begin(w, &data, NULL, SHMD_FOREVER), 0);
                CHECK(shmd_writer_flush(w, SIZE, i), 0);
                CHECK(shmd_writer_readers(w), 1);
                CHECK(shmd_reader_wait(r, SOON), SHMD_EVENT_FRAME);
                CHECK(shmd_reader_next(r, &f), 0);
                CHECK(f.tag, i);
                CHECK(f.missed, 0);
                CHECK(shmd_reader_release(r), 0);
        }
        mark(END);
        shmd_reader_close(r);
        shmd_writer_close(w);
        shmd_close(conn);
        return 0;
}

/* ---- the test's side -------------------------------------------------------------------------------------------- */

#define SECTIONS (END + 1)

struct counts {
        unsigned calls[SECTIONS]; /* by the mark before them */
        char first[SECTIONS][160];
};

/* What strace wrote. Return: false if not every mark is there. */
static bool read_trace(FILE *trace, struct counts *counts) {
        unsigned section = 0;
        char line[4096];

        *counts = (struct counts){ 0 };
        while (fgets(line, sizeof(line), trace)) {
                const char *marker = strstr(line, "0x73686d64");

                if (strstr(line, "prctl(") && marker && sscanf(marker, "0x73686d64 /* PR_??? */, %i", &section) == 1) {
                        if (section >= SECTIONS)
                                return false;
                        continue;
                }
                if (counts->calls[section]++ == 0)
                        (void)snprintf(counts->first[section], sizeof(counts->first[section]), "%.150s", line);
        }
        return section == END;
}

static bool can_trace(void) {
        return system("ASAN_OPTIONS=detect_leaks=0 strace -o /dev/null true >/dev/null 2>&1") == 0;
}

static void silent(void **state, const char *shape) {
        static struct counts counts;
        char command[1024];
        FILE *trace;
        bool whole;

        if (!can_trace()) {
                print_message("strace cannot trace here: skipped\n");
                skip();
        }
        /* The trace comes on a descriptor of its own; LeakSanitizer does not work under ptrace. */
        (void)snprintf(command, sizeof(command),
                       "ASAN_OPTIONS=detect_leaks=0 exec strace -X verbose -o '|cat >&3' /proc/%d/exe '%s' %s 3>&1 >&2",
                       getpid(), socket_path(state), shape);
        trace = popen(command, "re");
        assert_non_null(trace);
        whole = read_trace(trace, &counts);
        assert_int_equal(pclose(trace), 0);
        assert_true(whole);
        if (counts.calls[CLOCK] > 0) {
                print_message("reading the clock is a system call here: skipped\n");
                skip();
        }
        for (unsigned i = WRITER; i <= BOTH; i++)
                if (counts.calls[i] > 0)
                        fail_msg("section %u: %u system calls, the first: %s", i, counts.calls[i], counts.first[i]);
}

static void test_several_slots(void **state) { silent(state, "4 1"); }
static void test_three_slots(void **state) { silent(state, "3 1"); }
static void test_block(void **state) { silent(state, "4 2"); }
static void test_one_slot(void **state) { silent(state, "1 1"); }

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_several_slots),
                LIBRARY_TEST(test_three_slots),
                LIBRARY_TEST(test_block),
                LIBRARY_TEST(test_one_slot),
        };

        if (argc == 4)
                return watched(argv[1], (uint32_t)atoi(argv[2]), (uint32_t)atoi(argv[3]));
        return cmocka_run_group_tests(tests, NULL, NULL);
}
