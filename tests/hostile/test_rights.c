/*
 * test_rights.c -- who may write what (the table in the design): whatever else clients try with the descriptors that they
 * are sent, with those of others and with the daemon's, the kernel refuses, with the errno that the design names.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include "proto/cleanup.h"
#include "tests/hostile/stage.h"

#define READABLE "stage/readable" /* by all */
#define WRITABLE "stage/writable" /* by all */
#define FRAME 5000u

static int setup(void **state) {
        struct proto_create readable = { .slot_size = FRAME, .mode = 0644 };
        struct proto_create writable = { .slot_size = FRAME, .mode = 0666 };
        int r = stage_setup(state);

        if (r == 0) {
                stage_make(*state, UID_OWNER, READABLE, &readable);
                stage_make(*state, UID_OWNER, WRITABLE, &writable);
        }
        return r;
}

static void open_as(struct wire *w, struct stage *s, const char *name, uint32_t access) {
        wire_open(w, s->daemon);
        CHILD_EQUAL(wire_open_segment(w, name, access, 0, 0), 0);
}

static const char *path_of(int fd) {
        static char path[64];

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return path;
}

static int getfd(pid_t pid, int fd) {
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), r;

        CHILD_CHECK(pidfd >= 0);
        r = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
        fd_close(pidfd);
        return r;
}

/* ---- a memfd ---------------------------------------------------------------------------------------------------- */

/* What nobody may do, whatever the description. */
static void try_to_change(int fd) {
        struct timespec times[2] = { 0 };
        int flags = FS_IMMUTABLE_FL;

        REFUSED(EACCES, open(path_of(fd), O_RDWR | O_CLOEXEC));
        REFUSED(EACCES, open(path_of(fd), O_WRONLY | O_CLOEXEC));
        REFUSED(EACCES, open(path_of(fd), O_RDONLY | O_CLOEXEC));
        REFUSED(EACCES, truncate(path_of(fd), 0));
        REFUSED(EPERM, fchmod(fd, 0666));
        REFUSED(EPERM, chmod(path_of(fd), 0666));
        REFUSED(EPERM, fchown(fd, geteuid(), getegid()));
        REFUSED(EPERM, futimens(fd, times));
        REFUSED(EPERM, fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
        REFUSED(EPERM, fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
        REFUSED(EACCES, fcntl(fd, F_SETLEASE, F_RDLCK));
        REFUSED(EACCES, syscall(SYS_execveat, fd, "", NULL, NULL, AT_EMPTY_PATH));
        CHILD_CHECK(fsetxattr(fd, "user.shmd", "x", 1, 0) < 0);
        CHILD_CHECK(ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0);
        CHILD_CHECK(linkat(AT_FDCWD, path_of(fd), AT_FDCWD, "/tmp/shmd-link", AT_SYMLINK_FOLLOW) < 0);
}

/* What needs a description to write. */
static void try_to_write(int fd, size_t size) {
        char *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
        void *writable;

        CHILD_CHECK(p != MAP_FAILED);
        CHILD_CHECK(memory >= 0);
        writable = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        CHILD_CHECK(writable == MAP_FAILED && errno == EACCES);
        REFUSED(EACCES, mprotect(p, size, PROT_READ | PROT_WRITE));
        REFUSED(EACCES, madvise(p, size, MADV_REMOVE));
        REFUSED(EBADF, write(fd, "x", 1));
        REFUSED(EBADF, pwrite(fd, "x", 1, 0));
        REFUSED(EBADF, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)size));
        REFUSED(EBADF, fallocate(fd, 0, 0, (off_t)size + 1));
        REFUSED(EINVAL, ftruncate(fd, 0));
        /* As a debugger writes to what is read-only: into a copy, which a shared mapping does not get. */
        CHILD_CHECK(pwrite(memory, "x", 1, (off_t)(uintptr_t)p) < 0);
        fd_close(memory);
        (void)munmap(p, size);
}

/* What is sealed against those who may write. */
static void try_to_resize(int fd, size_t size) {
        REFUSED(EPERM, ftruncate(fd, 0));
        REFUSED(EPERM, ftruncate(fd, (off_t)size - 1));
        REFUSED(EPERM, ftruncate(fd, (off_t)size + 4096));
        REFUSED(EPERM, fallocate(fd, 0, 0, (off_t)size + 4096));
        REFUSED(EPERM, fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)size, 4096));
        REFUSED(EPERM, pwrite(fd, "x", 1, (off_t)size));
}

static size_t size_of(int fd) {
        struct stat st;

        CHILD_EQUAL(fstat(fd, &st), 0);
        CHILD_EQUAL(st.st_mode & 0777, 0600);
        CHILD_EQUAL(fcntl(fd, F_GET_SEALS) & (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW),
                    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW);
        return (size_t)st.st_size;
}

/* ---- a reader --------------------------------------------------------------------------------------------------- */

static void reader_and_the_data(struct stage *s, int fd) {
        struct wire w;

        (void)fd;
        open_as(&w, s, READABLE, PROTO_ACCESS_READ);
        try_to_write(w.packet.fds[0], size_of(w.packet.fds[0]));
        try_to_change(w.packet.fds[0]);
        /* Root in a user namespace of one's own is nobody outside. */
        if (unshare(CLONE_NEWUSER) == 0) {
                try_to_write(w.packet.fds[0], FRAME);
                REFUSED(EACCES, open(path_of(w.packet.fds[0]), O_RDWR | O_CLOEXEC));
                REFUSED(EPERM, fchmod(w.packet.fds[0], 0666));
        }
}

static void test_a_reader_cannot_write_the_data(void **state) { stage_act_as(*state, UID_READER, reader_and_the_data); }

/* The size and the mode are the daemon's, also of what the reader may write. */
static void reader_and_its_table(struct stage *s, int fd) {
        struct wire w;

        (void)fd;
        open_as(&w, s, READABLE, PROTO_ACCESS_READ);
        try_to_resize(w.packet.fds[1], size_of(w.packet.fds[1]));
        try_to_change(w.packet.fds[1]);
}

static void test_a_reader_cannot_resize_its_table(void **state) {
        stage_act_as(*state, UID_READER, reader_and_its_table);
}

/* Two memfds, and no bell. */
static void what_a_reader_gets(struct stage *s, int fd) {
        struct stat table;
        struct wire w;

        open_as(&w, s, READABLE, PROTO_ACCESS_READ);
        CHILD_EQUAL(w.packet.n_fds, 2);
        for (int i = 0; i < 2; i++) {
                char target[128] = "";

                CHILD_CHECK(readlink(path_of(w.packet.fds[i]), target, sizeof(target) - 1) > 0);
                CHILD_CHECK(strncmp(target, "/memfd:shmd:", 12) == 0);
        }
        CHILD_EQUAL(fstat(w.packet.fds[1], &table), 0);
        (void)child_tell(fd, table.st_ino);
        (void)child_tell(fd, (uint64_t)w.packet.fds[1]);
        (void)pause();
}

static pid_t victim;
static int victims_fd;

static void take_from_the_victim(struct stage *s, int fd) {
        char path[64];

        (void)s;
        (void)fd;
        (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)victim, victims_fd);
        REFUSED(EACCES, open(path, O_RDWR | O_CLOEXEC));
        REFUSED(EACCES, open(path, O_RDONLY | O_CLOEXEC));
        REFUSED(EPERM, getfd(victim, victims_fd));
        REFUSED(EPERM, ptrace(PTRACE_ATTACH, victim, NULL, NULL));
        (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)victim);
        REFUSED(EACCES, open(path, O_RDONLY | O_CLOEXEC));
}

static void test_a_reader_has_its_own_table(void **state) {
        struct stage *s = *state;
        struct child *a = stage_start(s, UID_READER, what_a_reader_gets);
        struct child *b = stage_start(s, UID_OTHER, what_a_reader_gets);
        uint64_t one = child_expect(a), other = child_expect(b);

        assert_true(one != other);
        victim = a->pid;
        victims_fd = (int)child_expect(a);
        stage_act_as(s, UID_OTHER, take_from_the_victim);
}

/* The daemon holds everything, for writing. */
static void test_nobody_takes_from_the_daemon(void **state) {
        struct stage *s = *state;
        int n = 0;

        victim = fixture_pid(s->daemon);
        for (victims_fd = 0; victims_fd < 64; victims_fd++) {
                char path[64];

                (void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)victim, victims_fd);
                if (access(path, F_OK) < 0)
                        continue;
                n++;
                stage_act_as(s, UID_READER, take_from_the_victim);
                stage_act_as(s, UID_OWNER, take_from_the_victim);
        }
        assert_true(n > 5);
}

/* ---- a writer --------------------------------------------------------------------------------------------------- */

static void writer_and_the_data(struct stage *s, int fd) {
        struct wire w;

        (void)fd;
        open_as(&w, s, WRITABLE, PROTO_ACCESS_WRITE);
        try_to_resize(w.packet.fds[0], size_of(w.packet.fds[0]));
        try_to_change(w.packet.fds[0]);
}

static void test_a_writer_cannot_resize_the_data(void **state) {
        stage_act_as(*state, UID_WRITER, writer_and_the_data);
        stage_act_as(*state, UID_OWNER, writer_and_the_data);
}

static void writer_and_the_tables(struct stage *s, int fd) {
        struct wire w;

        (void)fd;
        open_as(&w, s, WRITABLE, PROTO_ACCESS_WRITE);
        CHILD_EQUAL(w.in.any.opened.n_groups, 1);
        CHILD_EQUAL(w.packet.n_fds, 3);
        try_to_write(w.packet.fds[1], size_of(w.packet.fds[1]));
        try_to_change(w.packet.fds[1]);
        /* A bell cannot be opened anew: nobody has O_NONBLOCK for himself. */
        REFUSED(EACCES, open(path_of(w.packet.fds[2]), O_RDWR | O_CLOEXEC));
}

static void read_and_stay(struct stage *s, int fd) {
        struct wire w;

        open_as(&w, s, WRITABLE, PROTO_ACCESS_READ);
        (void)child_tell(fd, 0);
        (void)pause();
}

static void test_a_writer_cannot_write_tables(void **state) {
        (void)child_expect(stage_start(*state, UID_READER, read_and_stay));
        stage_act_as(*state, UID_WRITER, writer_and_the_tables);
        stage_act_as(*state, UID_OWNER, writer_and_the_tables);
}

/* ---- strangers -------------------------------------------------------------------------------------------------- */

static void stranger(struct stage *s, int fd) {
        struct proto_create same = { .slot_size = FRAME };
        static struct wire w;

        (void)fd;
        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_stat(&w, "stage/secret"), -EACCES);
        CHILD_EQUAL(wire_open_segment(&w, "stage/secret", PROTO_ACCESS_READ, 0, 0), -EACCES);
        CHILD_EQUAL(wire_open_segment(&w, "stage/secret", PROTO_ACCESS_WRITE, 0, 0), -EACCES);
        CHILD_EQUAL(wire_open_segment(&w, READABLE, PROTO_ACCESS_WRITE, 0, 0), -EACCES);
        CHILD_EQUAL(wire_create_as(&w, "stage/secret", &same), -EACCES);
        CHILD_EQUAL(wire_remove(&w, "stage/secret"), -EPERM);
        CHILD_EQUAL(wire_remove(&w, READABLE), -EPERM);
        CHILD_EQUAL(wire_list(&w, "stage/s*", ""), 0);
        CHILD_EQUAL(wire_page(&w)->count, 0);
}

static void test_a_stranger_gets_nothing(void **state) {
        struct proto_create secret = { .slot_size = FRAME };

        stage_make(*state, UID_OWNER, "stage/secret", &secret);
        stage_act_as(*state, UID_STRANGER, stranger);
}

/* To have it open, or to be able to, is not to own it. */
static void not_the_owner(struct stage *s, int fd) {
        struct proto_chmod chmod_all = { .mode = 0777, .name = WRITABLE };
        struct proto_chown chown_to_me = { .uid = geteuid(), .gid = PROTO_KEEP, .name = WRITABLE };
        struct proto_chown chgrp_to_me = { .uid = PROTO_KEEP, .gid = getegid(), .name = WRITABLE };
        static struct wire w;

        (void)fd;
        open_as(&w, s, WRITABLE, PROTO_ACCESS_WRITE);
        wire_header(&w, &chmod_all, PROTO_OP_CHMOD, 0);
        CHILD_EQUAL(wire_request(&w, &chmod_all, NULL, 0), -EPERM);
        wire_header(&w, &chown_to_me, PROTO_OP_CHOWN, 0);
        CHILD_EQUAL(wire_request(&w, &chown_to_me, NULL, 0), -EPERM);
        wire_header(&w, &chgrp_to_me, PROTO_OP_CHOWN, 0);
        CHILD_EQUAL(wire_request(&w, &chgrp_to_me, NULL, 0), -EPERM);
        CHILD_EQUAL(wire_remove(&w, WRITABLE), -EPERM);
}

static void test_a_writer_does_not_own_it(void **state) {
        struct stage *s = *state;

        stage_act_as(s, UID_WRITER, not_the_owner);
        assert_int_equal(wire_stat(&s->root, WRITABLE), 0);
        assert_int_equal(s->root.in.any.stat_reply.info.mode, 0666);
        assert_int_equal(s->root.in.any.stat_reply.info.uid, UID_OWNER);
        assert_int_equal(s->root.in.any.stat_reply.info.gid, UID_OWNER);
}

/* ---- locks ------------------------------------------------------------------------------------------------------ */

/* All bytes from here on that nobody has a lock on. */
static int lock_all(int fd, short type) {
        int n = 0;

        for (int64_t i = 0; i < LAYOUT_READERS_MAX; i++) {
                struct flock lock = {
                        .l_type = type, .l_whence = SEEK_SET, .l_start = LAYOUT_LOCK_BASE + i, .l_len = 1
                };

                n += fcntl(fd, F_OFD_SETLK, &lock) == 0;
        }
        return n;
}

static void lock_the_data_as_reader(struct stage *s, int fd) {
        struct wire w;

        open_as(&w, s, WRITABLE, PROTO_ACCESS_READ);
        CHILD_EQUAL(lock_all(w.packet.fds[0], F_WRLCK), 0);
        CHILD_CHECK(lock_all(w.packet.fds[0], F_RDLCK) >= LAYOUT_WRITERS_MAX - 2);
        (void)child_tell(fd, 0);
        (void)pause();
}

static void open_to_write(struct stage *s, int fd) {
        struct wire w;

        (void)fd;
        open_as(&w, s, WRITABLE, PROTO_ACCESS_WRITE);
        wire_close(&w);
        open_as(&w, s, WRITABLE, PROTO_ACCESS_WRITE);
        wire_close(&w);
}

static void open_to_read(struct stage *s, int fd) {
        struct wire w;

        (void)fd;
        open_as(&w, s, WRITABLE, PROTO_ACCESS_READ);
        wire_close(&w);
        open_as(&w, s, WRITABLE, PROTO_ACCESS_READ);
        wire_close(&w);
}

/* Read locks are for everybody who may read, on any byte: they keep no writer out. */
static void test_a_readers_locks_keep_nobody_out(void **state) {
        (void)child_expect(stage_start(*state, UID_READER, lock_the_data_as_reader));
        stage_act_as(*state, UID_WRITER, open_to_write);
        stage_act_as(*state, UID_OWNER, open_to_write);
        stage_act_as(*state, UID_OTHER, open_to_read);
        stage_act_as(*state, UID_READER, open_to_read);
}

static void lock_the_tables_as_writer(struct stage *s, int fd) {
        struct wire w;

        open_as(&w, s, WRITABLE, PROTO_ACCESS_WRITE);
        CHILD_EQUAL(w.in.any.opened.n_groups, 1);
        CHILD_EQUAL(lock_all(w.packet.fds[1], F_WRLCK), 0);
        CHILD_CHECK(lock_all(w.packet.fds[1], F_RDLCK) >= LAYOUT_READERS_MAX - 1);
        (void)child_tell(fd, 0);
        (void)pause();
}

static void test_a_writers_locks_keep_no_reader_out(void **state) {
        (void)child_expect(stage_start(*state, UID_READER, read_and_stay));
        (void)child_expect(stage_start(*state, UID_WRITER, lock_the_tables_as_writer));
        stage_act_as(*state, UID_READER, open_to_read);
        stage_act_as(*state, UID_OTHER, open_to_read);
}

static void lock_its_own_table(struct stage *s, int fd) {
        struct wire w;

        open_as(&w, s, WRITABLE, PROTO_ACCESS_READ);
        CHILD_CHECK(lock_all(w.packet.fds[1], F_WRLCK) >= LAYOUT_READERS_MAX);
        (void)child_tell(fd, 0);
        (void)pause();
}

static void find_the_table_locked(struct stage *s, int fd) {
        struct wire w;

        (void)fd;
        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, WRITABLE, PROTO_ACCESS_READ, 0, 0), -EBUSY);
        wire_assert_text(&w, "lock");
        wire_close(&w);
}

/* The table of a uid is its own affair. */
static void test_a_reader_locks_its_table(void **state) {
        (void)child_expect(stage_start(*state, UID_READER, lock_its_own_table));
        stage_act_as(*state, UID_READER, find_the_table_locked);
        stage_act_as(*state, UID_OTHER, open_to_read);
        stage_act_as(*state, UID_WRITER, open_to_write);
}

static void lock_the_data_as_writer(struct stage *s, int fd) {
        struct wire w;

        open_as(&w, s, WRITABLE, PROTO_ACCESS_WRITE);
        CHILD_CHECK(lock_all(w.packet.fds[0], F_WRLCK) >= LAYOUT_WRITERS_MAX - 1);
        (void)child_tell(fd, 0);
        (void)pause();
}

static void find_the_data_locked(struct stage *s, int fd) {
        struct wire w;

        (void)fd;
        wire_open(&w, s->daemon);
        CHILD_EQUAL(wire_open_segment(&w, WRITABLE, PROTO_ACCESS_WRITE, 0, 0), -EBUSY);
        wire_assert_text(&w, "lock");
        wire_close(&w);
}

/* A writer may keep other writers away (this is said), but nobody else. */
static void test_a_writer_locks_the_data(void **state) {
        struct stage *s = *state;
        struct child *c = stage_start(s, UID_WRITER, lock_the_data_as_writer);

        (void)child_expect(c);
        stage_act_as(s, UID_OWNER, find_the_data_locked);
        stage_act_as(s, UID_READER, open_to_read);
        child_kill(c);
        stage_act_as(s, UID_OWNER, open_to_write);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, stage_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_a_reader_cannot_write_the_data),  TEST(test_a_reader_cannot_resize_its_table),
                TEST(test_a_reader_has_its_own_table),      TEST(test_nobody_takes_from_the_daemon),
                TEST(test_a_writer_cannot_resize_the_data), TEST(test_a_writer_cannot_write_tables),
                TEST(test_a_stranger_gets_nothing),         TEST(test_a_writer_does_not_own_it),
                TEST(test_a_readers_locks_keep_nobody_out), TEST(test_a_writers_locks_keep_no_reader_out),
                TEST(test_a_reader_locks_its_table),        TEST(test_a_writer_locks_the_data),
        };

        return STAGE_RUN(tests);
}
