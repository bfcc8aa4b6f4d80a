/* output.c -- standard output. */
#include "client/shmctl/output.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"

int output_write(const void *bytes, size_t size) {
        const char *at = bytes;

        while (size > 0) {
                ssize_t n = write(STDOUT_FILENO, at, size);

                if (n >= 0) {
                        at += n;
                        size -= (size_t)n;
                } else if (errno == EAGAIN) {
                        /* Whoever shares the open file made it non-blocking. */
                        (void)poll(&(struct pollfd){ .fd = STDOUT_FILENO, .events = POLLOUT }, 1, -1);
                } else if (errno != EINTR) {
                        return -errno;
                }
        }
        return 0;
}

int output_report(int error) {
        if (error == -EPIPE)
                return STATUS_FAILED;
        return report("standard output cannot be written: %s", strerror(-error));
}

int output_text(const char *text) {
        int r = output_write(text, strlen(text));

        return r < 0 ? output_report(r) : STATUS_OK;
}

int output_close(void) {
        if (close(STDOUT_FILENO) < 0 && errno != EINTR && errno != EBADF)
                return output_report(-errno);
        return STATUS_OK;
}
