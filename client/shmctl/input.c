/* input.c -- standard input, cut into frames. */
#include "client/shmctl/input.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/cleanup.h"

#define FIRST_CAPACITY ((size_t)64 << 10)

void input_deinit(struct input *in) {
        free(in->bytes);
        fd_close(in->signals);
        *in = INPUT_INIT;
}

uint64_t input_size(void) {
        struct stat st;
        off_t at;

        if (fstat(STDIN_FILENO, &st) < 0 || !S_ISREG(st.st_mode))
                return 0;
        at = lseek(STDIN_FILENO, 0, SEEK_CUR);
        return at < 0 || at >= st.st_size ? 0 : (uint64_t)(st.st_size - at);
}

/* One read(). Return: how many bytes; 0: the end; or a negative errno. */
static ssize_t read_some(const struct input *in, void *to, size_t size) {
        struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = in->signals, .events = POLLIN } };

        for (;;) {
                ssize_t n;

                if (poll(fds, 2, -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (fds[1].revents & POLLIN)
                        return -EINTR;
                if (!fds[0].revents)
                        continue;
                n = read(STDIN_FILENO, to, size);
                if (n >= 0)
                        return n;
                if (errno != EINTR && errno != EAGAIN)
                        return -errno;
        }
}

static int grow(struct input *in, size_t limit) {
        size_t capacity = in->capacity ? in->capacity : FIRST_CAPACITY;
        unsigned char *bytes;

        if (in->length < in->capacity)
                return 0;
        if (in->capacity && __builtin_mul_overflow(capacity, 2, &capacity))
                return -ENOMEM;
        if (capacity > limit)
                capacity = limit;
        bytes = realloc(in->bytes, capacity);
        if (!bytes)
                return -ENOMEM;
        in->bytes = bytes;
        in->capacity = capacity;
        return 0;
}

int input_collect(struct input *in, size_t limit) {
        while (in->length < limit && !in->end) {
                size_t room;
                ssize_t n;
                int r;

                r = grow(in, limit);
                if (r < 0)
                        return r;
                room = (in->capacity < limit ? in->capacity : limit) - in->length;
                n = read_some(in, in->bytes + in->length, room);
                if (n < 0)
                        return (int)n;
                in->end = n == 0;
                in->length += (size_t)n;
        }
        return 0;
}

int input_read(struct input *in, void *to, size_t size, size_t *count) {
        size_t at = in->length;

        if (at)
                memcpy(to, in->bytes, at);
        in->length = 0;
        while (at < size && !in->end) {
                ssize_t n = read_some(in, (unsigned char *)to + at, size - at);

                if (n < 0)
                        return (int)n;
                in->end = n == 0;
                at += (size_t)n;
        }
        *count = at;
        return 0;
}
