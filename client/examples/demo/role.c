#define _GNU_SOURCE
#include "client/examples/demo/role.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/examples/demo/picture.h"

#define INTERVAL (INT64_C(1000000000) / ROLE_RATE)
#define SLOW_STEPS 15
#define SLOW_PAUSE_MS 5

static _Noreturn void give_up(struct board *board, const char *why) {
        if (!atomic_flag_test_and_set(&board->failing))
                (void)snprintf(board->failure, sizeof(board->failure), "%s", why);
        _exit(1);
}

static void sleep_until(int64_t when) {
        const struct timespec ts = { .tv_sec = when / 1000000000, .tv_nsec = when % 1000000000 };

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
                ;
}

static void draw(unsigned char *picture, struct board *board) {
        uint64_t n = atomic_fetch_add(&board->number, 1) + 1;

        for (unsigned y = 0; y < PICTURE_HEIGHT; y++) {
                picture_draw(picture + y * PICTURE_ROW, y, n);
                if (y == PICTURE_HEIGHT / 2 && atomic_load(&board->halt)) {
                        atomic_store(&board->halted, true);
                        for (;;)
                                (void)pause(); /* the blow comes here */
                }
        }
}

_Noreturn void role_write(const struct way *way, const char *dir, struct board *board) {
        char why[WAY_TEXT] = "";
        void *writer = way->open_writer(dir, why);
        int64_t due = board_now();

        if (!writer)
                give_up(board, why);
        for (;;) {
                unsigned char *picture = way->begin(writer, why);

                if (!picture)
                        give_up(board, why);
                draw(picture, board);
                if (!way->flush(writer, picture_checksum(picture), why))
                        give_up(board, why);
                due += INTERVAL;
                if (due < board_now())
                        due = board_now(); /* what could not be kept up is not made up for */
                sleep_until(due);
        }
}

static void look_at(const struct frame *frame, const struct way *way, void *reader, struct reader_figures *figures,
                    unsigned which) {
        uint64_t sum;

        board_add(figures, board_now() - frame->timestamp);
        atomic_fetch_add(&figures->missed, frame->missed);
        if (which == READER_SLOW)
                sum = picture_checksum_slowly(frame->picture, SLOW_STEPS, SLOW_PAUSE_MS);
        else
                sum = picture_checksum(frame->picture);
        if (!way->release(reader) || sum != frame->checksum)
                atomic_fetch_add(&figures->torn, 1);
}

_Noreturn void role_read(const struct way *way, const char *dir, struct board *board, unsigned which) {
        struct reader_figures *figures = &board->reader[which];
        char why[WAY_TEXT] = "";
        void *reader = way->open_reader(dir, why);

        if (!reader)
                give_up(board, why);
        for (;;) {
                struct frame frame;
                unsigned news;
                int r = way->take(reader, which == READER_SLOW, &frame, &news, why);

                if (r < 0)
                        give_up(board, why);
                if (news & NEWS_WRITER_LEFT)
                        atomic_store(&figures->left_at, board_now());
                if (news & NEWS_WRITER_CAME)
                        atomic_store(&figures->came_at, board_now());
                if (r > 0)
                        look_at(&frame, way, reader, figures, which);
        }
}
