/*
 * test_demo.c -- the demo works without a terminal, and leaves nothing behind, however it ends.
 *
 * This process adopts whatever the demo loses, so that "no process is left" can be seen: there is no child.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support.h"

#define PROGRAM SHMD_BIN_DIR "/shmd-demo"
#define OUTPUT_MAX 65536

struct demo {
        char dir[64]; /* its $TMPDIR */
        int n_fds;
        pid_t pid;
        int output; /* what it prints, errors included */
        size_t n;
        char text[OUTPUT_MAX];
};

static int set_up(void **state) {
        static struct demo d;

        d = (struct demo){ .dir = "/tmp/test_demo.XXXXXX", .output = -1 };
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
        d.n_fds = fd_count();
        assert_non_null(mkdtemp(d.dir));
        *state = &d;
        return 0;
}

static int tear_down(void **state) {
        struct demo *d = *state;

        if (d->pid > 0)
                (void)kill(d->pid, SIGKILL);
        if (d->output >= 0)
                (void)close(d->output);
        while (wait(NULL) > 0)
                ;
        assert_int_equal(rmdir(d->dir), 0); /* it is empty */
        assert_int_equal(fd_count(), d->n_fds);
        return 0;
}

static void start(struct demo *d, const char *program) {
        int pipe_fds[2];

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        d->pid = fork();
        assert_true(d->pid >= 0);
        if (d->pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (dup2(pipe_fds[1], STDOUT_FILENO) < 0 || dup2(pipe_fds[1], STDERR_FILENO) < 0 ||
                    setenv("TMPDIR", d->dir, 1) < 0)
                        _exit(126);
                (void)execl(program, program, (char *)NULL);
                _exit(127);
        }
        (void)close(pipe_fds[1]);
        d->output = pipe_fds[0];
}

/* Fail, having shown what it printed, which is more than cmocka would print. */
static _Noreturn void complain(const struct demo *d, const char *what) {
        (void)fprintf(stderr, "%s\n", d->text);
        fail_msg("the demo printed the above, but not as expected: %s", what);
        abort(); /* not reached */
}

/* Read until @text has been printed; NULL: to the end. */
static void await_text(struct demo *d, const char *text) {
        while (!text || !strstr(d->text, text)) {
                ssize_t n = read(d->output, d->text + d->n, sizeof(d->text) - 1 - d->n);

                assert_true(n >= 0 && d->n < sizeof(d->text) - 1);
                if (n == 0 && !text)
                        return;
                if (n == 0)
                        complain(d, text);
                d->n += (size_t)n;
                d->text[d->n] = '\0';
        }
}

/* Wait for the end; everybody who has its output, and so every process of it, has ended then. Return: the status. */
static int finish(struct demo *d) {
        int status;

        await_text(d, NULL);
        assert_int_equal(waitpid(d->pid, &status, 0), d->pid);
        d->pid = 0;
        return status;
}

static void expect_nothing_left(struct demo *d) {
        assert_int_equal(waitpid(-1, NULL, 0), -1);
        assert_int_equal(errno, ECHILD);
        assert_int_equal(directory_count(d->dir), 0);
}

struct row {
        unsigned frames;
        double median;
        double p99;
        unsigned missed;
        unsigned torn;
};

static struct row row_of(const struct demo *d, const char *title) {
        const char *line = strstr(d->text, title);
        struct row row;

        if (!line || sscanf(line + strlen(title), "%u %lf ms %lf ms %u %u", &row.frames, &row.median, &row.p99,
                            &row.missed, &row.torn) != 5)
                complain(d, title);
        return row;
}

static void test_it_works(void **state) {
        struct demo *d = *state;
        int status;

        start(d, PROGRAM);
        status = finish(d);
        if (status != 0)
                complain(d, "it failed");
        for (int i = 0; i < 2; i++) {
                struct row row = row_of(d, i == 0 ? "\nshmd         quick reader" : "\nshmd         slow reader");

                assert_true(row.frames > 0);
                assert_true(row.median > 0 && row.median <= row.p99);
                assert_int_equal(row.torn, 0);
                assert_true(row_of(d, i == 0 ? "\nmmap + poll  quick reader" : "\nmmap + poll  slow reader").frames >
                            0);
        }
        assert_non_null(strstr(d->text, "shmd              the quick reader knows that it left"));
        assert_non_null(strstr(d->text, "shmd              the slow reader knows that it left"));
        assert_non_null(strstr(d->text, "mmap + poll       the writer is started again"));
        assert_non_null(strstr(d->text, " of ")); /* the sentence below the table */
        assert_null(strchr(d->text, '\033'));     /* without a terminal nothing moves */
        expect_nothing_left(d);
}

static void interrupt_after(struct demo *d, const char *text, int number) {
        int status;

        start(d, PROGRAM);
        await_text(d, text);
        assert_int_equal(kill(d->pid, number), 0);
        status = finish(d);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), number);
        expect_nothing_left(d);
}

static void test_interrupted_at_once(void **state) { interrupt_after(*state, "1080p", SIGINT); }
static void test_interrupted_while_it_runs(void **state) { interrupt_after(*state, "shmd         0 s", SIGTERM); }
static void test_interrupted_after_the_kill(void **state) { interrupt_after(*state, "is killed", SIGHUP); }
static void test_interrupted_in_the_second_turn(void **state) { interrupt_after(*state, "mmap + poll  ", SIGINT); }

/* Without the demo there is nobody to remove the directory, but no process may stay. */
static void test_killed(void **state) {
        struct demo *d = *state;
        char command[128];

        start(d, PROGRAM);
        await_text(d, "shmd         0 s");
        assert_int_equal(kill(d->pid, SIGKILL), 0);
        (void)finish(d);
        while (waitpid(-1, NULL, 0) > 0)
                ; /* the daemon, the writer and the readers end by themselves */
        assert_int_equal(errno, ECHILD);
        (void)snprintf(command, sizeof(command), "rm -r %s/*", d->dir);
        assert_int_equal(system(command), 0);
}

/* The @n-th child of the demo. */
static pid_t child_of(const struct demo *d, unsigned n) {
        char path[64];
        pid_t pid = 0;
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", d->pid, d->pid);
        file = fopen(path, "re");
        if (!file)
                skip(); /* the kernel was built without it */
        for (unsigned i = 0; i <= n; i++)
                assert_int_equal(fscanf(file, "%d", &pid), 1);
        (void)fclose(file);
        return pid;
}

static void a_child_dies(struct demo *d, unsigned n, const char *sentence) {
        int status;

        start(d, PROGRAM);
        await_text(d, "shmd         0 s");
        assert_int_equal(kill(child_of(d, n), SIGKILL), 0);
        status = finish(d);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        if (!strstr(d->text, sentence))
                complain(d, sentence);
        expect_nothing_left(d);
}

/* Its clients may be the first to be seen, and say so. */
static void test_the_daemon_dies(void **state) { a_child_dies(*state, 0, "the daemon"); }
static void test_the_writer_dies(void **state) { a_child_dies(*state, 1, "the writer was killed by signal 9"); }
static void test_a_reader_dies(void **state) { a_child_dies(*state, 3, "the slow reader was killed by signal 9"); }

static void test_no_daemon_beside_it(void **state) {
        struct demo *d = *state;
        char path[96];
        struct stat st;
        int in, out;
        int status;

        (void)snprintf(path, sizeof(path), "%s/copy", d->dir);
        in = open(PROGRAM, O_RDONLY | O_CLOEXEC);
        out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
        assert_true(in >= 0 && out >= 0);
        assert_int_equal(fstat(in, &st), 0);
        for (off_t left = st.st_size; left > 0;) {
                ssize_t n = sendfile(out, in, NULL, (size_t)left);

                assert_true(n > 0);
                left -= n;
        }
        (void)close(in);
        (void)close(out);
        start(d, path);
        status = finish(d);
        assert_int_equal(unlink(path), 0);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 1);
        assert_non_null(strstr(d->text, "there is no daemon beside this program"));
        expect_nothing_left(d);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_it_works, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_interrupted_at_once, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_interrupted_while_it_runs, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_interrupted_after_the_kill, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_interrupted_in_the_second_turn, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_daemon_dies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_the_writer_dies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_a_reader_dies, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_no_daemon_beside_it, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
