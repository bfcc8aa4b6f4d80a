/* test_packet.c -- messages and descriptors over real sockets; after each test as many descriptors as before. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/cleanup.h"
#include "proto/packet.h"
#include "tests/support.h"

struct fixture {
        int socket[2];
        int spare[PROTO_FDS_MAX + 1]; /* descriptors to send */
        uint64_t buffer[64];
        struct packet packet;
        int n_fds;
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->n_fds = fd_count();
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, f->socket), 0);
        for (size_t i = 0; i <= PROTO_FDS_MAX; i++)
                f->spare[i] = -1;
        f->packet.bytes = f->buffer;
        f->packet.capacity = sizeof(f->buffer);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;
        int n;

        packet_close(&f->packet);
        fd_close(f->socket[0]);
        fd_close(f->socket[1]);
        for (size_t i = 0; i <= PROTO_FDS_MAX; i++)
                fd_close(f->spare[i]);
        n = f->n_fds;
        free(f);
        assert_int_equal(fd_count(), n);
        return 0;
}

static void spares(struct fixture *f, size_t n) {
        for (size_t i = 0; i < n; i++) {
                f->spare[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
                assert_true(f->spare[i] >= 0);
        }
}

/* packet_send() sends no more than PROTO_FDS_MAX; a liar does. */
static void send_raw(struct fixture *f, const void *bytes, size_t size, size_t n_fds) {
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE((PROTO_FDS_MAX + 1) * sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = size };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds) {
                struct cmsghdr *c;

                msg.msg_control = control.bytes;
                msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                c = CMSG_FIRSTHDR(&msg);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), f->spare, n_fds * sizeof(int));
        }
        assert_int_equal(sendmsg(f->socket[1], &msg, MSG_NOSIGNAL), size);
}

static void test_bytes(void **state) {
        struct fixture *f = *state;

        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), PACKET_E_AGAIN);
        assert_int_equal(packet_send(f->socket[1], "hello", 5, NULL, 0), 0);
        assert_int_equal(packet_send(f->socket[1], "world!", 6, NULL, 0), 0);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], PROTO_FDS_MAX), 0);
        assert_int_equal(f->packet.size, 5);
        assert_int_equal(f->packet.n_fds, 0);
        assert_memory_equal(f->buffer, "hello", 5);
        assert_int_equal(packet_take_fd(&f->packet, 0), -1);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), 0);
        assert_int_equal(f->packet.size, 6);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), PACKET_E_AGAIN);
}

static void test_descriptors(void **state) {
        struct fixture *f = *state;
        static const size_t counts[] = { 1, 2, 3, 4, 100, PROTO_FDS_MAX };

        spares(f, PROTO_FDS_MAX);
        for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
                size_t n = counts[c];
                int before = fd_count();

                assert_int_equal(packet_send(f->socket[1], "x", 1, f->spare, n), 0);
                assert_int_equal(packet_receive(&f->packet, f->socket[0], n), 0);
                assert_int_equal(f->packet.n_fds, n);
                assert_int_equal(fd_count(), before + (int)n);
                for (size_t i = 0; i < n; i++) {
                        assert_true(f->packet.fds[i] >= 0);
                        assert_int_equal(fcntl(f->packet.fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
                }
                packet_close(&f->packet);
                assert_int_equal(f->packet.n_fds, 0);
                assert_int_equal(fd_count(), before);
        }
}

static void test_taken_descriptors_stay_open(void **state) {
        struct fixture *f = *state;
        int before, fd;

        spares(f, 3);
        before = fd_count();
        assert_int_equal(packet_send(f->socket[1], "x", 1, f->spare, 3), 0);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 3), 0);
        fd = packet_take_fd(&f->packet, 1);
        assert_true(fd >= 0);
        assert_int_equal(packet_take_fd(&f->packet, 1), -1);
        assert_int_equal(packet_take_fd(&f->packet, 3), -1);
        packet_close(&f->packet);
        assert_int_equal(packet_take_fd(&f->packet, 0), -1);
        assert_int_equal(fd_count(), before + 1);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        (void)close(fd);
}

/* Every number allowed against one more, and against many more: an odd number of descriptors leaves room for one more
 * in its control buffer, so the kernel says nothing about it. */
static void test_too_many_descriptors(void **state) {
        struct fixture *f = *state;
        static const size_t allowed[] = { 0, 1, 2, 3, 4, 5, PROTO_FDS_MAX };

        spares(f, PROTO_FDS_MAX + 1);
        for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
                size_t sent[] = { allowed[i] + 1, PROTO_FDS_MAX + 1 };

                for (size_t j = 0; j < 2; j++) {
                        int before = fd_count();

                        send_raw(f, "x", 1, sent[j]);
                        assert_int_equal(packet_receive(&f->packet, f->socket[0], allowed[i]), PACKET_E_FDS);
                        assert_int_equal(f->packet.n_fds, 0);
                        assert_int_equal(fd_count(), before);
                }
        }
        /* The socket is good for the next. */
        assert_int_equal(packet_send(f->socket[1], "x", 1, f->spare, 1), 0);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 1), 0);
}

static void test_no_room_for_descriptors(void **state) {
        struct fixture *f = *state;
        struct rlimit old, tight;
        int before;

        spares(f, 4);
        before = fd_count();
        assert_int_equal(packet_send(f->socket[1], "x", 1, f->spare, 4), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        tight = old;
        /* Room for two of the four. */
        tight.rlim_cur = (rlim_t)f->spare[3] + 3;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        int r = packet_receive(&f->packet, f->socket[0], 4);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(r, PACKET_E_FDS);
        assert_int_equal(f->packet.n_fds, 0);
        assert_int_equal(fd_count(), before);
}

static void test_message_of_no_bytes(void **state) {
        struct fixture *f = *state;
        int before;

        send_raw(f, "", 0, 0);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 1), PACKET_E_CLOSED);
        spares(f, 1);
        before = fd_count();
        send_raw(f, "", 0, 1);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 1), PACKET_E_CLOSED);
        assert_int_equal(f->packet.n_fds, 0);
        assert_int_equal(fd_count(), before);
}

static void test_too_long(void **state) {
        struct fixture *f = *state;
        char bytes[sizeof(f->buffer) + 1] = { 0 };
        int before;

        assert_int_equal(packet_send(f->socket[1], bytes, sizeof(f->buffer), NULL, 0), 0);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), 0);
        assert_int_equal(f->packet.size, sizeof(f->buffer));
        spares(f, 2);
        before = fd_count();
        assert_int_equal(packet_send(f->socket[1], bytes, sizeof(bytes), f->spare, 2), 0);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 2), PACKET_E_LARGE);
        assert_int_equal(f->packet.n_fds, 0);
        assert_int_equal(f->packet.size, 0);
        assert_int_equal(fd_count(), before);
        assert_int_equal(packet_send(f->socket[1], "x", 1, NULL, 0), 0);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), 0);
}

static void test_peer_closed(void **state) {
        struct fixture *f = *state;

        assert_int_equal(packet_send(f->socket[1], "last", 4, NULL, 0), 0);
        (void)close(STEAL_FD(f->socket[1]));
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), 0);
        assert_int_equal(f->packet.size, 4);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), PACKET_E_CLOSED);
        /* No SIGPIPE. */
        assert_int_equal(packet_send(f->socket[0], "x", 1, NULL, 0), PACKET_E_CLOSED);
}

static void test_peer_closed_with_something_unread(void **state) {
        struct fixture *f = *state;

        assert_int_equal(packet_send(f->socket[0], "unread", 6, NULL, 0), 0);
        (void)close(STEAL_FD(f->socket[1]));
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), PACKET_E_CLOSED);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), PACKET_E_CLOSED);
}

/* Descriptors that nobody received are closed with the socket. */
static void test_unread_descriptors(void **state) {
        struct fixture *f = *state;
        int pipe_fds[2];
        char c;

        assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
        assert_int_equal(packet_send(f->socket[1], "x", 1, &pipe_fds[1], 1), 0);
        (void)close(pipe_fds[1]);
        (void)close(STEAL_FD(f->socket[0]));
        assert_int_equal(read(pipe_fds[0], &c, 1), 0);
        (void)close(pipe_fds[0]);
}

static void test_full(void **state) {
        struct fixture *f = *state;
        char bytes[4096] = { 0 };
        int sent = 0, r;

        while ((r = packet_send(f->socket[1], bytes, sizeof(bytes), NULL, 0)) == 0)
                sent++;
        assert_int_equal(r, PACKET_E_AGAIN);
        assert_true(sent > 0);
        f->packet.capacity = sizeof(bytes);
        f->packet.bytes = bytes;
        for (int i = 0; i < sent; i++)
                assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), 0);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), PACKET_E_AGAIN);
        assert_int_equal(packet_send(f->socket[1], bytes, 1, NULL, 0), 0);
}

static void test_errors(void **state) {
        struct fixture *f = *state;

        spares(f, 1);
        assert_int_equal(packet_send(f->socket[1], "x", 1, f->spare, PROTO_FDS_MAX + 1), -EINVAL);
        assert_int_equal(packet_send(f->spare[0], "x", 1, NULL, 0), -ENOTSOCK);
        assert_int_equal(packet_receive(&f->packet, f->spare[0], 0), -ENOTSOCK);
        assert_int_equal(packet_receive(&f->packet, -1, 0), -EBADF);
        int bad = 1 << 20;
        assert_int_equal(packet_send(f->socket[1], "x", 1, &bad, 1), -EBADF);
        assert_int_equal(packet_receive(&f->packet, f->socket[0], 0), PACKET_E_AGAIN);
}

/* Larger than the socket's buffer will ever hold. */
static void test_larger_than_the_socket(void **state) {
        struct fixture *f = *state;
        size_t size = 64 << 20;
        CLEANUP(freep) void *bytes = calloc(1, size);

        assert_non_null(bytes);
        assert_int_equal(packet_send(f->socket[1], bytes, size, NULL, 0), -EMSGSIZE);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_bytes),
                TEST(test_descriptors),
                TEST(test_taken_descriptors_stay_open),
                TEST(test_too_many_descriptors),
                TEST(test_no_room_for_descriptors),
                TEST(test_message_of_no_bytes),
                TEST(test_too_long),
                TEST(test_peer_closed),
                TEST(test_peer_closed_with_something_unread),
                TEST(test_unread_descriptors),
                TEST(test_full),
                TEST(test_errors),
                TEST(test_larger_than_the_socket),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
