/*
 * config.h -- the configuration file: 'key = value' lines in sections.
 *
 * [shmd] has options, [names] rules for names (naming.h). The first thing that is wrong ends it, and is told with file and line.
 */
#pragma once

#include <stddef.h>

struct options;

#define CONFIG_PATH SHMD_SYSCONFDIR "/shmd/shmd.conf"

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

/* The same with the file at CONFIG_PATH, which need not be there. */
int config_read_default(struct options *o, char *text, size_t size);
