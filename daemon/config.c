#define _GNU_SOURCE
#include "daemon/config.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/options.h"
#include "proto/cleanup.h"

#define BLANKS " \t\r\n\v\f"

static const char section_options[] = "shmd";
static const char section_names[] = "names";

struct config {
        struct options *options;
        const char *path;
        FILE *file;
        char *line; /* owned */
        size_t line_size;
        unsigned n_lines;        /* so far */
        unsigned lines[OPTIONS]; /* where each option is; 0: nowhere */
        int result;
        char *text;
        size_t size;
};

static void config_deinit(struct config *c) {
        free(c->line);
        if (c->file)
                (void)fclose(c->file);
}

/* Something in the current line is wrong. Only the first such thing is told. */
static __attribute__((format(printf, 2, 3))) void wrong(struct config *c, const char *format, ...) {
        va_list args;
        int used;

        if (c->result)
                return;
        c->result = OPTIONS_E_WRONG;
        used = snprintf(c->text, c->size, "%s:%u: ", c->path, c->n_lines);
        if ((size_t)used >= c->size)
                return;
        va_start(args, format);
        (void)vsnprintf(c->text + used, c->size - (size_t)used, format, args);
        va_end(args);
}

/* ---- lines: what inih would let pass ---------------------------------------------------------------------------- */

static bool is_section(const char *name, size_t length) {
        return (length == strlen(section_options) && memcmp(name, section_options, length) == 0) ||
               (length == strlen(section_names) && memcmp(name, section_names, length) == 0);
}

/* It tells of a section only with the first key in it, and does not look behind the bracket. */
static void check_section(struct config *c, const char *line) {
        size_t length = strcspn(line + 1, "]");
        const char *rest = line + 1 + length;

        if (!*rest)
                return; /* that, it sees */
        rest += 1 + strspn(rest + 1, BLANKS);
        if (!is_section(line + 1, length))
                wrong(c, "there is no section [%.*s]: there are [%s] and [%s]", (int)length, line + 1, section_options,
                      section_names);
        else if (*rest && !strchr(";#", *rest))
                wrong(c, "behind the section's name is '%.*s': it needs a line of its own", (int)strcspn(rest, "\r\n"),
                      rest);
}

/* As fgets() for inih, which asks for one line at a time. Blanks at the beginning would make a line the rest of the one
 * before it; too long a line would be taken for two. */
static char *next_line(char *to, int size, void *data) {
        struct config *c = data;
        ssize_t n;
        char *line;

        if (c->result)
                return NULL;
        errno = 0;
        n = getline(&c->line, &c->line_size, c->file);
        if (n < 0) {
                if (!feof(c->file))
                        c->result = errno ? -errno : -EIO;
                return NULL;
        }
        c->n_lines++;
        line = c->line + strspn(c->line, BLANKS);
        if (strlen(c->line) != (size_t)n)
                wrong(c, "there is a byte 0 in this line: a configuration file is text");
        else if (strlen(line) > (size_t)size - 3)
                wrong(c, "the line has %zu bytes: it may have %d", strlen(line), size - 3);
        else if (*line == '[')
                check_section(c, line);
        if (c->result)
                return NULL;
        /* An empty line has nothing left, but is one. */
        (void)snprintf(to, (size_t)size, "%s", *line ? line : "\n");
        return to;
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static void wrong_option(struct config *c, const char *key) {
        char known[256] = "";
        size_t used = 0;

        for (enum options_index i = 0; i < OPTIONS && used < sizeof(known); i++)
                used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", options_name(i));
        wrong(c, "there is no option '%s': there are %s", key, known);
}

static void take_option(struct config *c, const char *key, const char *value) {
        char text[OPTIONS_TEXT_SIZE];
        enum options_index option = options_find(key);
        int r;

        if (option == OPTIONS) {
                wrong_option(c, key);
                return;
        }
        if (c->lines[option]) {
                wrong(c, "%s is already in line %u: it may be there once", key, c->lines[option]);
                return;
        }
        c->lines[option] = c->n_lines;
        r = options_set(c->options, option, value, text, sizeof(text));
        if (r < 0)
                c->result = r;
        else if (r)
                wrong(c, "%s", text);
}

static void take_name(struct config *c, const char *prefix, const char *who) {
        char text[OPTIONS_TEXT_SIZE];
        int r = naming_add(&c->options->naming, prefix, who, text, sizeof(text));

        if (r < 0)
                c->result = r;
        else if (r)
                wrong(c, "%s: %s", prefix, text);
}

static int take_key(void *data, const char *section, const char *key, const char *value) {
        struct config *c = data;

        if (!*section)
                wrong(c, "'%s' is in no section: it belongs below a line [%s] or [%s]", key, section_options,
                      section_names);
        else if (strcmp(section, section_names) == 0)
                take_name(c, key, value);
        else
                take_option(c, key, value);
        return 1;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static int unreadable(const char *path, int error, char *text, size_t size) {
        (void)snprintf(text, size, "the configuration file %s cannot be read: %s", path, strerror(error));
        return OPTIONS_E_WRONG;
}

static int read_file(struct config *c) {
        int line = ini_parse_stream(next_line, c, take_key, c);

        if (c->result < 0 && c->result != -ENOMEM)
                return unreadable(c->path, -c->result, c->text, c->size);
        if (line > 0 && (c->result == 0 || (unsigned)line < c->n_lines)) {
                c->result = 0;
                c->n_lines = (unsigned)line;
                wrong(c, "this is neither 'key = value' nor a [section] nor a comment, which begins with '#' or ';'");
        }
        return c->result;
}

static int read_if_there(struct options *o, const char *path, bool needed, char *text, size_t size) {
        CLEANUP(config_deinit)
        struct config c = {
                .options = o,
                .path = path,
                .file = fopen(path, "re"),
                .text = text,
                .size = size,
        };

        if (c.file)
                return read_file(&c);
        return errno == ENOENT && !needed ? 0 : unreadable(path, errno, text, size);
}

int config_read(struct options *o, const char *path, char *text, size_t size) {
        return read_if_there(o, path, true, text, size);
}

int config_read_default(struct options *o, char *text, size_t size) {
        const char *directory = getenv("CONFIGURATION_DIRECTORY");
        CLEANUP(freep) char *path = NULL;

        if (!directory || !*directory)
                directory = CONFIG_DIRECTORY;
        /* systemd separates several by colons. */
        if (asprintf(&path, "%.*s/" CONFIG_NAME, (int)strcspn(directory, ":"), directory) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        return read_if_there(o, path, false, text, size);
}
