/* role.h -- what the writer and the readers do, whatever the way. They are processes: these functions do not return. */
#pragma once

#include "client/examples/demo/board.h"
#include "client/examples/demo/way.h"

#define ROLE_RATE 60 /* frames a second */

/* Draw and flush ROLE_RATE frames a second, until killed. */
_Noreturn void role_write(const struct way *way, const char *dir, struct board *board);

/* Take frames, check each one against its checksum, and write down what is seen, until killed. @which: READER_QUICK
 * takes every frame in order; READER_SLOW works on each one for some 80 ms and then takes the newest. */
_Noreturn void role_read(const struct way *way, const char *dir, struct board *board, unsigned which);
