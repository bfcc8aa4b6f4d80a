/* way_shmd.c -- frames through a segment of shmd. */
#include <errno.h>
#include <shmd.h>
#include <stdio.h>
#include <string.h>

#include "client/examples/demo/broker.h"
#include "client/examples/demo/picture.h"
#include "client/examples/demo/way.h"

#define SEGMENT "demo/camera"
#define SLOTS 4 /* two readers hold one each, one is the newest, one is being written */

static struct shmd *join(const char *dir, char *why) {
        char path[BROKER_PATH];
        struct shmd *conn;

        if (shmd_connect(&conn, broker_socket(path, dir)) == 0)
                return conn;
        (void)snprintf(why, WAY_TEXT, "%s", shmd_error(conn));
        (void)shmd_close(conn);
        return NULL;
}

static bool make(const char *dir, char *why) {
        const struct shmd_options options = {
                .slot_size = PICTURE_SIZE,
                .n_slots = SLOTS,
                .flags = SHMD_EXCLUSIVE,
                .type = PICTURE_TYPE,
        };
        struct shmd *conn = join(dir, why);
        int r;

        if (!conn)
                return false;
        r = shmd_create(conn, SEGMENT, &options);
        if (r < 0)
                (void)snprintf(why, WAY_TEXT, "%s", shmd_error(conn));
        (void)shmd_close(conn);
        return r == 0;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void *open_writer(const char *dir, char *why) {
        struct shmd *conn = join(dir, why);
        struct shmd_writer *w = NULL;

        if (conn && shmd_writer_open(&w, conn, SEGMENT, 0, SHMD_FOREVER) < 0)
                (void)snprintf(why, WAY_TEXT, "%s", shmd_error(conn));
        (void)shmd_close(conn);
        return w;
}

static unsigned char *begin(void *writer, char *why) {
        void *picture;
        int r = shmd_writer_begin(writer, &picture, NULL, SHMD_FOREVER);

        if (r == 0)
                return picture;
        (void)snprintf(why, WAY_TEXT, "shmd_writer_begin: %s", strerror(-r));
        return NULL;
}

static bool flush(void *writer, uint64_t checksum, char *why) {
        int r = shmd_writer_flush(writer, PICTURE_SIZE, checksum);

        if (r < 0)
                (void)snprintf(why, WAY_TEXT, "shmd_writer_flush: %s", strerror(-r));
        return r == 0;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void *open_reader(const char *dir, char *why) {
        struct shmd *conn = join(dir, why);
        struct shmd_reader *r = NULL;

        if (conn && shmd_reader_open(&r, conn, SEGMENT, 0, SHMD_FOREVER) < 0)
                (void)snprintf(why, WAY_TEXT, "%s", shmd_error(conn));
        (void)shmd_close(conn);
        return r;
}

static int take(void *reader, bool newest, struct frame *frame, unsigned *news, char *why) {
        struct shmd_frame f;
        int r = shmd_reader_wait(reader, WAY_WAIT_MS);

        *news = 0;
        if (r > 0) {
                *news |= r & SHMD_EVENT_WRITER_LEFT ? NEWS_WRITER_LEFT : 0;
                *news |= r & SHMD_EVENT_WRITER_CAME ? NEWS_WRITER_CAME : 0;
                if (r & (SHMD_EVENT_REMOVED | SHMD_EVENT_OFFLINE)) {
                        (void)snprintf(why, WAY_TEXT, "the segment is gone, or the daemon");
                        return -1;
                }
                if (!(r & SHMD_EVENT_FRAME))
                        return 0;
                r = newest ? shmd_reader_latest(reader, &f) : shmd_reader_next(reader, &f);
                if (r == 0) {
                        *frame = (struct frame){
                                .picture = f.data,
                                .sequence = f.sequence,
                                .timestamp = (int64_t)f.timestamp,
                                .checksum = f.tag,
                                .missed = f.missed,
                        };
                        return 1;
                }
        }
        if (r == 0 || r == -EAGAIN || r == -EINTR)
                return 0;
        (void)snprintf(why, WAY_TEXT, "waiting for a frame: %s", strerror(-r));
        return -1;
}

static bool release(void *reader) { return shmd_reader_release(reader) == 0; }

const struct way way_shmd = {
        .name = "shmd",
        .tells = true,
        .make = make,
        .open_writer = open_writer,
        .begin = begin,
        .flush = flush,
        .open_reader = open_reader,
        .take = take,
        .release = release,
};
