/* reader.c -- prints every frame, until the writer leaves. */
#include <inttypes.h>
#include <shmd.h>
#include <stdio.h>

int main(void) {
        struct shmd *conn;
        struct shmd_reader *r;
        struct shmd_frame frame;
        int events = 0;

        if (shmd_connect(&conn, NULL) < 0 || shmd_reader_open(&r, conn, "hello", SHMD_WAIT, SHMD_FOREVER) < 0) {
                fprintf(stderr, "reader: %s\n", shmd_error(conn));
                return 1;
        }
        while (events >= 0 && !(events & SHMD_EVENT_WRITER_LEFT)) {
                events = shmd_reader_wait(r, SHMD_FOREVER);
                while (shmd_reader_next(r, &frame) == 0) {
                        printf("%.*s (%" PRIu64 " missed)\n", (int)frame.length, (const char *)frame.data,
                               frame.missed);
                        shmd_reader_release(r);
                }
        }
        shmd_reader_close(r);
        shmd_close(conn);
        return 0;
}
