/*
 * input.h -- standard input, cut into frames.
 *
 * Bytes are collected ahead, up to a limit that the caller sets, or read straight to where they belong. Nothing is read
 * beyond what was asked for: what follows belongs to whoever shares the descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
        unsigned char *bytes; /* collected ahead; owned */
        size_t length;
        size_t capacity;
        int signals; /* a signalfd that ends waiting; owned; -1: none */
        bool end;    /* there is no more */
};

#define INPUT_INIT \
        (struct input) { .signals = -1 }

void input_deinit(struct input *in);

/* How many bytes there are, if the input is a file that tells; 0: unknown, or none. */
uint64_t input_size(void);

/**
 * input_collect() - read ahead until there are @limit bytes, or no more
 * @in:    the input
 * @limit: bytes, at most
 *
 * Return: 0 or a negative errno (-ENOMEM: they do not fit the memory).
 */
int input_collect(struct input *in, size_t limit);

/**
 * input_read() - move what was collected, and read the rest straight to where it belongs
 * @in:    the input
 * @to:    receives it
 * @size:  bytes wanted, at least as many as were collected
 * @count: receives how many there were: less than @size only at the end
 *
 * Return: 0 or a negative errno (-EINTR: a signal that is blocked came).
 */
int input_read(struct input *in, void *to, size_t size, size_t *count);
