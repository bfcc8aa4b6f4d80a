#define _GNU_SOURCE
#include "daemon/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "daemon/connection.h"
#include "daemon/inheritance.h"
#include "daemon/log.h"
#include "daemon/options.h"
#include "daemon/server.h"
#include "daemon/user.h"
#include "proto/cleanup.h"

#define ACCEPT_MAX 16 /* clients a turn: those who are there are served in between */
#define PAUSE_MS 100
#define BACKLOG 512

/* ---- accepting -------------------------------------------------------------------------------------------------- */

/* Tell a client that there is no room for it. Consumes the socket. */
static void turn_away(struct server *server, int socket) {
        struct user *user = NULL;
        struct peer peer;

        if (peer_init(&peer, socket) == 0) {
                user = user_get(&server->users, peer.uid);
                peer_deinit(&peer);
        }
        connection_refuse(user, socket, -EMFILE,
                          "the daemon has no descriptor left for another client: try again later");
        user_unref(user);
}

static void complain(struct listeners *l, const char *what) {
        if (!l->complained)
                log_event(LOG_WARNING, LOG_EVENT_TURNED_AWAY, "%s; this is said once", what);
        l->complained = true;
}

static void pause_listening(struct server *server) {
        struct listeners *l = &server->listeners;

        for (size_t i = 0; i < l->n; i++)
                (void)event_del(&l->events[i]);
        l->paused = true;
        (void)event_add(&l->pause, &(struct timeval){ .tv_usec = PAUSE_MS * 1000L });
}

/* One descriptor is kept for this: a client that is told is better off than one that waits for nothing. */
static void out_of_descriptors(struct server *server, int listener) {
        struct listeners *l = &server->listeners;
        int fd;

        complain(l, "the limit of descriptors is reached (LimitNOFILE=, ulimit -n): clients are turned away");
        fd_close(STEAL_FD(l->reserve));
        /* cppcheck-suppress nullPointer ; which accept4() takes for "no address, please" */
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
                turn_away(server, fd);
        l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        pause_listening(server);
}

static void on_client(evutil_socket_t listener, short what, void *data) {
        struct server *server = data;
        struct listeners *l = &server->listeners;

        (void)what;
        for (int i = 0; i < ACCEPT_MAX && !l->paused; i++) {
                /* cppcheck-suppress nullPointer ; as above */
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                int r;

                r = fd < 0 ? -errno : connection_new(server, fd);
                switch (r) {
                case 0:
                case QUOTA_E_ALL:
                case QUOTA_E_USER:
                case QUOTA_E_SHARE:
                        break;
                case -EAGAIN:
                        return;
                case -EINTR:
                case -ECONNABORTED:
                        break;
                case -EMFILE:
                case -ENFILE:
                        out_of_descriptors(server, listener);
                        break;
                default:
                        complain(l, "a client could not be accepted: too little memory?");
                        pause_listening(server);
                        break;
                }
        }
}

void listeners_resume(struct server *server) {
        struct listeners *l = &server->listeners;

        if (!l->paused)
                return;
        l->paused = false;
        (void)event_del(&l->pause);
        if (l->reserve < 0)
                l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        for (size_t i = 0; i < l->n; i++) {
                if (event_add(&l->events[i], NULL) < 0) {
                        pause_listening(server);
                        return;
                }
        }
}

static void on_pause_end(evutil_socket_t fd, short what, void *data) {
        (void)fd;
        (void)what;
        listeners_resume(data);
}

/* ---- a socket of our own ---------------------------------------------------------------------------------------- */

/* The daemon that has the lock owns the socket's path. Return: 0, -EADDRINUSE, or another negative errno. */
static int take_lock(struct listeners *l) {
        for (;;) {
                CLEANUP(fd_closep) int fd = -1;
                struct stat ours;
                struct stat there;

                fd = open(l->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (fd < 0)
                        return -errno;
                if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                        return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
                /* The one that had it may have removed the file between our open() and our flock(). */
                if (fstat(fd, &ours) < 0)
                        return -errno;
                if (stat(l->lock_path, &there) == 0 && there.st_ino == ours.st_ino && there.st_dev == ours.st_dev) {
                        l->lock = STEAL_FD(fd);
                        return 0;
                }
        }
}

/* With the lock, whoever answers on the path is no shmd that knows of it, and a file that nobody answers on is stale.
 * Return: 0: the path is free; -EADDRINUSE; another negative errno. */
static int clear_path(const struct sockaddr_un *address) {
        CLEANUP(fd_closep) int fd = -1;
        struct stat st;

        if (lstat(address->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -ENOTSOCK;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
                return -EADDRINUSE;
        if (errno == EPROTOTYPE)
                return -EADDRINUSE;
        if (errno != ECONNREFUSED)
                return -errno;
        return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int make_directory(const char *path) {
        CLEANUP(freep) char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        return mkdir(dirname(copy), 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int own_socket(struct listeners *l, const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        CLEANUP(fd_closep) int fd = -1;
        struct stat st;
        mode_t before;
        int r;

        if (strlen(path) >= sizeof(address.sun_path)) {
                log_event(LOG_ERR, LOG_EVENT_START_FAILED,
                          "the socket's path has %zu bytes, a socket's may have %zu: %s", strlen(path),
                          sizeof(address.sun_path) - 1, path);
                return -ENAMETOOLONG;
        }
        memcpy(address.sun_path, path, strlen(path) + 1);
        r = make_directory(path);
        if (r < 0) {
                log_event(LOG_ERR, LOG_EVENT_START_FAILED, "cannot make the directory of %s: %s", path, strerror(-r));
                return r;
        }
        if (asprintf(&l->lock_path, "%s.lock", path) < 0) {
                l->lock_path = NULL;
                return -ENOMEM;
        }
        r = take_lock(l);
        if (r == 0)
                r = clear_path(&address);
        if (r == -EADDRINUSE) {
                log_event(LOG_ERR, LOG_EVENT_START_FAILED,
                          "another daemon listens on %s already: stop it, or choose another --socket", path);
                return r;
        }
        if (r == -ENOTSOCK) {
                log_event(LOG_ERR, LOG_EVENT_START_FAILED,
                          "%s exists and is not a socket: remove it, or choose another --socket", path);
                return r;
        }
        if (r < 0) {
                log_event(LOG_ERR, LOG_EVENT_START_FAILED, "cannot use %s: %s", l->lock < 0 ? l->lock_path : path,
                          strerror(-r));
                return r;
        }
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        before = umask(0111);
        r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        (void)umask(before);
        if (r == 0 && (lstat(path, &st) < 0 || listen(fd, BACKLOG) < 0))
                r = -errno;
        if (r < 0) {
                log_event(LOG_ERR, LOG_EVENT_START_FAILED, "cannot listen on %s: %s", path, strerror(-r));
                return r;
        }
        l->path = strdup(path);
        if (!l->path) {
                (void)unlink(path);
                return -ENOMEM;
        }
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): errno is not 0 after a failure */
        l->device = st.st_dev;
        l->inode = st.st_ino;
        l->sockets[l->n++] = STEAL_FD(fd);
        return 0;
}

/* ---- sockets of systemd's --------------------------------------------------------------------------------------- */

static int take_socket(struct listeners *l, int fd) {
        int flags;

        if (l->n == LISTENERS_MAX || sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, NULL, 0) <= 0) {
                log_event(LOG_ERR, LOG_EVENT_START_FAILED,
                          "descriptor %d that was passed is neither a listening Unix socket of sequenced packets "
                          "(ListenSequentialPacket=) nor one that was kept, or one too many",
                          fd);
                return -EINVAL;
        }
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        l->sockets[l->n++] = fd;
        return 0;
}

static void free_names(char ***names) {
        for (char **name = *names; name && *name; name++)
                free(*name);
        free(*names);
}

/* Return: 0 or a negative errno. */
static int take_passed(struct listeners *l, struct inheritance *in) {
        CLEANUP(free_names) char **names = NULL;
        int n = sd_listen_fds_with_names(1, &names);
        int result = n < 0 ? n : 0;

        for (int i = 0; i < n; i++) {
                int fd = SD_LISTEN_FDS_START + i;
                int r = inheritance_is_name(names[i]) ? inheritance_add(in, names[i], fd) : take_socket(l, fd);

                if (result == 0)
                        result = r;
        }
        return result;
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

void listeners_prepare(struct server *server) {
        struct listeners *l = &server->listeners;

        *l = (struct listeners){ .lock = -1, .reserve = open("/dev/null", O_RDONLY | O_CLOEXEC) };
        (void)evtimer_assign(&l->pause, server->base, on_pause_end, server);
}

int listeners_start(struct server *server) {
        struct listeners *l = &server->listeners;

        for (size_t i = 0; i < l->n; i++)
                (void)event_assign(&l->events[i], server->base, l->sockets[i], EV_READ | EV_PERSIST, on_client, server);
        l->started = true;
        for (size_t i = 0; i < l->n; i++)
                if (event_add(&l->events[i], NULL) < 0)
                        return -ENOMEM;
        return 0;
}

int listeners_init(struct server *server, const char *path, struct inheritance *in) {
        struct listeners *l = &server->listeners;
        int r = take_passed(l, in);

        if (r == 0 && l->n == 0)
                r = own_socket(l, path);
        return r;
}

/* The file is ours with the lock. */
static int own_file(struct listeners *l, const char *path, int lock) {
        struct stat st;

        l->lock = lock;
        l->path = strdup(path);
        if (!l->path || asprintf(&l->lock_path, "%s.lock", path) < 0) {
                l->lock_path = NULL;
                return -ENOMEM;
        }
        if (lstat(path, &st) < 0)
                return -errno;
        l->device = st.st_dev;
        l->inode = st.st_ino;
        return 0;
}

int listeners_take(struct server *server, int fd, bool lock) {
        struct listeners *l = &server->listeners;
        int r;

        if (lock)
                return own_file(l, server->options->socket, fd);
        r = take_socket(l, fd);
        if (r < 0)
                fd_close(fd);
        return r;
}

void listeners_deinit(struct server *server) {
        struct listeners *l = &server->listeners;
        struct stat st;

        (void)event_del(&l->pause);
        for (size_t i = 0; i < l->n; i++) {
                if (l->started)
                        (void)event_del(&l->events[i]);
                fd_close(l->sockets[i]);
        }
        l->n = 0;
        fd_close(STEAL_FD(l->reserve));
        /* Somebody may have put another one there. */
        if (l->path && l->started && lstat(l->path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
                (void)unlink(l->path);
        free(STEAL_PTR(l->path));
        if (l->lock >= 0 && l->started)
                (void)unlink(l->lock_path);
        fd_close(STEAL_FD(l->lock));
        free(STEAL_PTR(l->lock_path));
}
