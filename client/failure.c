#include "client/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int failure_set(struct failure *failure, int error, const char *format, ...) {
        va_list args;

        va_start(args, format);
        (void)vsnprintf(failure->text, sizeof(failure->text), format, args);
        va_end(args);
        return error;
}

int failure_check_name(struct failure *failure, const char *name) {
        return name_explain(failure->text, sizeof(failure->text), name) ? -EINVAL : 0;
}
