/* write.c -- shmctl write: publish what comes from standard input. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#include "client/shmctl/input.h"
#include "client/shmctl/making.h"
#include "client/shmctl/parse.h"
#include "client/shmctl/report.h"

/* Other writers wait between begin and flush. So this much of a frame is there before begin: small frames never keep
 * anybody waiting for input, and the end of the input is known before a frame is begun in vain. */
#define AHEAD ((size_t)4096)

enum {
        OPTION_FRAME = COMMAND_OPTION,
        OPTION_CREATE,
        OPTION_TAG,
        OPTION_WAIT,
};

struct job {
        const char *name;
        uint64_t frame; /* cut the input into frames of this size; 0: it is one frame */
        uint64_t tag;
        bool create;
        bool wait;
        struct shmd_options options;
        struct shmd *conn;
        struct shmd_writer *writer;
        struct input input;
        sigset_t signals; /* that would end us */
};

static void job_deinit(struct job *job) {
        shmd_writer_close(job->writer);
        shmd_close(job->conn);
        input_deinit(&job->input);
}

static int report_input(int error) {
        if (error == -ENOMEM)
                return report("the input does not fit the memory: --frame SIZE cuts it into frames");
        return report("standard input cannot be read: %s", strerror(-error));
}

/*
 * A signal that ends us is right at any time: the kernel tells the daemon and the other writers, and an unfinished
 * frame is never seen. But a frame may take long to arrive, and others wait for the lock meanwhile, so then the frame
 * is given up in order: the signals are held back and end the waiting for input, and strike once the lock is free.
 */
static int signals_init(struct job *job) {
        static const int ending[] = { SIGHUP, SIGINT, SIGTERM };
        struct sigaction action;

        (void)sigemptyset(&job->signals);
        for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
                if (sigaction(ending[i], NULL, &action) == 0 && action.sa_handler == SIG_DFL)
                        (void)sigaddset(&job->signals, ending[i]);
        job->input.signals = signalfd(-1, &job->signals, SFD_CLOEXEC | SFD_NONBLOCK);
        return job->input.signals < 0 ? report("no descriptor can be had for signals: %s", strerror(errno)) : STATUS_OK;
}

/* How large the slots of a new segment have to be; 0: that takes an input which is not empty. */
static int slot_size(struct job *job, uint64_t *out) {
        struct shmd_info info;
        int r;

        *out = job->frame ? job->frame : input_size();
        if (*out)
                return STATUS_OK;
        /* A pipe does not tell. Nobody needs to know if the segment is there. */
        r = shmd_stat(job->conn, job->name, &info);
        if (r == 0 || r == -EACCES)
                return STATUS_OK;
        if (r != -ENOENT)
                return command_report(job->conn, job->name);
        r = input_collect(&job->input, SIZE_MAX);
        if (r < 0)
                return report_input(r);
        if (!job->input.length)
                return report("the input is empty, so nobody knows how large the slots of %s should be: make it with "
                              "shmctl create",
                              job->name);
        *out = job->input.length;
        return STATUS_OK;
}

static int create(struct job *job) {
        int r;

        if (slot_size(job, &job->options.slot_size))
                return STATUS_FAILED;
        r = shmd_create(job->conn, job->name, &job->options);
        if (r == -EEXIST && job->options.slot_size) {
                /* Its slots may well be larger. */
                job->options.slot_size = 0;
                r = shmd_create(job->conn, job->name, &job->options);
        }
        return r < 0 ? command_report(job->conn, job->name) : STATUS_OK;
}

static int report_large(const struct job *job, const char *more, uint64_t size) {
        return report("the input has %s%" PRIu64 " bytes, but a slot of %s has %" PRIu64
                      ": --frame SIZE cuts the input into frames, or make a segment with larger slots",
                      more, size, job->name, shmd_writer_info(job->writer)->slot_size);
}

/* Publish one frame of at most @limit bytes; with @whole the input must end with it. */
static int publish(struct job *job, size_t limit, bool whole) {
        struct input *in = &job->input;
        size_t length = 0;
        bool large;
        sigset_t before;
        void *data;
        int r, flushed = 0;

        do
                r = shmd_writer_begin(job->writer, &data, NULL, SHMD_FOREVER);
        while (r == -EINTR); /* stopped and continued: epoll_wait() does not start again by itself */
        if (r < 0)
                return report_handle(job->name, r);
        (void)sigprocmask(SIG_BLOCK, &job->signals, &before);
        r = input_read(in, data, limit, &length);
        if (r == 0 && whole)
                r = input_collect(in, 1);
        large = in->length;
        if (r == 0 && !large)
                flushed = shmd_writer_flush(job->writer, length, job->tag);
        else
                (void)shmd_writer_cancel(job->writer);
        (void)sigprocmask(SIG_SETMASK, &before, NULL);
        if (r == -EINTR)
                return report("a signal ended it in the middle of a frame, which was given up");
        if (r < 0)
                return report_input(r);
        if (large)
                return report_large(job, "more than ", limit);
        return flushed < 0 ? report_handle(job->name, flushed) : STATUS_OK;
}

static int publish_whole(struct job *job) {
        const struct shmd_info *info = shmd_writer_info(job->writer);
        struct input *in = &job->input;
        uint64_t size = input_size();
        int r;

        if (size > info->slot_size)
                return report_large(job, "", size);
        /* With one slot, begin gives up the frame that is there: not before there is a better one. */
        r = input_collect(in, info->n_slots == 1 || info->slot_size < AHEAD ? info->slot_size + 1 : AHEAD);
        if (r < 0)
                return report_input(r);
        if (in->length > info->slot_size)
                return report_large(job, in->end ? "" : "more than ", in->end ? in->length : info->slot_size);
        return publish(job, info->slot_size, true);
}

static int publish_frames(struct job *job) {
        const struct shmd_info *info = shmd_writer_info(job->writer);
        struct input *in = &job->input;

        if (job->frame > info->slot_size)
                return report("--frame has %" PRIu64 " bytes, but a slot of %s has %" PRIu64
                              ": give a smaller one, or make a segment with larger slots",
                              job->frame, job->name, info->slot_size);
        for (;;) {
                int r = input_collect(in, info->n_slots == 1 || job->frame < AHEAD ? job->frame : AHEAD);

                if (r < 0)
                        return report_input(r);
                if (!in->length)
                        return STATUS_OK;
                if (publish(job, job->frame, false))
                        return STATUS_FAILED;
        }
}

static int job_run(struct job *job) {
        int r;

        if (signals_init(job))
                return STATUS_FAILED;
        if (job->create && create(job))
                return STATUS_FAILED;
        if (shmd_writer_open(&job->writer, job->conn, job->name, 0, SHMD_FOREVER) < 0)
                return command_report(job->conn, job->name);
        if (job->wait) {
                do
                        r = shmd_writer_wait_reader(job->writer, SHMD_FOREVER);
                while (r == -EINTR);
                if (r < 0)
                        return report_handle(job->name, r);
        }
        return job->frame ? publish_frames(job) : publish_whole(job);
}

static int write_exec(struct command *cmd, int argc, char **argv) {
        static const struct option long_options[] = {
                { "frame", required_argument, NULL, OPTION_FRAME },
                { "create", no_argument, NULL, OPTION_CREATE },
                { "tag", required_argument, NULL, OPTION_TAG },
                { "wait", no_argument, NULL, OPTION_WAIT },
                MAKING_LONG,
                COMMAND_LONG,
        };
        CLEANUP(job_deinit) struct job job = { .input = INPUT_INIT };
        bool making = false;
        int option;

        while ((option = command_option(cmd, argc, argv, ":" COMMAND_SHORT, long_options)) != COMMAND_DONE) {
                switch (option) {
                case COMMAND_END:
                        return cmd->status;
                case OPTION_FRAME:
                        if (parse_size(&job.frame, cmd->verb, "--frame", optarg))
                                return STATUS_USAGE;
                        break;
                case OPTION_CREATE:
                        job.create = true;
                        break;
                case OPTION_TAG:
                        if (parse_number(&job.tag, cmd->verb, "--tag", optarg, 0, UINT64_MAX))
                                return STATUS_USAGE;
                        break;
                case OPTION_WAIT:
                        job.wait = true;
                        break;
                default:
                        if (making_option(&job.options, cmd->verb, option))
                                return STATUS_USAGE;
                        making = true;
                }
        }
        if (making && !job.create)
                return report_usage(cmd->verb, "how to make a segment is said, but --create is not");
        if (command_arguments(cmd, argc, argv, "the name of the segment", 1, 1))
                return STATUS_USAGE;
        job.name = argv[optind];
        if (command_connect(cmd, &job.conn))
                return STATUS_FAILED;
        return job_run(&job);
}

const struct verb verb_write = {
        .name = "write",
        .usage = "NAME [OPTION...]",
        .summary = "Publish standard input, as one frame or cut into frames",
        .help = "      --frame SIZE        a frame every SIZE bytes, the last one may be shorter (suffixes\n"
                "                          K M G T: powers of 1024); else the whole input is one frame\n"
                "      --tag N             a number that goes with each frame; default 0\n"
                "      --wait              wait for a first reader before anything is published\n"
                "      --create            make the segment if there is none, with slots of --frame SIZE,\n"
                "                          else of the input's size (a pipe's is read into memory first);\n"
                "                          with it:\n" MAKING_HELP "\n"
                "Other writers wait while a frame larger than 4K is arriving. What SIGINT or SIGTERM interrupt\n"
                "in the middle is not published.\n"
                "\n",
        .exec = write_exec,
};
