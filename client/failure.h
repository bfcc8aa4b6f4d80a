/* failure.h -- the sentence for people that goes with an errno. */
#pragma once

#include "proto/message.h"

struct failure {
        const char *path; /* borrowed: the daemon's socket, which most sentences name */
        char text[PROTO_TEXT_SIZE];
};

/* Set the sentence. Return: @error. */
int failure_set(struct failure *failure, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Set the sentence if @name is no segment's name. Return: 0 or -EINVAL. */
int failure_check_name(struct failure *failure, const char *name);
