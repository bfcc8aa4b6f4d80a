#define _GNU_SOURCE
#include "tests/hostile/fuse.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "proto/packet.h"

#define NODE 2u /* the only file */

struct server {
        int device;
        atomic_bool given; /* the server has not the file open any more */
        const char *directory;
        int sink; /* for the file */
        char path[64];
};

/* Open the file while the server serves, and send it away. */
static void *open_file(void *data) {
        struct server *s = data;
        uint64_t byte = 0;
        int fd = open(s->path, O_RDWR | O_CLOEXEC);

        CHILD_CHECK(fd >= 0);
        CHILD_EQUAL(packet_send(s->sink, &byte, sizeof(byte), &fd, 1), 0);
        (void)close(fd); /* the server could not end with the file open: that would be to wait for itself */
        atomic_store(&s->given, true);
        return NULL;
}

static void reply(const struct server *s, const struct fuse_in_header *in, int error, const void *data, size_t size) {
        struct fuse_out_header out = { .len = (uint32_t)(sizeof(out) + size), .error = error, .unique = in->unique };
        char buffer[512];

        CHILD_CHECK(sizeof(out) + size <= sizeof(buffer));
        memcpy(buffer, &out, sizeof(out));
        if (size)
                memcpy(buffer + sizeof(out), data, size);
        /* Whoever asked may have gone meanwhile. */
        CHILD_CHECK(write(s->device, buffer, sizeof(out) + size) > 0 || errno == ENOENT);
}

static struct fuse_attr attributes(uint64_t node) {
        return (struct fuse_attr){ .ino = node, .mode = node == NODE ? S_IFREG | 0666 : S_IFDIR | 0755, .nlink = 1 };
}

/* Return: false where somebody is left to wait. */
static bool answer(struct server *s, const struct fuse_in_header *in) {
        struct fuse_init_out init = { .major = FUSE_KERNEL_VERSION,
                                      .minor = FUSE_KERNEL_MINOR_VERSION,
                                      .max_readahead = 65536,
                                      .max_write = 4096 };
        struct fuse_entry_out entry = { .nodeid = NODE, .attr = attributes(NODE) };
        struct fuse_attr_out attr = { .attr = attributes(in->nodeid) };
        struct fuse_open_out opened = { .fh = 1, .open_flags = FOPEN_DIRECT_IO };

        switch (in->opcode) {
        case FUSE_INIT:
                reply(s, in, 0, &init, sizeof(init));
                return true;
        case FUSE_LOOKUP:
                reply(s, in, 0, &entry, sizeof(entry));
                return true;
        case FUSE_GETATTR:
                reply(s, in, 0, &attr, sizeof(attr));
                return true;
        case FUSE_OPEN:
                reply(s, in, 0, &opened, sizeof(opened));
                return true;
        case FUSE_FLUSH:
        case FUSE_POLL:
                if (atomic_load(&s->given))
                        return false;
                reply(s, in, 0, NULL, 0);
                return true;
        default:
                reply(s, in, -ENOSYS, NULL, 0);
                return true;
        }
}

static void serve(int fd, void *data) {
        struct server *s = data;
        char options[128];
        static _Alignas(8) char buffer[FUSE_MIN_READ_BUFFER];
        pthread_t opener;

        s->device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        (void)snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", s->device);
        if (s->device < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("shmd-test", s->directory, "fuse", MS_NOSUID | MS_NODEV, options) < 0) {
                (void)child_tell(fd, 0);
                return;
        }
        (void)snprintf(s->path, sizeof(s->path), "%s/file", s->directory);
        (void)child_tell(fd, 1);
        CHILD_EQUAL(pthread_create(&opener, NULL, open_file, s), 0);
        for (;;) {
                ssize_t n = read(s->device, buffer, sizeof(buffer));

                if (n < 0 && errno != EINTR && errno != ENOENT)
                        _exit(1);
                if (n > 0 && !answer(s, (struct fuse_in_header *)(void *)buffer))
                        (void)child_tell(fd, 2);
        }
}

bool fuse_start(struct fuse *f) {
        struct server s = { .directory = f->directory };
        int fds[2];

        (void)snprintf(f->directory, sizeof(f->directory), "/tmp/shmd-fuse-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        assert_return_code(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), errno);
        s.sink = fds[1];
        f->source = fds[0];
        child_start(&f->server, serve, &s);
        (void)close(fds[1]);
        if (child_expect(&f->server))
                return true;
        child_finish(&f->server);
        (void)close(f->source);
        (void)rmdir(f->directory);
        return false;
}

int fuse_file(const struct fuse *f) {
        uint64_t byte;
        struct packet packet = { .bytes = &byte, .capacity = sizeof(byte) };
        struct pollfd p = { .fd = f->source, .events = POLLIN };

        if (poll(&p, 1, CHILD_PATIENCE_MS) != 1 || packet_receive(&packet, f->source, 1))
                return -1;
        return packet_take_fd(&packet, 0);
}

void fuse_wait(const struct fuse *f) { assert_int_equal(child_expect(&f->server), 2); }

void fuse_stop(struct fuse *f) {
        (void)close(f->source);
        child_kill(&f->server);
        (void)rmdir(f->directory);
}
