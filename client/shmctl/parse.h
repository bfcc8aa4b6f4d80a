/* parse.h -- numbers on the command line: sizes, counts, modes. Each prints a sentence if it is not one. */
#pragma once

#include <stdint.h>

struct verb;

/**
 * parse_size() - bytes, such as 6220800, 4K or 6M
 * @out:    receives the number, at least 1
 * @verb:   for the sentence
 * @option: for the sentence, such as "--size"
 * @text:   digits, then nothing or one of K M G T, which are powers of 1024
 *
 * Return: STATUS_OK or STATUS_USAGE.
 */
int parse_size(uint64_t *out, const struct verb *verb, const char *option, const char *text);

/* A whole number from @min to @max. Return: STATUS_OK or STATUS_USAGE. */
int parse_number(uint64_t *out, const struct verb *verb, const char *option, const char *text, uint64_t min,
                 uint64_t max);

/* Permission bits in octal, @min to 777. Return: STATUS_OK or STATUS_USAGE. */
int parse_mode(uint32_t *out, const struct verb *verb, const char *option, const char *text, uint32_t min);
