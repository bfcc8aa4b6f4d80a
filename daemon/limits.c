#include "daemon/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/log.h"
#include "daemon/options.h"

#define START_RESERVE 64 /* descriptors that systemd needs for a start besides */

/* UINT64_MAX where it says nothing. */
static uint64_t number_in(const char *variable) {
        const char *text = getenv(variable);
        unsigned long long n;
        char *end;

        if (!text || !*text)
                return UINT64_MAX;
        errno = 0;
        n = strtoull(text, &end, 10);
        if (errno || *end || text[0] < '0' || text[0] > '9') {
                log_event(LOG_WARNING, LOG_EVENT_LIMIT,
                          "$%s is '%s': it must be a number; nothing is stored over a restart", variable, text);
                return 0;
        }
        return n;
}

uint64_t limits_store(void) {
        uint64_t ours = number_in("SHMD_STORE_MAX");
        uint64_t max = number_in("FDSTORE");
        struct rlimit limit;
        uint64_t fit;

        if (ours < max)
                max = ours;
        if (max == UINT64_MAX || getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return 0;
        /* systemd moves them to their places by way of free numbers behind them. */
        fit = limit.rlim_cur > START_RESERVE ? (limit.rlim_cur - START_RESERVE) / 2 : 0;
        if (max <= fit)
                return max;
        log_event(LOG_WARNING, LOG_EVENT_LIMIT,
                  "the soft limit of descriptors is %ju: to hand over the %" PRIu64
                  " that may be stored, systemd needs "
                  "%" PRIu64 " (LimitNOFILE=); no more than %" PRIu64 " are stored",
                  (uintmax_t)limit.rlim_cur, max, 2 * max + START_RESERVE, fit);
        return fit;
}

/* Descriptors under way count against the soft limit, too. */
void limits_raise(const struct options *options) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_event(LOG_WARNING, LOG_EVENT_LIMIT, "cannot raise the limit of descriptors: %s", strerror(errno));
        if (limit.rlim_max < options->max_segments + options->max_clients)
                log_event(LOG_NOTICE, LOG_EVENT_LIMIT,
                          "the limit of descriptors is %ju: too few for %" PRIu64 " segments and %" PRIu64
                          " clients at once (LimitNOFILE=, ulimit -n)",
                          (uintmax_t)limit.rlim_max, options->max_segments, options->max_clients);
}
