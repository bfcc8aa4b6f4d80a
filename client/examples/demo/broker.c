#define _GNU_SOURCE
#include "client/examples/demo/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <shmd.h>
#include <string.h>
#include <unistd.h>

#define LOG_NAME "shmd.log"

const char *broker_socket(char path[static BROKER_PATH], const char *dir) {
        (void)snprintf(path, BROKER_PATH, "%s/shmd.sock", dir);
        return path;
}

static void log_path(char path[static BROKER_PATH], const char *dir) {
        (void)snprintf(path, BROKER_PATH, "%s/%s", dir, LOG_NAME);
}

static bool find_program(char path[static PATH_MAX]) {
        static const char name[] = "/shmd";
        ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - sizeof(name));
        char *slash;

        if (n < 0)
                return false;
        path[n] = '\0';
        slash = strrchr(path, '/');
        if (!slash)
                return false;
        memcpy(slash, name, sizeof(name));
        return access(path, X_OK) == 0;
}

pid_t broker_start(struct crew *crew, const char *dir, char *why, size_t size) {
        char program[PATH_MAX] = "", path[BROKER_PATH], log[BROKER_PATH];
        pid_t pid;
        int fd;

        if (!find_program(program)) {
                (void)snprintf(why, size, "there is no daemon beside this program (%s): build all with ./bootstrap",
                               program);
                return -1;
        }
        (void)broker_socket(path, dir);
        log_path(log, dir);
        fd = open(log, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
                (void)snprintf(why, size, "%s: %s", log, strerror(errno));
                return -1;
        }
        pid = crew_fork(crew, "daemon");
        if (pid == 0) {
                if (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
                        _exit(1);
                (void)execl(program, program, "--config", "/dev/null", "--socket", path, (char *)NULL);
                (void)dprintf(fd, "%s: %s\n", program, strerror(errno));
                _exit(1);
        }
        if (pid < 0)
                (void)snprintf(why, size, "starting the daemon: %s", strerror(errno));
        (void)close(fd);
        return pid;
}

bool broker_answers(const char *dir) {
        char path[BROKER_PATH];
        struct shmd *conn;
        bool yes = shmd_connect(&conn, broker_socket(path, dir)) == 0;

        (void)shmd_close(conn);
        return yes;
}

void broker_quote(const char *dir, FILE *out) {
        char path[BROKER_PATH], line[512];
        FILE *log;

        log_path(path, dir);
        log = fopen(path, "re");
        while (log && fgets(line, sizeof(line), log))
                (void)fprintf(out, "  shmd: %s", line);
        if (log)
                (void)fclose(log);
}
