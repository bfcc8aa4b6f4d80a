/*
 * config.h -- the configuration file: 'key = value' lines in sections.
 *
 * [shmd] has options, [names] rules for names (naming.h). The first thing that is wrong ends it, and is told with file and line.
 */
#pragma once

#include <stddef.h>

struct options;

#define CONFIG_NAME "shmd.conf"
#define CONFIG_DIRECTORY SHMD_SYSCONFDIR "/shmd"

/**
 * config_read() - set what a file says
 * @o:    receives it; half of it, if something is wrong
 * @path: the file
 * @text: receives a sentence if something is wrong
 * @size: bytes of @text
 *
 * Return: 0; OPTIONS_E_WRONG, also for a file that cannot be read; or a negative errno.
 */
int config_read(struct options *o, const char *path, char *text, size_t size);

/* The same with CONFIG_NAME in the directory $CONFIGURATION_DIRECTORY or CONFIG_DIRECTORY; it need not be there. */
int config_read_default(struct options *o, char *text, size_t size);
