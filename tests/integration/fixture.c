#define _GNU_SOURCE
#include "tests/integration/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/shmd.h"
#include "tests/support.h"

#define ARGUMENTS_MAX 32
#define PATIENCE_MS 60000

struct fixture {
        pid_t pid; /* 0: killed */
        int fds;   /* that it has when nobody is there */
        char directory[32];
        char socket[64];
};

static void bind_notify(int *out, const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        *out = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_return_code(*out, errno);
        assert_return_code(bind(*out, (struct sockaddr *)&address, sizeof(address)), errno);
        assert_return_code(chmod(path, 0777), errno); /* for a daemon that is somebody else */
}

static bool become(uid_t uid) {
        return setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0;
}

static void run(const struct fixture *f, const char *notify, uid_t uid, const char *const *arguments) {
        /* Limits for which any machine has descriptors enough, and no file of its own; the last of an option counts. */
        const char *argv[ARGUMENTS_MAX + 12] = { "shmd",    "--config",       "/dev/null", "--log-level",
                                                 "warning", "--socket",       f->socket,   "--max-clients",
                                                 "1500",    "--max-segments", "1500" };
        unsigned n = 11;
        /* That other user may not come by where it lies. */
        int program = open(SHMD_BIN_DIR "/shmd", O_PATH | O_CLOEXEC);

        if (uid && !become(uid)) {
                perror("becoming another user");
                _exit(127);
        }
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of the uid clears it */
        while (arguments && *arguments && n < ARGUMENTS_MAX + 11)
                argv[n++] = *arguments++;
        (void)setenv("NOTIFY_SOCKET", notify, 1);
        (void)fexecve(program, (char *const *)(uintptr_t)argv, environ);
        perror(SHMD_BIN_DIR "/shmd");
        _exit(127);
}

/* Until it says READY=1; a daemon that ends instead is told by its closing nothing, so its death is looked for. */
static void wait_until_ready(const struct fixture *f, int notify) {
        char text[256];

        for (int waited = 0; waited < PATIENCE_MS; waited += 100) {
                struct pollfd p = { .fd = notify, .events = POLLIN };
                int status;

                if (poll(&p, 1, 100) == 1) {
                        ssize_t n = recv(notify, text, sizeof(text) - 1, 0);

                        text[n > 0 ? n : 0] = '\0';
                        if (strstr(text, "READY=1"))
                                return;
                }
                if (waitpid(f->pid, &status, WNOHANG) == f->pid)
                        fail_msg("the daemon ended at its start, status 0x%x", (unsigned)status);
        }
        fail_msg("the daemon is not ready");
}

static void wait_for_fds(const struct fixture *f, int number) {
        int fds = 0;

        for (int waited = 0; waited < PATIENCE_MS; waited++) {
                fds = fixture_fds(f);
                if (fds == number)
                        return;
                (void)usleep(1000); /* what it closes late, it closes by itself: only the state tells */
        }
        fail_msg("the daemon has %d descriptors, not %d", fds, number);
}

struct fixture *fixture_start(const char *const *arguments) {
        return fixture_start_as(0, arguments);
}

struct fixture *fixture_start_as(uid_t uid, const char *const *arguments) {
        struct fixture *f = calloc(1, sizeof(*f));
        struct shmd *conn;
        char path[64];
        int notify;

        assert_non_null(f);
        (void)snprintf(f->directory, sizeof(f->directory), "/tmp/shmd-test-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        assert_int_equal(chmod(f->directory, 0755), 0); /* for tests that become somebody else */
        if (uid)
                assert_int_equal(chown(f->directory, uid, uid), 0);
        (void)snprintf(f->socket, sizeof(f->socket), "%s/shmd.sock", f->directory);
        (void)snprintf(path, sizeof(path), "%s/notify", f->directory);
        bind_notify(&notify, path);
        (void)fflush(NULL);
        f->pid = fork();
        assert_return_code(f->pid, errno);
        if (f->pid == 0)
                run(f, path, uid, arguments);
        wait_until_ready(f, notify);
        (void)close(notify);
        (void)unlink(path);
        /* Once it answers, it is through with its start. */
        assert_int_equal(shmd_connect(&conn, f->socket), 0);
        f->fds = fixture_fds(f) - 1;
        shmd_close(conn);
        wait_for_fds(f, f->fds);
        return f;
}

static int remove_one(const struct shmd_info *info, void *data) {
        char(*name)[SHMD_NAME_MAX + 1] = data;

        memcpy(*name, info->name, sizeof(*name));
        return 1;
}

static void remove_all(const struct fixture *f) {
        char name[SHMD_NAME_MAX + 1];
        struct shmd *conn;
        int r = shmd_connect(&conn, f->socket);

        while (r == -EUSERS) { /* until it has seen those go who have gone */
                shmd_close(conn);
                (void)usleep(1000);
                r = shmd_connect(&conn, f->socket);
        }
        while (r == 0 && (r = shmd_list(conn, NULL, remove_one, &name)) == 1) {
                r = shmd_remove(conn, name);
                if (r == -ENOENT) /* ephemeral, and gone by itself */
                        r = 0;
        }
        if (r)
                fail_msg("removing all segments: %s", shmd_error(conn));
        shmd_close(conn);
}

void fixture_expect_idle(const struct fixture *f, int clients) {
        remove_all(f);
        wait_for_fds(f, f->fds + clients);
}

static void remove_files(const char *path) {
        DIR *dir = opendir(path);

        assert_non_null(dir);
        for (struct dirent *e = readdir(dir); e; e = readdir(dir))
                if (e->d_name[0] != '.' || strlen(e->d_name) > 2)
                        (void)unlinkat(dirfd(dir), e->d_name, 0);
        (void)closedir(dir);
}

struct fixture *fixture_stop(struct fixture *f) {
        if (!f)
                return NULL;
        if (f->pid) {
                int status;

                fixture_expect_idle(f, 0);
                assert_return_code(kill(f->pid, SIGTERM), errno);
                assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
                if (status != 0)
                        fail_msg("the daemon ended with status 0x%x", (unsigned)status);
        } else {
                remove_files(f->directory);
        }
        if (rmdir(f->directory) < 0)
                fail_msg("%s: %s", f->directory, strerror(errno));
        free(f);
        return NULL;
}

const char *fixture_socket(const struct fixture *f) { return f->socket; }
pid_t fixture_pid(const struct fixture *f) { return f->pid; }

int fixture_fds(const struct fixture *f) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)f->pid);
        return directory_count(path);
}

long fixture_memory(const struct fixture *f) {
        char path[64], line[256];
        long kib = -1;
        FILE *file;

        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)f->pid);
        file = fopen(path, "re");
        assert_non_null(file);
        while (fgets(line, sizeof(line), file))
                if (strncmp(line, "RssAnon:", 8) == 0)
                        kib = strtol(line + 8, NULL, 10);
        (void)fclose(file);
        assert_true(kib >= 0);
        return kib;
}

void fixture_kill(struct fixture *f) {
        int status;

        assert_return_code(kill(f->pid, SIGKILL), errno);
        assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
        f->pid = 0;
}

static void signal_and_wait(struct fixture *f, int number, int options) {
        int status;

        assert_return_code(kill(f->pid, number), errno);
        assert_int_equal(waitpid(f->pid, &status, options), f->pid);
        assert_true(number == SIGSTOP ? WIFSTOPPED(status) : WIFCONTINUED(status));
}

void fixture_pause(struct fixture *f) { signal_and_wait(f, SIGSTOP, WUNTRACED); }
void fixture_resume(struct fixture *f) { signal_and_wait(f, SIGCONT, WCONTINUED); }
