/* read.c -- shmctl read: what is published, to standard output. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "client/shmctl/output.h"
#include "client/shmctl/parse.h"
#include "client/shmctl/report.h"
#include "client/shmctl/verb.h"

#define FIRST_CAPACITY ((size_t)64 << 10)

enum {
        OPTION_FRAMES = COMMAND_OPTION,
        OPTION_WAIT,
        OPTION_OLDEST,
        OPTION_EOF,
        OPTION_TIMEOUT,
};

struct job {
        const char *name;
        uint64_t frames; /* how many to read; UINT64_MAX: no end */
        unsigned flags;  /* SHMD_WAIT, SHMD_FROM_OLDEST */
        int timeout_ms;  /* for the segment, and for each frame */
        bool eof;
        bool verbose;
        struct shmd *conn;
        struct shmd_reader *reader;
        bool in_place; /* what is held stays whole, so it need not be copied */
        void *buffer;  /* for copies; owned */
        size_t capacity;
        uint64_t n; /* frames read */
        uint64_t missed;
        bool left;    /* the last writer has left at least once */
        bool offline; /* the daemon is gone */
};

static void job_deinit(struct job *job) {
        shmd_reader_close(job->reader);
        shmd_close(job->conn);
        free(job->buffer);
}

static int make_buffer(struct job *job, size_t size) {
        free(job->buffer);
        job->capacity = 0;
        job->buffer = malloc(size);
        if (!job->buffer)
                return -ENOMEM;
        job->capacity = size;
        return 0;
}

/* The next frame, as a copy. Return: as shmd_reader_copy(). */
static int take_copy(struct job *job, struct shmd_frame *frame) {
        int r = job->buffer ? 0 : make_buffer(job, FIRST_CAPACITY);

        if (r < 0)
                return r;
        while ((r = shmd_reader_copy(job->reader, SHMD_NEXT, job->buffer, job->capacity, frame)) == -EMSGSIZE) {
                r = make_buffer(job, frame->length);
                if (r < 0)
                        return r;
        }
        if (r == 0)
                frame->data = job->buffer;
        return r;
}

/* The next frame goes to standard output. Return: STATUS_*; @error receives what the reader said, 0: all is well. */
static int deliver(struct job *job, int *error) {
        struct shmd_frame frame;
        int r;

        *error = job->in_place ? shmd_reader_next(job->reader, &frame) : take_copy(job, &frame);
        if (*error)
                return STATUS_OK;
        job->n++;
        job->missed += frame.missed;
        r = output_write(frame.data, frame.length);
        if (job->in_place && shmd_reader_release(job->reader) == -ESTALE && r == 0)
                return report("frame %" PRIu64 " of %s was overwritten while it was printed, the output is torn",
                              frame.sequence, job->name);
        return r < 0 ? output_report(r) : STATUS_OK;
}

static uint64_t now_ms(void) {
        struct timespec now = { 0 };

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Wait for an event, or for whoever reads our output to go: then nobody needs us any more, even if no frame ever comes.
 * Return: as shmd_reader_wait(); -EPIPE. */
static int await(const struct job *job) {
        struct pollfd fds[] = { { .fd = shmd_reader_fd(job->reader), .events = POLLIN }, { .fd = STDOUT_FILENO } };
        uint64_t start = now_ms();
        int left = job->timeout_ms;

        for (;;) {
                int r = shmd_reader_arm(job->reader);

                if (r)
                        return r;
                if (left == 0)
                        return 0;
                if (poll(fds, 2, left) < 0 && errno != EINTR)
                        return -errno;
                if (fds[1].revents & POLLERR)
                        return -EPIPE;
                if (job->timeout_ms != SHMD_FOREVER) {
                        uint64_t passed = now_ms() - start;

                        left = passed < (uint64_t)job->timeout_ms ? job->timeout_ms - (int)passed : 0;
                }
        }
}

/* Nothing new is there. Return: STATUS_*. */
static int wait_for_more(struct job *job) {
        int r;

        if (job->eof && job->offline)
                return report("the daemon is gone, so nobody tells when the last writer leaves %s", job->name);
        r = await(job);
        if (r == -EPIPE)
                return output_report(r);
        if (r == -EIDRM)
                return STATUS_OK; /* the reader says so itself after its last frame */
        if (r < 0)
                return report_handle(job->name, r);
        if (r == 0)
                return report("no frame came from %s within %d ms", job->name, job->timeout_ms);
        job->left |= r & SHMD_EVENT_WRITER_LEFT;
        job->offline |= r & SHMD_EVENT_OFFLINE;
        return STATUS_OK;
}

/* Nothing more will come. Return: STATUS_*. */
static int finish(const struct job *job, const char *why) {
        if (job->frames == UINT64_MAX)
                return STATUS_OK;
        return report("%s after %" PRIu64 " of %" PRIu64 " frames: %s", job->name, job->n, job->frames, why);
}

static int deliver_all(struct job *job) {
        while (job->n < job->frames) {
                /* Asked for before the frames: those of a writer that has left are all there. */
                bool last = job->eof && job->left && shmd_reader_writers(job->reader) == 0;
                int error, status;

                status = deliver(job, &error);
                /* A torn frame in the only slot is none; the next flush makes it good. */
                if (status == STATUS_OK && (error == -EAGAIN || error == -EOWNERDEAD)) {
                        if (last)
                                return finish(job, "the last writer has left");
                        status = wait_for_more(job);
                } else if (error == -EIDRM) {
                        return finish(job, "the segment was removed");
                } else if (error < 0) {
                        return report_handle(job->name, error);
                }
                if (status)
                        return status;
        }
        return STATUS_OK;
}

/* Had the last writer left before we came? The reader alone cannot tell: a frame may come before the notice of who
 * published it. In a description, the frames and the writers are those of one moment. */
static int look_for_writers(struct job *job) {
        struct shmd_info info;
        int r;

        if (!job->eof || shmd_reader_writers(job->reader) != 0)
                return STATUS_OK;
        r = shmd_stat(job->conn, job->name, &info);
        if (r == -ENOENT)
                return STATUS_OK; /* the reader will say that it was removed */
        if (r < 0)
                return command_report(job->conn, job->name);
        job->left = info.id == shmd_reader_info(job->reader)->id && info.writers == 0 && info.sequence > 0;
        return STATUS_OK;
}

static int job_run(struct job *job) {
        const struct shmd_info *info;
        int status, timeout_ms = job->timeout_ms;

        /* The time is for the segment to come, not for the daemon to say that it is there. */
        if (!(job->flags & SHMD_WAIT) || timeout_ms == 0) {
                job->flags &= ~SHMD_WAIT;
                timeout_ms = SHMD_FOREVER;
        }
        if (shmd_reader_open(&job->reader, job->conn, job->name, SHMD_ORDERED | job->flags, timeout_ms) < 0)
                return command_report(job->conn, job->name);
        info = shmd_reader_info(job->reader);
        /* A writer waits for readers of the owner only, and never with one slot. */
        job->in_place = info->policy == SHMD_BLOCK && info->n_slots > 1 && info->uid == geteuid();
        status = look_for_writers(job);
        if (status == STATUS_OK)
                status = deliver_all(job);
        if (job->verbose)
                (void)report("%" PRIu64 " frames read from %s, %" PRIu64 " missed", job->n, job->name, job->missed);
        return status;
}

static int read_exec(struct command *cmd, int argc, char **argv) {
        static const struct option long_options[] = {
                { "follow", no_argument, NULL, 'f' },           { "frames", required_argument, NULL, OPTION_FRAMES },
                { "oldest", no_argument, NULL, OPTION_OLDEST }, { "wait", no_argument, NULL, OPTION_WAIT },
                { "eof", no_argument, NULL, OPTION_EOF },       { "timeout", required_argument, NULL, OPTION_TIMEOUT },
                { "verbose", no_argument, NULL, 'v' },          COMMAND_LONG,
        };
        CLEANUP(job_deinit) struct job job = { .timeout_ms = SHMD_FOREVER };
        bool follow = false;
        uint64_t n;
        int option;

        while ((option = command_option(cmd, argc, argv, ":fv" COMMAND_SHORT, long_options)) != COMMAND_DONE) {
                switch (option) {
                case COMMAND_END:
                        return cmd->status;
                case 'f':
                        follow = true;
                        break;
                case OPTION_FRAMES:
                        if (parse_number(&job.frames, cmd->verb, "--frames", optarg, 1, UINT64_MAX - 1))
                                return STATUS_USAGE;
                        break;
                case OPTION_OLDEST:
                        job.flags |= SHMD_FROM_OLDEST;
                        break;
                case OPTION_WAIT:
                        job.flags |= SHMD_WAIT;
                        break;
                case OPTION_EOF:
                        job.eof = true;
                        break;
                case OPTION_TIMEOUT:
                        if (parse_number(&n, cmd->verb, "--timeout", optarg, 0, INT_MAX))
                                return STATUS_USAGE;
                        job.timeout_ms = (int)n;
                        break;
                case 'v':
                        job.verbose = true;
                        break;
                }
        }
        if (follow && job.frames)
                return report_usage(cmd->verb, "--follow and --frames exclude each other");
        if (follow)
                job.frames = UINT64_MAX;
        else if (!job.frames)
                job.frames = 1;
        if (command_arguments(cmd, argc, argv, "the name of the segment", 1, 1))
                return STATUS_USAGE;
        job.name = argv[optind];
        if (command_connect(cmd, &job.conn))
                return STATUS_FAILED;
        return job_run(&job);
}

const struct verb verb_read = {
        .name = "read",
        .usage = "NAME [OPTION...]",
        .summary = "Print the newest frame, or several in order, as they are; wait if there is none yet",
        .help = "      --frames N          N frames in order, beginning with the newest\n"
                "  -f, --follow            every frame in order, until the segment is removed\n"
                "      --oldest            begin with the oldest frame that is still there\n"
                "      --wait              wait until the segment exists\n"
                "      --eof               end when the last writer has left and everything is read\n"
                "      --timeout MS        how long to wait for the segment, and for each frame; else for ever\n"
                "  -v, --verbose           tell at the end how many frames were read and missed\n"
                "\n"
                "Frames are whole, always. Under the policy block none is missed by readers that belong to the\n"
                "owner of the segment.\n"
                "\n",
        .exec = read_exec,
};
