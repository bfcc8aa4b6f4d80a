/* column.c -- what there is to tell about a segment. */
#define _GNU_SOURCE
#include "client/shmctl/column.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "client/shmctl/output.h"
#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"

#define NS_PER_S UINT64_C(1000000000)

struct column {
        const char *name;
        int json;                                                /* SCOLS_JSON_* */
        int flags;                                               /* SCOLS_FL_* */
        char *(*text)(const struct shmd_info *info, bool exact); /* allocated; NULL: out of memory; "": nothing */
};

static char *format(const char *text, ...) __attribute__((format(printf, 1, 2)));

static char *format(const char *text, ...) {
        va_list args;
        char *s;

        va_start(args, text);
        if (vasprintf(&s, text, args) < 0)
                s = NULL;
        va_end(args);
        return s;
}

/* With one decimal while that tells something: 512, 1K, 5.9M, 12G. */
static char *size_text(uint64_t n, bool exact) {
        static const char suffixes[] = "KMGTPE";
        unsigned shift = 10, tenths;

        if (exact || n < 1024)
                return format("%" PRIu64, n);
        while (n >> shift >= 1024)
                shift += 10;
        tenths = (unsigned)(((n >> (shift - 10) & 1023) * 10 + 512) / 1024);
        n >>= shift;
        if (tenths == 10 || n >= 10) {
                n += tenths >= 5;
                tenths = 0;
        }
        if (n == 1024 && suffixes[shift / 10]) {
                n = 1;
                shift += 10;
        }
        if (tenths)
                return format("%" PRIu64 ".%u%c", n, tenths, suffixes[shift / 10 - 1]);
        return format("%" PRIu64 "%c", n, suffixes[shift / 10 - 1]);
}

static uint64_t since(uint64_t timestamp) {
        struct timespec now;
        uint64_t ns;

        if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
                return 0;
        ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
        return ns > timestamp ? ns - timestamp : 0;
}

static char *age_text(const struct shmd_info *info, bool exact) {
        uint64_t ns;

        if (!info->sequence)
                return format("%s", "");
        ns = since(info->timestamp);
        if (exact)
                return format("%" PRIu64 ".%09" PRIu64, ns / NS_PER_S, ns % NS_PER_S);
        return format("%" PRIu64 ".%" PRIu64, ns / NS_PER_S, ns % NS_PER_S / (NS_PER_S / 10));
}

static char *created_text(const struct shmd_info *info, bool exact) {
        time_t seconds = (time_t)(info->created / NS_PER_S);
        struct tm tm;
        char text[64];
        size_t n;

        (void)exact;
        if (!localtime_r(&seconds, &tm))
                return format("%s", "");
        n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &tm);
        if (n < 2)
                return format("%s", "");
        /* RFC 3339 wants a colon in the zone. */
        return format("%.*s:%s", (int)(n - 2), text, text + n - 2);
}

static char *owner_text(const struct shmd_info *info, bool exact) {
        const struct passwd *user = getpwuid(info->uid);

        (void)exact;
        return user ? format("%s", user->pw_name) : format("%" PRIu32, info->uid);
}

static char *group_text(const struct shmd_info *info, bool exact) {
        const struct group *group = getgrgid(info->gid);

        (void)exact;
        return group ? format("%s", group->gr_name) : format("%" PRIu32, info->gid);
}

static char *policy_text(const struct shmd_info *info, bool exact) {
        (void)exact;
        return info->policy == SHMD_BLOCK ? format("block") : format("overwrite");
}

static char *flags_text(const struct shmd_info *info, bool exact) {
        static const struct {
                uint32_t flag;
                const char *name;
        } flags[] = { { SHMD_EPHEMERAL, "ephemeral" }, { SHMD_SPARSE, "sparse" }, { SHMD_HUGE, "huge" } };
        char text[64] = "";

        (void)exact;
        for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
                if (!(info->flags & flags[i].flag))
                        continue;
                (void)strcat(text, *text ? "," : "");
                (void)strcat(text, flags[i].name);
        }
        return format("%s", text);
}

#define TEXT(column, ...)                                                      \
        static char *column##_text(const struct shmd_info *info, bool exact) { \
                (void)exact;                                                   \
                return __VA_ARGS__;                                            \
        }

TEXT(name, format("%s", info->name))
TEXT(slot_size, size_text(info->slot_size, exact))
TEXT(slots, format("%" PRIu32, info->n_slots))
TEXT(frames, format("%" PRIu64, info->sequence))
TEXT(writers, format("%" PRIu32, info->writers))
TEXT(readers, format("%" PRIu32, info->readers))
TEXT(holds, format("%" PRIu32, info->foreign_holds))
TEXT(mode, format("%04" PRIo32, info->mode))
TEXT(bytes, size_text(info->bytes, exact))
TEXT(allocated, size_text(info->allocated, exact))
TEXT(id, format("%" PRIu64, info->id))
TEXT(type, format("%s", info->type))

static const struct column all[] = {
        { "NAME", SCOLS_JSON_STRING, 0, name_text },
        { "SIZE", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, slot_size_text },
        { "SLOTS", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, slots_text },
        { "FRAMES", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, frames_text },
        { "AGE", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, age_text },
        { "WRITERS", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, writers_text },
        { "READERS", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, readers_text },
        { "OWNER", SCOLS_JSON_STRING, 0, owner_text },
        { "GROUP", SCOLS_JSON_STRING, 0, group_text },
        { "MODE", SCOLS_JSON_STRING, 0, mode_text },
        { "POLICY", SCOLS_JSON_STRING, 0, policy_text },
        { "HOLDS", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, holds_text },
        { "FLAGS", SCOLS_JSON_STRING, 0, flags_text },
        { "BYTES", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, bytes_text },
        { "ALLOCATED", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, allocated_text },
        { "CREATED", SCOLS_JSON_STRING, 0, created_text },
        { "ID", SCOLS_JSON_NUMBER, SCOLS_FL_RIGHT, id_text },
        { "TYPE", SCOLS_JSON_STRING, 0, type_text },
};

#define N_ALL (sizeof(all) / sizeof(all[0]))

void columns_deinit(struct columns *c) {
        if (c->table)
                scols_unref_table(c->table);
        c->table = NULL;
}

int columns_choose(struct columns *c, const struct verb *verb, const char *text) {
        if (*text == '+')
                text++;
        else
                c->n = 0;
        for (;;) {
                size_t length = strcspn(text, ","), i;

                for (i = 0; i < N_ALL; i++)
                        if (strlen(all[i].name) == length && !strncasecmp(all[i].name, text, length))
                                break;
                if (i == N_ALL)
                        return report_usage(verb, "there is no column %.*s, only " COLUMN_ALL, (int)length, text);
                if (c->n == COLUMN_MAX)
                        return report_usage(verb, "these are too many columns: %d at most", COLUMN_MAX);
                c->list[c->n++] = &all[i];
                text += length;
                if (!*text++)
                        return STATUS_OK;
        }
}

/* Bytes of the UTF-8 character that @s begins with; 0: it is none (too long a form, a surrogate, beyond U+10FFFF). */
static size_t utf8_length(const unsigned char *s) {
        size_t n = *s < 0x80 ? 1 : *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;

        for (size_t i = 1; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) || (*s == 0xf0 && s[1] < 0x90) ||
            (*s == 0xf4 && s[1] > 0x8f))
                return 0;
        return n;
}

/* The text with \xff for what would spoil the form: in JSON what is not UTF-8 (the rest is escaped by the library),
 * in lines what a terminal would act on. Tables escape by themselves. */
static char *escape(const char *text, enum column_form form) {
        char *out = malloc(4 * strlen(text) + 1), *at = out;

        if (!out)
                return NULL;
        for (const unsigned char *s = (const unsigned char *)text; *s;) {
                size_t n = utf8_length(s);

                if (n == 0 || (form == COLUMN_LINES && iscntrl(*s))) {
                        at += sprintf(at, "\\x%02x", *s++);
                        continue;
                }
                at = mempcpy(at, s, n);
                s += n;
        }
        *at = '\0';
        return out;
}

static int table_init(struct columns *c) {
        if (c->table)
                return 0;
        c->table = scols_new_table();
        if (!c->table)
                return -ENOMEM;
        if (scols_table_set_name(c->table, "segments") < 0 ||
            scols_table_enable_json(c->table, c->form == COLUMN_JSON) < 0 ||
            scols_table_enable_raw(c->table, c->form == COLUMN_RAW) < 0 ||
            scols_table_enable_noheadings(c->table, !c->headings) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < c->n; i++) {
                struct libscols_column *column =
                        scols_table_new_column(c->table, c->list[i]->name, 0, c->list[i]->flags);

                if (!column || scols_column_set_json_type(column, c->list[i]->json) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int columns_add(struct columns *c, const struct shmd_info *info) {
        bool exact = c->exact || c->form == COLUMN_JSON || c->form == COLUMN_LINES;
        struct libscols_line *line;
        int r;

        r = table_init(c);
        if (r < 0)
                return r;
        line = scols_table_new_line(c->table, NULL);
        if (!line)
                return -ENOMEM;
        for (size_t i = 0; i < c->n; i++) {
                CLEANUP(freep) char *text = c->list[i]->text(info, exact), *cell = NULL;

                if (!text)
                        return -ENOMEM;
                if (c->form == COLUMN_JSON && !*text)
                        continue; /* null */
                if (c->form == COLUMN_JSON || c->form == COLUMN_LINES)
                        cell = escape(*text ? text : "-", c->form);
                else
                        cell = strdup(*text ? text : "-");
                /* It takes the text over, on success only. */
                if (!cell || scols_line_refer_data(line, i, cell) < 0)
                        return -ENOMEM;
                cell = NULL;
        }
        return 0;
}

static char *lines_text(const struct columns *c) {
        CLEANUP(freep) char *text = NULL;
        size_t size;
        FILE *stream;

        stream = open_memstream(&text, &size);
        if (!stream)
                return NULL;
        for (size_t k = 0; k < scols_table_get_nlines(c->table); k++) {
                struct libscols_line *line = scols_table_get_line(c->table, k);

                for (size_t i = 0; i < c->n; i++) {
                        for (const char *s = c->list[i]->name; *s; s++)
                                (void)fputc(tolower((unsigned char)*s), stream);
                        (void)fprintf(stream, ": %s\n", scols_cell_get_data(scols_line_get_cell(line, i)));
                }
        }
        /* Memory is all it can lack, and it says so here at the latest. */
        if (fclose(stream))
                return NULL;
        return STEAL_PTR(text);
}

int columns_print(struct columns *c) {
        CLEANUP(freep) char *text = NULL;
        int status;

        if (table_init(c) < 0)
                return report_memory();
        if (c->form == COLUMN_LINES)
                text = lines_text(c);
        else if (scols_print_table_to_string(c->table, &text) < 0)
                text = NULL;
        if (!text)
                return report_memory();
        status = output_text(text);
        /* The library leaves the last line of a table open. */
        if (status == STATUS_OK && *text && text[strlen(text) - 1] != '\n')
                status = output_text("\n");
        return status;
}
