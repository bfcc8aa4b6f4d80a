/* test_threads.c -- several handles in several threads, and one connection that they share. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "tests/integration/library.h"

#define SIZE 512u
#define THREADS 4u

struct job {
        struct shmd *conn;
        const char *socket;
        unsigned index;
        uint64_t n;
        int failed; /* line; cmocka's jump belongs to the main thread */
        uint64_t torn, taken;
        _Atomic bool *over;
};

#define EXPECT(job, condition)                    \
        do {                                      \
                if (!(condition)) {               \
                        (job)->failed = __LINE__; \
                        return NULL;              \
                }                                 \
        } while (0)

static void run(void *(*fn)(void *), struct job *jobs, unsigned n) {
        pthread_t threads[16];

        for (unsigned i = 0; i < n; i++)
                assert_int_equal(pthread_create(&threads[i], NULL, fn, &jobs[i]), 0);
        for (unsigned i = 0; i < n; i++)
                assert_int_equal(pthread_join(threads[i], NULL), 0);
        for (unsigned i = 0; i < n; i++)
                if (jobs[i].failed)
                        fail_msg("thread %u: line %d", i, jobs[i].failed);
}

static int count(const struct shmd_info *info, void *data) {
        (void)info;
        ++*(unsigned *)data;
        return 0;
}

/* Replies do not get mixed up. */
static void *ask(void *data) {
        struct job *job = data;
        struct shmd_options options = { .slot_size = 100 + job->index, .n_slots = 2 };
        char name[32];

        for (uint64_t i = 0; i < job->n; i++) {
                struct shmd_info info;
                unsigned listed = 0;

                (void)snprintf(name, sizeof(name), "t%u/%llu", job->index, (unsigned long long)i);
                EXPECT(job, shmd_create(job->conn, name, &options) == 0);
                EXPECT(job, shmd_create(job->conn, name, &options) == 1);
                EXPECT(job, shmd_stat(job->conn, name, &info) == 0);
                EXPECT(job, strcmp(info.name, name) == 0 && info.slot_size == 100 + job->index);
                EXPECT(job, shmd_list(job->conn, name, count, &listed) == 0 && listed == 1);
                EXPECT(job, shmd_remove(job->conn, name) == 0);
                EXPECT(job, shmd_stat(job->conn, name, &info) == -ENOENT);
        }
        return NULL;
}

static void test_one_connection(void **state) {
        struct job jobs[THREADS];

        for (unsigned i = 0; i < THREADS; i++)
                jobs[i] = (struct job){ .conn = connection(state), .index = i, .n = times(1000) };
        run(ask, jobs, THREADS);
}

static void *connect_and_ask(void *data) {
        struct job *job = data;

        EXPECT(job, shmd_connect(&job->conn, job->socket) == 0);
        (void)ask(job);
        shmd_close(job->conn);
        return NULL;
}

static void test_own_connections(void **state) {
        struct job jobs[THREADS];

        for (unsigned i = 0; i < THREADS; i++)
                jobs[i] = (struct job){ .socket = socket_path(state), .index = i, .n = times(1000) };
        run(connect_and_ask, jobs, THREADS);
}

static void *write_and_read(void *data) {
        struct job *job = data;
        bool writes = job->index == 0;
        struct shmd_reader *r = NULL;
        struct shmd_writer *w = NULL;
        unsigned char buffer[SIZE];

        if (writes)
                EXPECT(job, shmd_writer_open(&w, job->conn, "s", 0, SOON) == 0);
        else
                EXPECT(job, shmd_reader_open(&r, job->conn, "s", SHMD_ORDERED | SHMD_FROM_OLDEST, SOON) == 0);
        if (writes)
                while (shmd_writer_readers(w) < (int)THREADS - 1)
                        (void)shmd_writer_wait_reader(w, 1);
        for (uint64_t i = 1; i <= job->n;) {
                struct shmd_frame f;
                void *p;
                int e;

                if (writes) {
                        EXPECT(job, shmd_writer_begin(w, &p, NULL, SOON) == 0);
                        memset(p, (int)(i & 0xff), SIZE);
                        EXPECT(job, shmd_writer_flush(w, SIZE, i++) == 0);
                        continue;
                }
                e = shmd_reader_copy(r, SHMD_NEXT, buffer, SIZE, &f);
                if (e == -EAGAIN) {
                        EXPECT(job, shmd_reader_wait(r, SOON) > 0);
                        continue;
                }
                EXPECT(job, e == 0 && f.sequence == i && f.tag == i && is_published(&f, buffer));
                i++;
        }
        shmd_reader_close(r);
        shmd_writer_close(w);
        return NULL;
}

/* A writer and its readers as threads of one process. */
static void test_handles(void **state) {
        struct job jobs[THREADS];

        make(connection(state), "s", SIZE, 4, SHMD_BLOCK);
        for (unsigned i = 0; i < THREADS; i++)
                jobs[i] = (struct job){ .conn = connection(state), .index = i, .n = times(20000) };
        run(write_and_read, jobs, THREADS);
}

static void *open_and_close(void *data) {
        struct job *job = data;

        for (uint64_t i = 0; i < job->n; i++) {
                struct shmd_reader *r;
                struct shmd_writer *w;
                struct shmd_frame f;
                void *p;

                EXPECT(job, shmd_writer_open(&w, job->conn, "s", 0, SOON) == 0);
                EXPECT(job, shmd_reader_open(&r, job->conn, "s", 0, SOON) == 0);
                EXPECT(job, shmd_writer_begin(w, &p, NULL, SOON) == 0);
                memset(p, 7, SIZE);
                EXPECT(job, shmd_writer_flush(w, SIZE, 7) == 0);
                EXPECT(job, shmd_reader_latest(r, &f) >= 0);
                EXPECT(job, is_published(&f, f.data));
                EXPECT(job, shmd_reader_release(r) == 0);
                shmd_writer_close(w);
                shmd_reader_close(r);
        }
        return NULL;
}

/* While another thread forks: its children find everything in order. */
static void *fork_often(void *data) {
        struct job *job = data;

        while (!atomic_load(job->over)) {
                int status;
                pid_t pid = fork();

                EXPECT(job, pid >= 0);
                if (pid == 0) {
                        struct shmd_info info;

                        _exit(shmd_stat(job->conn, "s", &info) == 0 ? 0 : 1);
                }
                EXPECT(job, waitpid(pid, &status, 0) == pid && status == 0);
        }
        return NULL;
}

static void test_opening_and_forking(void **state) {
        _Atomic bool over = false;
        struct job jobs[THREADS], forker = { .conn = connection(state), .over = &over };
        pthread_t thread;

        make(connection(state), "s", SIZE, 2 * THREADS + 2, 0);
        for (unsigned i = 0; i < THREADS; i++)
                jobs[i] = (struct job){ .conn = connection(state), .index = i, .n = times(1000) };
        assert_int_equal(pthread_create(&thread, NULL, fork_often, &forker), 0);
        run(open_and_close, jobs, THREADS);
        atomic_store(&over, true);
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (forker.failed)
                fail_msg("the thread that forks: line %d", forker.failed);
        expect_users(connection(state), "s", 0, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                LIBRARY_TEST(test_one_connection),
                LIBRARY_TEST(test_own_connections),
                LIBRARY_TEST(test_handles),
                LIBRARY_TEST(test_opening_and_forking),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
