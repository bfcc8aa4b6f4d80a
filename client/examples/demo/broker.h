/* broker.h -- a daemon of the demo's own: the shmd that lies beside the demo's program, with a socket of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "client/examples/demo/crew.h"

#define BROKER_PATH 128

/* Path of its socket in @dir, written to @path. Returns @path. */
const char *broker_socket(char path[static BROKER_PATH], const char *dir);

/* Start it. What it says goes to a file in @dir. Return: its pid, or -1, and @why (@size bytes) has the sentence. */
pid_t broker_start(struct crew *crew, const char *dir, char *why, size_t size);

/* Does it answer? */
bool broker_answers(const char *dir);

/* Copy what it said to @out. */
void broker_quote(const char *dir, FILE *out);
