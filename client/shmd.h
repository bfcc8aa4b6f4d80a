/*
 * shmd.h -- named shared memory segments from the shmd daemon: frames that arrive whole, readers that wake at once.
 *
 * A segment has a name, a slot size and a number of slots. A writer fills a slot in place and flushes it: the frame is
 * then published, whole, and every waiting reader wakes. A reader takes the newest frame (latest) or every frame in
 * order (next), in place or as a copy. After opening, the daemon has no part in it: no system call is made unless
 * somebody waits.
 *
 * Errors: functions that return int return 0 or a positive, documented value on success, and a negative errno on
 * failure. The errnos that matter are listed at each function; every function may also return -ENOMEM, -EMFILE or
 * -ENFILE. shmd_error() gives the sentence that belongs to the last failure on a connection.
 *
 * Threads: the library starts none. A connection may be used by several threads, its calls take turns. A reader or
 * writer belongs to one thread at a time; different handles may be used in different threads at once.
 *
 * Fork: a child does not inherit readers and writers; every call on one fails there with -ECHILD (closing is fine),
 * and their memory is not mapped. Open anew in the child. Exec closes everything.
 *
 * Restarts: frames do not need the daemon, so readers and writers go on without it. When it comes back they find to it by
 * themselves, from whatever call is made and from the reader's descriptor; a request that was under way takes effect once.
 * Only where it stays away for longer than SHMD_AWAY_MS is that told: by SHMD_EVENT_OFFLINE (once; the library still goes
 * on trying), or by -ENOTCONN from a call that needs the daemon.
 *
 * Times: timeouts are milliseconds; SHMD_FOREVER waits without end, 0 does not wait.
 */
#ifndef SHMD_H
#define SHMD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define SHMD_FOREVER (-1)

/* How long the daemon may be away without anybody noticing, in milliseconds: see "Restarts" above. */
#define SHMD_AWAY_MS 2000

struct shmd;        /* a connection to the daemon */
struct shmd_writer; /* a segment opened for writing */
struct shmd_reader; /* a segment opened for reading */

/* ---- connection ------------------------------------------------------------------------------------------------- */

/**
 * shmd_connect() - connect to the daemon
 * @out:  receives the connection; close it with shmd_close()
 * @path: the daemon's socket; NULL: $SHMD_SOCKET, else $XDG_RUNTIME_DIR/shmd/shmd.sock where there is one, else
 *        /run/shmd/shmd.sock
 *
 * Return: 0; -ECONNREFUSED or -ENOENT: no daemon there; -EACCES: the socket's permissions forbid it;
 * -EPROTONOSUPPORT: the daemon speaks another protocol version, or lays segments out differently; -ENAMETOOLONG: @path
 * does not fit a socket address; -EUSERS: the daemon has as many clients as it is allowed; -EDQUOT: you have as many as
 * you may have. On failure @out receives a connection too (unless -ENOMEM, then NULL), good for shmd_error() and
 * shmd_close() only.
 */
int shmd_connect(struct shmd **out, const char *path);

/* Close a connection; NULL is fine. Readers and writers opened through it stay open. Returns NULL. */
struct shmd *shmd_close(struct shmd *conn);

/* The sentence for people about the last call on this connection that failed: what was wrong and what would be right.
 * Valid until the next call on the connection. Use one connection per thread where it matters. */
const char *shmd_error(const struct shmd *conn);

/* ---- segments --------------------------------------------------------------------------------------------------- */

#define SHMD_NAME_MAX 200  /* bytes of a name: A-Z a-z 0-9 . _ / -, no leading slash, no empty or ".." part */
#define SHMD_TYPE_MAX 1024 /* bytes of a type string */
#define SHMD_SLOTS_MAX 4096
#define SHMD_FOREIGN_HOLDS_MAX 64
#define SHMD_NO_FOREIGN_HOLDS UINT32_MAX

enum shmd_policy {
        SHMD_POLICY_DEFAULT = 0, /* SHMD_OVERWRITE for a new segment */
        SHMD_OVERWRITE = 1,      /* when every slot is held, the oldest hold is broken; its reader is told at release */
        SHMD_BLOCK = 2,          /* the writer waits; it also keeps what a reader with SHMD_ORDERED has not taken yet */
};

#define SHMD_EPHEMERAL 0x1u   /* removed when its last reader or writer closes */
#define SHMD_SPARSE 0x2u      /* memory is allocated when touched, not at creation: it may be missing then (SIGBUS) */
#define SHMD_HUGE 0x4u        /* in huge pages of 2 MiB (vm.nr_hugepages), or -ENOMEM */
#define SHMD_EXCLUSIVE 0x100u /* -EEXIST if there is a segment of that name, even one that fits */

/* Parameters of a new segment. Zero means the default; for a segment that exists it means "whatever it has". */
struct shmd_options {
        uint64_t slot_size; /* bytes of the largest frame; no default for a new segment */
        uint32_t n_slots;   /* 1 to SHMD_SLOTS_MAX; default 4. Readers holding at a time plus 2: none is disturbed */
        uint32_t mode;      /* permission bits: r to read, w to write; default 0600 */
        uint32_t policy;    /* enum shmd_policy */
        uint32_t flags;     /* SHMD_EPHEMERAL, SHMD_SPARSE, SHMD_HUGE, SHMD_EXCLUSIVE */
        /* Frames that the readers of each user other than the owner may hold at a time: 1 to SHMD_FOREIGN_HOLDS_MAX, not
         * more than n_slots - 2, which all such users together have; or SHMD_NO_FOREIGN_HOLDS. Default 1, or none where
         * there are 2 slots or fewer. A hold beyond that is not honoured: its reader is told at release. */
        uint32_t foreign_holds;
        const char *type; /* what a frame is, for others to read, such as "uint8[1080,1920,3]"; NULL or "": none */
};

/**
 * shmd_create() - create a segment, unless it exists already
 * @conn:    the connection
 * @name:    its name
 * @options: its parameters
 *
 * Unless SHMD_SPARSE is set, all its memory is allocated before this returns.
 *
 * Return: 0: created; 1: it existed and fits @options; -EEXIST: it exists and contradicts @options (shmd_error() says
 * in what), or SHMD_EXCLUSIVE was set; -EINVAL: a parameter is out of range, or the name is not one; -ENOMEM: the
 * memory (or the huge pages) are not there; -EFBIG: larger than the daemon allows one segment to be; -EDQUOT: over
 * your quota (shmd_error() says which), or over the daemon's limit of bytes; -ENOSPC: over its limit of segments;
 * -EACCES: one exists and you may neither read nor write it, or the daemon's configuration says that such names are for
 * others; -ENOTCONN: the connection is broken.
 */
int shmd_create(struct shmd *conn, const char *name, const struct shmd_options *options);

/**
 * shmd_remove() - remove a segment: its name is free at once
 *
 * For the owner, root and the daemon's administrators. Those who have it open keep its memory; readers get -EIDRM after
 * what they have not seen yet, writers at the next shmd_writer_begin().
 *
 * Return: 0; -ENOENT: there is none; -EPERM: it belongs to another user; -EINVAL: the name is not one; -ENOTCONN.
 */
int shmd_remove(struct shmd *conn, const char *name);

/**
 * shmd_chmod() - change who may read and write a segment
 * @conn: the connection
 * @name: its name
 * @mode: permission bits, 0 to 0777: r to read, w to write
 *
 * For the owner, root and the daemon's administrators. As with files, what is open stays open.
 *
 * Return: 0; -ENOENT: there is none; -EPERM: it belongs to another user; -EINVAL: the name is not one, or @mode has
 * other bits; -ENOTCONN.
 */
int shmd_chmod(struct shmd *conn, const char *name, uint32_t mode);

#define SHMD_KEEP UINT32_MAX

/**
 * shmd_chown() - give a segment to another user or group
 * @conn: the connection
 * @name: its name
 * @uid:  the new owner; SHMD_KEEP: as it is
 * @gid:  the new group; SHMD_KEEP: as it is
 *
 * As with files, the owner may give it to a group that he is in, root and the daemon's administrators may do anything,
 * and what is open stays open, with the rights that it had. From then on it counts against the new owner's quota.
 *
 * Return: 0; -ENOENT: there is none; -EPERM: it belongs to another user, or is to belong to another user or to a group
 * that you are not in; -EDQUOT: over the new owner's quota; -EINVAL: the name is not one; -ENOTCONN.
 */
int shmd_chown(struct shmd *conn, const char *name, uint32_t uid, uint32_t gid);

struct shmd_info {
        uint64_t id;        /* never used again while the daemon runs, also when the name is */
        uint64_t slot_size; /* bytes */
        uint64_t bytes;     /* of the whole segment */
        uint64_t allocated; /* bytes of memory behind it now */
        uint64_t sequence;  /* of the newest frame, counted from 1; 0: none yet */
        uint64_t timestamp; /* of the newest frame: CLOCK_MONOTONIC, ns; 0: none yet */
        uint64_t created;   /* CLOCK_REALTIME, ns */
        uint32_t n_slots;
        uint32_t policy; /* SHMD_OVERWRITE or SHMD_BLOCK */
        uint32_t flags;  /* SHMD_EPHEMERAL, SHMD_SPARSE, SHMD_HUGE */
        uint32_t mode;
        uint32_t uid; /* owner */
        uint32_t gid;
        uint32_t writers; /* that have it open now */
        uint32_t readers;
        uint32_t foreign_holds; /* frames that the readers of each other user may hold at a time; 0: none */
        char name[SHMD_NAME_MAX + 1];
        char type[SHMD_TYPE_MAX + 1];
};

/* Describe a segment. Return: 0; -ENOENT: there is none; -EACCES: you may not read it; -EINVAL: the name is not one;
 * -ENOTCONN. */
int shmd_stat(struct shmd *conn, const char *name, struct shmd_info *info);

/* Called for one segment of a list; @info is valid during the call. Returning other than 0 ends the list. */
typedef int (*shmd_list_fn)(const struct shmd_info *info, void *data);

/**
 * shmd_list() - go through the segments you may read, in the order of their names
 * @conn:    the connection; @fn must not use it
 * @pattern: as in fnmatch(3) without flags, so * also matches slashes; NULL or "": all
 * @fn:      called for each
 * @data:    passed to @fn
 *
 * Segments that come or go meanwhile may be in it or not; all others are in it once.
 *
 * Return: 0; what @fn returned if that was not 0; -EINVAL: the pattern has more than 255 bytes; -ENOTCONN.
 */
int shmd_list(struct shmd *conn, const char *pattern, shmd_list_fn fn, void *data);

/* ---- writing ---------------------------------------------------------------------------------------------------- */

#define SHMD_WAIT 0x1u /* wait until the segment exists */

/**
 * shmd_writer_open() - open a segment for writing
 * @out:        receives the writer; close it with shmd_writer_close()
 * @conn:       the connection: where the daemon is; its shmd_error() tells about a failure
 * @name:       the segment
 * @flags:      SHMD_WAIT
 * @timeout_ms: how long to wait for the daemon's answer and, with SHMD_WAIT, for the segment
 *
 * Return: 0; -ENOENT: there is no such segment; -EACCES: you may not write it; -EINVAL: the name is not one, or an
 * unknown flag; -ETIMEDOUT; -EINTR: a signal handler ran; -EUSERS: as many writers, clients or groups of readers as the
 * limits allow; -EDQUOT: over your quota of open handles, of requests that wait or of what you leave unread, or you
 * would leave less of this segment's places to the others than you have; -EBUSY: somebody keeps the daemon from letting
 * you in, shmd_error() says who; -ENOTCONN, -ECONNREFUSED: no daemon.
 */
int shmd_writer_open(struct shmd_writer **out, struct shmd *conn, const char *name, unsigned flags, int timeout_ms);

/* Close a writer; NULL is fine; a frame begun and not flushed is given up. Returns NULL. */
struct shmd_writer *shmd_writer_close(struct shmd_writer *w);

/**
 * shmd_writer_begin() - get room for the next frame
 * @w:          the writer
 * @data:       receives where to write it
 * @size:       receives how many bytes fit: the slot size; may be NULL
 * @timeout_ms: how long to wait for another writer and, under SHMD_BLOCK, for readers
 *
 * Several slots: the memory holds an old frame's bytes; readers see nothing of it before the flush. One slot: it is the
 * frame itself, and readers wait until the flush. Between begin and flush other writers of the segment wait.
 *
 * Return: 0; -ETIMEDOUT (-EAGAIN if @timeout_ms is 0); -EINTR: a signal handler ran; -EBUSY: begun already; -EIDRM: the
 * segment was removed; -EPROTO: its memory contradicts itself; -ECHILD.
 */
int shmd_writer_begin(struct shmd_writer *w, void **data, size_t *size, int timeout_ms);

/**
 * shmd_writer_flush() - publish the frame, and wake whoever waits for it
 * @w:      the writer
 * @length: bytes that the frame has
 * @tag:    any number of yours, delivered with the frame
 *
 * One slot: may be called without begin, for memory that was changed through shmd_writer_data().
 *
 * Return: 0; -EINVAL: nothing was begun; -EMSGSIZE: @length is larger than a slot (the frame stays begun); -ECHILD.
 */
int shmd_writer_flush(struct shmd_writer *w, size_t length, uint64_t tag);

/**
 * shmd_writer_cancel() - give up the frame that was begun
 *
 * Several slots: as if it had never begun. One slot: begin had given up the old frame already, so the segment is torn
 * until the next flush, and readers are told (-EOWNERDEAD).
 *
 * Return: 0; -EINVAL: nothing was begun; -ECHILD.
 */
int shmd_writer_cancel(struct shmd_writer *w);

/* One slot: the plain memory and its size; yours to change at any time, but then without the promise that readers see
 * it whole. Return: 0; -EINVAL: the segment has several slots; -ECHILD. */
int shmd_writer_data(struct shmd_writer *w, void **data, size_t *size);

/* Sequence number of the frame that this writer flushed last; 0: none yet. */
uint64_t shmd_writer_sequence(const struct shmd_writer *w);

/**
 * shmd_writer_readers() - how many readers have the segment open, as far as the daemon has told
 *
 * Return: the number; -EIDRM: the segment was removed; -ECHILD.
 */
int shmd_writer_readers(struct shmd_writer *w);

/* Wait until the segment has at least one reader. Return: 0; -ETIMEDOUT (-EAGAIN if @timeout_ms is 0); -EINTR; -EIDRM;
 * -ENOTCONN: the daemon is gone; -ECHILD. */
int shmd_writer_wait_reader(struct shmd_writer *w, int timeout_ms);

/* The slot size in bytes, the number of slots, the policy, the owner and so on, as they were at opening. Borrowed. */
const struct shmd_info *shmd_writer_info(const struct shmd_writer *w);

/* ---- reading ---------------------------------------------------------------------------------------------------- */

#define SHMD_ORDERED 0x2u      /* under SHMD_BLOCK: the writer waits rather than overwrite what next() has not given */
#define SHMD_FROM_OLDEST 0x10u /* next() begins with the oldest frame that is there; default: with the newest */
#define SHMD_FROM_END 0x20u    /* next() begins with the first frame that is published from now on */

/**
 * shmd_reader_open() - open a segment for reading
 * @flags: SHMD_WAIT, SHMD_ORDERED, and one of SHMD_FROM_OLDEST and SHMD_FROM_END
 *
 * The rest, and the return values, as at shmd_writer_open() (-EACCES: you may not read it).
 */
int shmd_reader_open(struct shmd_reader **out, struct shmd *conn, const char *name, unsigned flags, int timeout_ms);

/* Close a reader; NULL is fine; a frame that is held is let go. Returns NULL. */
struct shmd_reader *shmd_reader_close(struct shmd_reader *r);

struct shmd_frame {
        const void *data;   /* in place, read-only; NULL after shmd_reader_copy() */
        size_t length;      /* bytes */
        uint64_t sequence;  /* counted from 1 */
        uint64_t timestamp; /* of the flush: CLOCK_MONOTONIC, ns */
        uint64_t tag;       /* the writer's */
        uint64_t missed;    /* frames between the one this reader took before and this one */
};

/**
 * shmd_reader_latest() - hold the newest frame, whether or not it was taken before
 * @r:     the reader
 * @frame: receives where it is and what it is
 *
 * The frame stays as it is until shmd_reader_release() (see there for the exception). One is held at a time.
 *
 * Return: 0: a frame not taken before; 1: the same as the last time; -EAGAIN: none was published yet (one slot: or a
 * writer is just changing it); -EOWNERDEAD: one slot: torn, a writer died or gave up in the middle; -EBUSY: a frame is
 * held already; -EIDRM: the segment was removed and there is nothing new; -EPROTO: the segment's memory contradicts
 * itself; -ECHILD.
 */
int shmd_reader_latest(struct shmd_reader *r, struct shmd_frame *frame);

/**
 * shmd_reader_next() - hold the next frame in order; frame->missed tells how many were gone already
 *
 * Return: 0; -EAGAIN: nothing new; the rest as shmd_reader_latest().
 */
int shmd_reader_next(struct shmd_reader *r, struct shmd_frame *frame);

/**
 * shmd_reader_release() - let go of the frame that is held
 *
 * Return: 0: it was whole all the time; -ESTALE: the writer had to overwrite it, what was read may be torn (one slot; too
 * few slots, under SHMD_BLOCK only for users other than the owner; or such a user held more than foreign_holds);
 * -EINVAL: nothing is held; -ECHILD.
 */
int shmd_reader_release(struct shmd_reader *r);

/* Is the frame that is held still whole? Return: 1, 0, -EINVAL: nothing is held; -ECHILD. */
int shmd_reader_intact(struct shmd_reader *r);

#define SHMD_LATEST 0u
#define SHMD_NEXT 1u

/**
 * shmd_reader_copy() - copy a frame, always whole
 * @r:      the reader; nothing may be held
 * @which:  SHMD_LATEST or SHMD_NEXT
 * @buffer: receives the payload
 * @size:   bytes of @buffer
 * @frame:  receives what it is; may be NULL
 *
 * Return: as shmd_reader_latest() or shmd_reader_next(); -EMSGSIZE: the frame has more than @size bytes (frame->length
 * tells; it counts as not taken).
 */
int shmd_reader_copy(struct shmd_reader *r, unsigned which, void *buffer, size_t size, struct shmd_frame *frame);

/* One slot: the plain memory and its size, without the promise that it is whole. Return: 0; -EINVAL: the segment has
 * several slots; -ECHILD. */
int shmd_reader_data(struct shmd_reader *r, const void **data, size_t *size);

/* What shmd_reader_wait() and shmd_reader_arm() report. */
#define SHMD_EVENT_FRAME 0x1u       /* a frame is there that was not taken yet */
#define SHMD_EVENT_WRITER_CAME 0x2u /* the segment had no writer, now it has one */
#define SHMD_EVENT_WRITER_LEFT 0x4u /* its last writer closed or died; the newest frame stays readable */
#define SHMD_EVENT_REMOVED 0x8u     /* the segment was removed; its memory stays */
#define SHMD_EVENT_OFFLINE 0x10u    /* the daemon is away for long: frames go on, the other events do not */

/**
 * shmd_reader_wait() - wait for a frame not taken yet, or another event
 * @r:          the reader
 * @timeout_ms: how long
 *
 * Each event but SHMD_EVENT_FRAME is reported once; SHMD_EVENT_FRAME as long as there is one. Safe to interrupt: a
 * signal handler ends it with -EINTR.
 *
 * Return: the events, a mask above 0; 0: none within @timeout_ms; -EIDRM: the segment was removed, and that has been
 * reported; -EINTR; -ECHILD.
 */
int shmd_reader_wait(struct shmd_reader *r, int timeout_ms);

/**
 * shmd_reader_fd() - a descriptor for any event loop: readable when an event may have come
 *
 * It tells of what comes after the reader was armed. So in a loop: call shmd_reader_arm(); if it returns events,
 * handle them and arm again; once it returns 0, wait for the descriptor, then arm again.
 *
 * Return: the descriptor, which the reader owns: wait for it, do not read or close it; -ECHILD.
 */
int shmd_reader_fd(struct shmd_reader *r);

/* Collect the events that are there, without waiting; if there are none, make the descriptor tell of the next one.
 * Return: as shmd_reader_wait() with a timeout of 0. */
int shmd_reader_arm(struct shmd_reader *r);

/* How many writers have the segment open, as far as the daemon has told. Return: the number; -EIDRM; -ECHILD. */
int shmd_reader_writers(struct shmd_reader *r);

/* As shmd_writer_info(). */
const struct shmd_info *shmd_reader_info(const struct shmd_reader *r);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
