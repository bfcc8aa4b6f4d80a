#include "daemon/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "daemon/log.h"
#include "daemon/quota.h"

#define START_RESERVE 64 /* descriptors that systemd needs for a start besides */
#define FDS_HANDLE 5     /* its watch, its description, the two of a group, the room bell */
#define FDS_RESERVE 256  /* listeners and the like; those of a reply on its way out */
#define FDS_MAX (UINT64_C(1) << 30)

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
uint64_t limits_raise(void) {
        struct rlimit limit = { 0 };

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
                log_event(LOG_WARNING, LOG_EVENT_LIMIT, "cannot raise the limit of descriptors: %s", strerror(errno));
                (void)getrlimit(RLIMIT_NOFILE, &limit);
        }
        return limit.rlim_cur < FDS_MAX ? limit.rlim_cur : FDS_MAX;
}

void limits_fit(struct quota_limit *segments, struct quota_limit *clients, struct quota_limit *handles, uint64_t fds) {
        uint64_t room = fds - (fds / 4 < FDS_RESERVE ? fds / 4 : FDS_RESERVE);
        uint64_t most = room / 4 * 3; /* the rest is for handles */
        uint64_t for_segments = segments->all < most ? segments->all : most;
        uint64_t for_clients = clients->all < most ? clients->all : most;

        if (for_segments + for_clients > most) {
                if (for_segments <= most / 2)
                        for_clients = most - for_segments;
                else if (for_clients <= most / 2)
                        for_segments = most - for_clients;
                else
                        for_segments = for_clients = most / 2;
        }
        if (for_segments < segments->all || for_clients < clients->all)
                log_event(LOG_NOTICE, LOG_EVENT_LIMIT,
                          "the limit of descriptors is %" PRIu64 " (LimitNOFILE=, ulimit -n): it suffices for %" PRIu64
                          " segments and %" PRIu64 " clients",
                          fds, for_segments, for_clients);
        segments->all = for_segments;
        clients->all = for_clients;
        handles->all = (room - for_segments - for_clients) / FDS_HANDLE;
        if (handles->all > for_clients)
                handles->all = for_clients;
}
