/* command.h -- the daemon's command line, and with it the configuration file that it names. */
#pragma once

#include <stddef.h>

struct options;

/**
 * command_parse() - find out what the daemon is to do
 * @o:    receives it; options_deinit() it, whatever is returned
 * @text: receives a sentence if something is wrong
 * @size: bytes of @text
 *
 * What the command line says stands above what the file says. Nothing else is changed by it, so the same words may be
 * looked at again later, when the file has become another one; users and groups are looked up meanwhile.
 *
 * Return: 0, OPTIONS_E_*, or a negative errno.
 */
int command_parse(struct options *o, int argc, char **argv, char *text, size_t size);
