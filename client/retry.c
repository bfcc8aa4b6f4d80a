#include "client/retry.h"

#include <errno.h>
#include <time.h>

#include "client/deadline.h"
#include "client/shmd.h"

#define MS INT64_C(1000000)
#define PAUSE_MAX (50 * MS)
#define LOSSES_MAX 50 /* a daemon that dies of the request is not to die of it for ever */

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

bool retry_again(struct retry *r, int error, int64_t deadline) {
        int64_t now = deadline_now();
        struct timespec pause = { 0 };

        if (error != -ENOTCONN && !(r->lost_at && (error == -ECONNREFUSED || error == -ENOENT)))
                return false;
        /* What ends was there: an instance had taken the connection. */
        if (error == -ENOTCONN) {
                r->lost_at = now;
                r->losses++;
        }
        if (!r->pause)
                r->pause = MS;
        if (r->losses > LOSSES_MAX || now >= smaller(r->lost_at + SHMD_AWAY_MS * MS, deadline))
                return false;
        pause.tv_nsec = r->pause;
        (void)nanosleep(&pause, NULL);
        r->pause = smaller(r->pause * 2, PAUSE_MAX);
        return true;
}
