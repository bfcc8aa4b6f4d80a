/*
 * way.h -- a way to get frames from a writer to its readers. The writer and the readers of the demo are the same for
 * every way: only what stands here differs.
 *
 * Functions that fail return false, NULL or -1 and put a sentence into @why, which has WAY_TEXT bytes. Nothing is
 * ever closed: the processes end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define WAY_TEXT 512
#define WAY_WAIT_MS 100 /* how long take() waits for a frame */

#define NEWS_WRITER_LEFT 0x1u
#define NEWS_WRITER_CAME 0x2u

struct frame {
        const unsigned char *picture; /* in place */
        uint64_t sequence;
        int64_t timestamp; /* of the flush: CLOCK_MONOTONIC, ns */
        uint64_t checksum; /* what the writer says it is */
        uint64_t missed;   /* frames between the one taken before and this one */
};

struct way {
        const char *name;
        bool tells; /* readers are told when a writer leaves or comes */

        /* What both ends share. @dir: for what needs a place in the file system. */
        bool (*make)(const char *dir, char *why);

        void *(*open_writer)(const char *dir, char *why);
        unsigned char *(*begin)(void *writer, char *why);
        bool (*flush)(void *writer, uint64_t checksum, char *why);

        void *(*open_reader)(const char *dir, char *why);
        /* Wait for a frame: the next one, or the newest. Return: 1; 0: none came, but perhaps @news. */
        int (*take)(void *reader, bool newest, struct frame *frame, unsigned *news, char *why);
        /* Return: false if the way itself knows that the frame was overwritten meanwhile. */
        bool (*release)(void *reader);
};

extern const struct way way_shmd;
extern const struct way way_poll;
