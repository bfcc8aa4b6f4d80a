/*
 * log_limit.h -- how many lines a user may cause, and all of them together.
 *
 * Each has a bucket of lines that fills slowly. When it is empty, that is said once, and nothing more is written until
 * it is half full again: so who fills the log for ever gets little more than what the bucket gains. Users are remembered
 * beyond their connections, the latest ones.
 *
 * It knows neither what is written nor where, nor the clock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LOG_LIMIT_USERS 256
#define LOG_LIMIT_BURST 100 /* lines of one user at once, */
#define LOG_LIMIT_RATE 1    /* and each second */
#define LOG_LIMIT_BURST_ALL 2000
#define LOG_LIMIT_RATE_ALL 20

enum {
        LOG_LIMIT_E_LAST = 1, /* no: and it is to be said that lines are left out */
        LOG_LIMIT_E_OUT,      /* no */
};

struct log_bucket {
        uid_t uid;
        bool used;
        bool empty;        /* since then it is silent */
        uint64_t level;    /* thousandths of a line */
        uint64_t at;       /* when that was so, ms */
        uint64_t left_out; /* since it is silent */
};

struct log_limit {
        struct log_bucket all;
        struct log_bucket users[LOG_LIMIT_USERS];
};

/**
 * log_limit_take() - may a line be written?
 * @l:        zeroed at first
 * @uid:      whose doing it is
 * @now:      ms, of a clock that does not go back
 * @left_out: receives how many lines of that user were left out before this one, 0 unless it is the first one again
 *
 * Return: 0: yes; LOG_LIMIT_E_*.
 */
int log_limit_take(struct log_limit *l, uid_t uid, uint64_t now, uint64_t *left_out);
