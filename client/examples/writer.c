/* writer.c -- publishes ten frames, one each 100 ms, once there is a reader. */
#include <shmd.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
        struct shmd_options options = { .slot_size = 64, .flags = SHMD_EPHEMERAL };
        struct shmd *conn;
        struct shmd_writer *w;
        void *slot;
        size_t size;

        if (shmd_connect(&conn, NULL) < 0 || shmd_create(conn, "hello", &options) < 0 ||
            shmd_writer_open(&w, conn, "hello", 0, SHMD_FOREVER) < 0) {
                fprintf(stderr, "writer: %s\n", shmd_error(conn));
                return 1;
        }
        shmd_writer_wait_reader(w, SHMD_FOREVER);
        for (int i = 1; i <= 10 && shmd_writer_begin(w, &slot, &size, SHMD_FOREVER) == 0; i++) {
                int length = snprintf(slot, size, "frame number %d", i);
                shmd_writer_flush(w, (size_t)length, 0);
                usleep(100000);
        }
        shmd_writer_close(w);
        shmd_close(conn);
        return 0;
}
