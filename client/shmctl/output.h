/*
 * output.h -- standard output, without a buffer.
 *
 * Every byte that shmctl prints there goes through it, so that a full disk is never missed. A reader that went away is
 * no error worth a sentence.
 */
#pragma once

#include <stddef.h>

/* Write all of it. Return: 0 or a negative errno. */
int output_write(const void *bytes, size_t size);

/* Print the sentence that belongs to a failed output_write(); none for -EPIPE. Return: STATUS_FAILED. */
int output_report(int error);

/* Both for a text. Return: STATUS_OK or STATUS_FAILED. */
int output_text(const char *text);

/* Close it: some file systems tell only now that they are full. Return: STATUS_OK or STATUS_FAILED. */
int output_close(void);
