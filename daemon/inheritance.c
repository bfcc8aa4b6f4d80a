#define _GNU_SOURCE
#include "daemon/inheritance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/cleanup.h"

#define LETTERS "sdrtb"

/* A letter and a decimal number, as it would be written. */
static bool parse(struct heirloom *item, const char *name) {
        unsigned long long number;
        char *end;

        if (!name[0] || !strchr(LETTERS, name[0]) || name[1] < '0' || name[1] > '9')
                return false;
        errno = 0;
        number = strtoull(name + 1, &end, 10);
        if (errno || *end)
                return false;
        item->letter = name[0];
        item->number = number;
        return true;
}

bool inheritance_is_name(const char *name) {
        struct heirloom item;

        return parse(&item, name);
}

int inheritance_add(struct inheritance *in, const char *name, int fd) {
        CLEANUP(fd_closep) int own = fd;
        struct heirloom item;

        if (!parse(&item, name))
                return -EINVAL;
        if (in->n == in->size) {
                size_t size = in->size ? in->size * 2 : 64;
                struct heirloom *items = reallocarray(in->items, size, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                in->items = items;
                in->size = size;
        }
        item.fd = STEAL_FD(own);
        in->items[in->n++] = item;
        return 0;
}

static int compare(const void *a, const void *b) {
        const struct heirloom *x = a;
        const struct heirloom *y = b;

        if (x->letter != y->letter)
                return x->letter < y->letter ? -1 : 1;
        return (x->number > y->number) - (x->number < y->number);
}

void inheritance_sort(struct inheritance *in) {
        if (in->n)
                qsort(in->items, in->n, sizeof(*in->items), compare);
}

int inheritance_take(struct inheritance *in, char letter, uint64_t number) {
        struct heirloom key = { .letter = letter, .number = number };
        struct heirloom *item = in->n ? bsearch(&key, in->items, in->n, sizeof(key), compare) : NULL;

        return item ? STEAL_FD(item->fd) : -1;
}

const struct heirloom *inheritance_last(const struct inheritance *in, char letter) {
        for (size_t i = in->n; i-- > 0;)
                if (in->items[i].letter == letter && in->items[i].fd >= 0)
                        return &in->items[i];
        return NULL;
}

void inheritance_deinit(struct inheritance *in) {
        for (size_t i = 0; i < in->n; i++)
                fd_close(in->items[i].fd);
        free(in->items);
        *in = (struct inheritance){ 0 };
}

bool inheritance_is_memfd(int fd, uint64_t size, uint64_t inode) {
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600 &&
               (geteuid() == 0 || st.st_uid == geteuid()) && (uint64_t)st.st_size == size && st.st_ino == inode &&
               (fcntl(fd, F_GET_SEALS) & (F_SEAL_GROW | F_SEAL_SHRINK)) == (F_SEAL_GROW | F_SEAL_SHRINK) &&
               (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

bool inheritance_is_bell(int fd) {
        static const char is[] = "anon_inode:[eventfd]";
        char path[32];
        char target[sizeof(is)];
        ssize_t n;

        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof(target));
        return n == (ssize_t)sizeof(is) - 1 && memcmp(target, is, sizeof(is) - 1) == 0;
}
