/* report.c -- error sentences. */
#define _GNU_SOURCE
#include "client/shmctl/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/shmctl/verb.h"

/* One write() a sentence, so that those of several processes do not mix. */
__attribute__((format(printf, 1, 0))) static void print(const char *format, va_list args, const char *verb,
                                                        const char *hint) {
        CLEANUP(freep) char *sentence = NULL;

        if (vasprintf(&sentence, format, args) < 0)
                sentence = NULL;
        (void)fprintf(stderr, "shmctl: %s%s%s%s\n", sentence ? sentence : "there is not enough memory",
                      hint ? "; see shmctl " : "", verb ? verb : "", hint ? hint : "");
}

int report(const char *format, ...) {
        va_list args;

        va_start(args, format);
        print(format, args, NULL, NULL);
        va_end(args);
        return STATUS_FAILED;
}

int report_usage(const struct verb *verb, const char *format, ...) {
        va_list args;

        va_start(args, format);
        print(format, args, verb ? verb->name : NULL, verb ? " --help" : "--help");
        va_end(args);
        return STATUS_USAGE;
}

int report_memory(void) { return report("there is not enough memory"); }

int report_handle(const char *name, int error) {
        switch (-error) {
        case EIDRM:
                return report("the segment %s was removed meanwhile", name);
        case ENOTCONN:
                return report("the daemon is gone, and the segment %s cannot be had without it", name);
        case EPROTO:
                return report("the memory of %s contradicts itself: one of its writers is broken; make it anew", name);
        case ENOMEM:
                return report_memory();
        default:
                return report("the segment %s cannot be used: %s", name, strerror(-error));
        }
}
