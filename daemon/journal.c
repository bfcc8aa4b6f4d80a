#define _GNU_SOURCE
#include "daemon/journal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER_SIZE (1 << 20) /* for a moment in which the journal is busy */

static const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };

/* systemd says in $JOURNAL_STREAM which file the journal's end of stderr is; a redirection makes it another one. */
bool journal_is_stderr(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        uintmax_t device;
        uintmax_t inode;
        struct stat st;

        /* NOLINTNEXTLINE(cert-err34-c): a number out of range is no file's */
        return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == device && st.st_ino == inode;
}

int journal_open(void) {
        int size = BUFFER_SIZE;
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
        return fd;
}

void journal_add(struct journal_entry *entry, const char *field, const char *format, ...) {
        size_t room = sizeof(entry->text) - entry->size;
        char *at = entry->text + entry->size;
        va_list args;
        int name;
        int value;

        name = snprintf(at, room, "%s=", field);
        if ((size_t)name + 1 >= room)
                goto cut;
        va_start(args, format);
        value = vsnprintf(at + name, room - (size_t)name, format, args);
        va_end(args);
        if (value < 0 || (size_t)(name + value) + 1 >= room)
                goto cut;
        at[name + value] = '\n';
        entry->size += (size_t)(name + value) + 1;
        return;
cut:
        entry->cut = true;
}

/* Not connected: the journal may be started anew. */
int journal_send(int fd, const struct journal_entry *entry) {
        return sendto(fd, entry->text, entry->size, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof(address)) <
                               0
                       ? -errno
                       : 0;
}
