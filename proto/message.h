/*
 * message.h -- what goes over the socket, byte for byte.
 *
 * SOCK_SEQPACKET: one packet is one message, a fixed structure that begins with struct proto_header, in the machine's
 * byte order (both ends are on one machine). Structures grow the way Linux extends clone3(): new members go to the
 * end, zero means "as before"; a shorter message is zero-extended, a longer one accepted while the tail nobody here
 * knows is zero. The version changes only when that is not enough.
 *
 * A client sends requests; each gets exactly one reply with its serial number and op, in order. The daemon reads a
 * connection's next request only when the last reply has left. Notices come unasked, between replies.
 *
 * A connection opens at most one segment, once: the connection is then that handle, and closing the socket (or dying)
 * closes it. Everything else may be asked on any connection, as often as one likes.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/layout.h"
#include "proto/name.h"

#define PROTO_VERSION 1
#define PROTO_MESSAGE_MAX 65536
#define PROTO_FDS_MAX (1 + 2 * LAYOUT_GROUPS_MAX) /* an opened writer: data, table and bell of every group */

#define PROTO_NAME_SIZE 208 /* NAME_LENGTH_MAX and a NUL, rounded up to 8 */
#define PROTO_TYPE_MAX 1024
#define PROTO_TYPE_SIZE 1032
#define PROTO_TEXT_SIZE 512
#define PROTO_CLIENT_SIZE 64

static_assert(PROTO_NAME_SIZE > NAME_LENGTH_MAX, "room for the NUL");

enum proto_op {
        PROTO_OP_HELLO = 1, /* proto_hello -> proto_welcome; must come first */
        PROTO_OP_CREATE,    /* proto_create -> proto_created */
        PROTO_OP_OPEN,      /* proto_open, 1 descriptor -> proto_opened, descriptors */
        PROTO_OP_STAT,      /* proto_stat -> proto_stat_reply */
        PROTO_OP_LIST,      /* proto_list -> proto_list_reply */
        PROTO_OP_REMOVE,    /* proto_remove -> proto_header */
        PROTO_OP_CHMOD,     /* proto_chmod -> proto_header */
        PROTO_OP_CHOWN,     /* proto_chown -> proto_header */
        PROTO_OP_CLAIM,     /* proto_claim, 1 descriptor -> proto_claimed */
        PROTO_OP_REPLACE,   /* proto_header -> proto_legacy, several; each but the last is answered by a proto_header */
        PROTO_OP_REQUESTS,  /* one past the last request */

        PROTO_OP_STATE = 0x100, /* notice: proto_state */
        PROTO_OP_GROUP,         /* notice: proto_group_notice, 2 descriptors: table (read-only), bell */
};

struct proto_header {
        uint32_t size;     /* bytes of the message, this header included */
        uint16_t version;  /* PROTO_VERSION */
        uint16_t op;       /* enum proto_op; a reply has its request's */
        uint32_t serial;   /* chosen by the client; its reply has the same; 0 in notices */
        int32_t error;     /* replies: 0, or a negative errno and the message is a proto_error */
        uint32_t n_fds;    /* descriptors that travel with it */
        uint32_t reserved; /* 0 */
};

/* The reply to a request that failed: which errno each request gives is documented at the calls in shmd.h. */
struct proto_error {
        struct proto_header header;
        char text[PROTO_TEXT_SIZE]; /* a sentence for people: what is wrong and what would be right */
};

#define PROTO_HELLO_QUIET 0x1u /* no reply unless it is refused: the next request follows at once */

struct proto_hello {
        struct proto_header header;
        uint32_t layout_version;        /* LAYOUT_VERSION */
        uint32_t flags;                 /* PROTO_HELLO_* */
        char client[PROTO_CLIENT_SIZE]; /* the program's name, for the log and for lists; may be empty */
        /* Random, and the same when the client connects anew because the daemon was gone: a request that it then repeats,
         * with the same serial, takes effect once. 0: none. */
        uint64_t token;
};

struct proto_welcome {
        struct proto_header header;
        uint32_t layout_version;
        uint32_t reserved;
        char daemon[PROTO_CLIENT_SIZE]; /* the daemon's version, for people */
};

/* Flags of a segment. */
#define PROTO_SEGMENT_EPHEMERAL 0x1u /* removed when its last user closes */
#define PROTO_SEGMENT_SPARSE 0x2u    /* memory comes when it is touched, and may then be missing */
#define PROTO_SEGMENT_HUGE 0x4u      /* in huge pages of 2 MiB */
#define PROTO_SEGMENT_FLAGS 0x7u

/* What a writer does when every slot is held. */
enum proto_policy {
        PROTO_POLICY_DEFAULT,   /* create: overwrite; for an existing segment: whatever it has */
        PROTO_POLICY_OVERWRITE, /* the oldest hold is broken */
        PROTO_POLICY_BLOCK,     /* the writer waits; it also keeps what an ordered reader has not taken yet */
};

#define PROTO_SLOTS_DEFAULT 4
#define PROTO_MODE_DEFAULT 0600
#define PROTO_HOLDS_DEFAULT 1       /* frames for each uid that is not the owner's, where there are slots to spare */
#define PROTO_HOLDS_NONE UINT32_MAX /* create: no frame at all; 0 is the default */

#define PROTO_CREATE_EXCLUSIVE 0x1u /* -EEXIST if there is one, even one that fits */

/* 0 (or an empty type) means: the default for a new segment, whatever it has for an existing one. */
struct proto_create {
        struct proto_header header;
        uint64_t slot_size; /* bytes; a new segment needs one */
        uint32_t n_slots;
        uint32_t mode;          /* permission bits, 0777 at most */
        uint32_t policy;        /* enum proto_policy */
        uint32_t segment_flags; /* PROTO_SEGMENT_*; must equal an existing segment's where not 0 */
        uint32_t flags;         /* PROTO_CREATE_* */
        uint32_t foreign_holds; /* frames that the readers of each other uid may hold, or PROTO_HOLDS_NONE */
        char name[PROTO_NAME_SIZE];
        char type[PROTO_TYPE_SIZE];
};

struct proto_created {
        struct proto_header header;
        uint64_t id;      /* never used again while the daemon's records live */
        uint32_t existed; /* 1: there was one already, and it fits */
        uint32_t reserved;
};

enum proto_access {
        PROTO_ACCESS_READ = 1,
        PROTO_ACCESS_WRITE,
};

#define PROTO_OPEN_WAIT 0x1u    /* the reply comes when the segment exists */
#define PROTO_OPEN_ORDERED 0x2u /* reader: under the policy block, the writer keeps what it has not taken */

/* Which frame next() gives an opening reader first. */
enum proto_start {
        PROTO_START_NEWEST, /* the newest there is */
        PROTO_START_OLDEST, /* the oldest that is still there */
        PROTO_START_END,    /* the first that is published from now on */
};

/* Comes with one descriptor: the watch, an epoll instance that the client made. The daemon adds the group's bell to a
 * reader's watch and, under the policy block, the room bell to a writer's, as EPOLLIN | EPOLLET with data 0. */
struct proto_open {
        struct proto_header header;
        uint32_t access; /* enum proto_access */
        uint32_t flags;  /* PROTO_OPEN_* */
        uint32_t start;  /* enum proto_start; 0 for a writer */
        uint32_t reserved;
        char name[PROTO_NAME_SIZE];
};

#define PROTO_GROUP_BINDING 0x1u /* its holds bind the writer */

struct proto_group {
        uint16_t index;   /* below LAYOUT_GROUPS_MAX; a group with an index known already replaces that one */
        uint16_t flags;   /* PROTO_GROUP_* */
        uint16_t account; /* not binding: the same for all groups of one uid; below LAYOUT_GROUPS_MAX */
        uint16_t holds;   /* not binding: frames that the account may hold at a time */
};

#define PROTO_STATE_REMOVED 0x1u

struct proto_users {
        uint64_t arrivals;   /* how often a first writer came */
        uint64_t departures; /* how often a last writer left or died */
        uint32_t writers;    /* at the segment now */
        uint32_t readers;
        uint32_t flags; /* PROTO_STATE_* */
        uint32_t reserved;
};

/*
 * Descriptors of a reader: data (read-only), table (read-write, its own description, with the lock on its entry's
 * byte), and the room bell where the policy is block and the group binds.
 * Of a writer: data (read-write, its own description, with the lock on its byte), then for each of n_groups: table
 * (read-only), bell.
 */
struct proto_opened {
        struct proto_header header;
        uint64_t id;
        uint64_t slot_size;
        uint32_t n_slots;
        uint32_t page_size; /* for geometry_init() */
        uint32_t layout_version;
        uint32_t policy;
        uint32_t segment_flags;
        uint32_t mode;
        uint32_t uid; /* the segment's owner */
        uint32_t gid;
        uint32_t entry;    /* reader: its entry in the table; writer: its id */
        uint32_t binding;  /* reader: 1 if its holds bind the writer */
        uint32_t epoch;    /* of the data header, when users was taken */
        uint32_t n_groups; /* writer: groups that follow */
        uint32_t foreign_holds;
        uint32_t reserved;
        struct proto_users users;
        char type[PROTO_TYPE_SIZE];
        struct proto_group groups[LAYOUT_GROUPS_MAX];
        uint32_t group;       /* reader: the index of its group, for a claim */
        uint32_t unannounced; /* of the data header */
};

/*
 * A handle that was open before the daemon was restarted is claimed on a connection of its own. Comes with one descriptor:
 * the one of the handle that has the lock on its byte, a reader's table or a writer's data. The daemon sees by the lock
 * that whoever sends it is the handle's process. From then on the connection is the handle's.
 */
struct proto_claim {
        struct proto_header header;
        uint64_t segment; /* id */
        uint32_t access;  /* enum proto_access */
        uint32_t entry;   /* as in proto_opened */
        uint32_t group;   /* likewise */
        uint32_t reserved;
        uint64_t groups;  /* writer: bit N: it knows group N */
        uint64_t binding; /* writer: bit N: and its holds bind */
};

struct proto_claimed {
        struct proto_header header;
        struct proto_users users;
        uint32_t unannounced; /* of the data header: notices of all groups up to it follow */
        uint32_t n_groups;    /* writer: so many notices of groups follow at once */
};

#define PROTO_LEGACY_FDS 64

/*
 * A new instance of the daemon asks the running one to hand over. Descriptors with their names: a letter and a number (l:
 * listening socket, k: lock of the socket's file; the others as in a service manager's store). The new one answers each
 * message with a proto_header of the same op; when it has answered the last one, the old one ends.
 */
struct proto_legacy {
        struct proto_header header;
        uint32_t count; /* descriptors */
        uint32_t more;  /* 1: another message follows */
        uint32_t pid;   /* of the old instance */
        uint32_t reserved;
        char names[PROTO_LEGACY_FDS][24];
};

struct proto_stat {
        struct proto_header header;
        char name[PROTO_NAME_SIZE];
};

struct proto_info {
        uint64_t id;
        uint64_t slot_size;
        uint64_t bytes;     /* of all slots and the metadata */
        uint64_t allocated; /* bytes of memory behind it now */
        uint64_t sequence;  /* of the newest frame; 0: none yet */
        uint64_t timestamp; /* of the newest frame, CLOCK_MONOTONIC ns; 0: none yet */
        uint64_t created;   /* CLOCK_REALTIME ns */
        uint32_t n_slots;
        uint32_t policy;
        uint32_t segment_flags;
        uint32_t mode;
        uint32_t uid;
        uint32_t gid;
        uint32_t writers;
        uint32_t readers;
        uint32_t foreign_holds;
        uint32_t reserved;
        char name[PROTO_NAME_SIZE];
        char type[PROTO_TYPE_SIZE];
};

struct proto_stat_reply {
        struct proto_header header;
        struct proto_info info;
};

/* In the order of the names (bytes); a page at a time: ask again with the last name until more is 0. */
struct proto_list {
        struct proto_header header;
        char pattern[PROTO_NAME_SIZE + 48]; /* as in fnmatch(3) with no flags; empty: all */
        char after[PROTO_NAME_SIZE];        /* only names behind this one; empty: from the first */
};

struct proto_list_reply {
        struct proto_header header;
        uint32_t count;
        uint32_t more;
        struct proto_info info[]; /* count of them */
};

#define PROTO_LIST_PAGE ((PROTO_MESSAGE_MAX - sizeof(struct proto_list_reply)) / sizeof(struct proto_info))

struct proto_remove {
        struct proto_header header;
        char name[PROTO_NAME_SIZE];
};

struct proto_chmod {
        struct proto_header header;
        uint32_t mode;     /* permission bits, 0777 at most */
        uint32_t reserved; /* 0 */
        char name[PROTO_NAME_SIZE];
};

#define PROTO_KEEP UINT32_MAX /* that of the two as it is */

struct proto_chown {
        struct proto_header header;
        uint32_t uid;
        uint32_t gid;
        char name[PROTO_NAME_SIZE];
};

/* To every handle of a segment whenever the counts or flags change; only the newest matters. */
struct proto_state {
        struct proto_header header;
        struct proto_users users;
};

/* To every writer of a segment when a reader group comes; 2 descriptors: table (read-only), bell. */
struct proto_group_notice {
        struct proto_header header;
        struct proto_group group;
};

static_assert(sizeof(struct proto_header) == 24, "part of the protocol version");
static_assert(sizeof(struct proto_error) == 24 + PROTO_TEXT_SIZE, "part of the protocol version");
static_assert(sizeof(struct proto_hello) == 104, "part of the protocol version");
static_assert(sizeof(struct proto_welcome) == 96, "part of the protocol version");
static_assert(sizeof(struct proto_create) == 56 + 208 + 1032, "part of the protocol version");
static_assert(sizeof(struct proto_created) == 40, "part of the protocol version");
static_assert(sizeof(struct proto_open) == 40 + 208, "part of the protocol version");
static_assert(sizeof(struct proto_users) == 32, "part of the protocol version");
static_assert(sizeof(struct proto_opened) == 24 + 72 + 32 + 1032 + 8 * 64 + 8, "part of the protocol version");
static_assert(sizeof(struct proto_claim) == 64, "part of the protocol version");
static_assert(sizeof(struct proto_legacy) == 40 + 24 * PROTO_LEGACY_FDS, "part of the protocol version");
static_assert(sizeof(struct proto_claimed) == 64, "part of the protocol version");
static_assert(sizeof(struct proto_info) == 96 + 208 + 1032, "part of the protocol version");
static_assert(sizeof(struct proto_list) == 24 + 256 + 208, "part of the protocol version");
static_assert(sizeof(struct proto_chmod) == 32 + 208, "part of the protocol version");
static_assert(sizeof(struct proto_chown) == 32 + 208, "part of the protocol version");
static_assert(sizeof(struct proto_state) == 56, "part of the protocol version");
static_assert(sizeof(struct proto_group_notice) == 32, "part of the protocol version");

/* A message of any kind, for a buffer that fits all but a list's reply. */
union proto_any {
        struct proto_header header;
        struct proto_error error;
        struct proto_hello hello;
        struct proto_welcome welcome;
        struct proto_create create;
        struct proto_created created;
        struct proto_open open;
        struct proto_opened opened;
        struct proto_claim claim;
        struct proto_claimed claimed;
        struct proto_stat stat;
        struct proto_stat_reply stat_reply;
        struct proto_list list;
        struct proto_remove remove;
        struct proto_chmod chmod;
        struct proto_chown chown;
        struct proto_state state;
        struct proto_group_notice group;
};

enum {
        MESSAGE_E_SHORT = 1, /* no whole header */
        MESSAGE_E_SIZE,      /* the header's size is not that of the packet */
        MESSAGE_E_VERSION,   /* another protocol version */
        MESSAGE_E_FDS,       /* n_fds is not the number of descriptors that came */
        MESSAGE_E_RESERVED,  /* a reserved member is not 0 */
        MESSAGE_E_UNKNOWN,   /* longer than known here, and the rest is not zero */
        MESSAGE_E_STRING,    /* a string without its NUL */
};

/**
 * message_check() - is this packet a message at all?
 * @packet: the bytes that came
 * @size:   how many
 * @n_fds:  descriptors that came with them
 *
 * Return: 0 or MESSAGE_E_SHORT, _SIZE, _VERSION, _FDS, _RESERVED.
 */
int message_check(const void *packet, size_t size, size_t n_fds);

/**
 * message_extract() - a checked packet as the structure that is known here
 * @out:      receives the structure: zero-extended, or cut where the rest is zero
 * @out_size: its size
 * @packet:   a packet that message_check() passed
 * @size:     its size
 *
 * Return: 0 or MESSAGE_E_UNKNOWN.
 */
int message_extract(void *out, size_t out_size, const void *packet, size_t size);

/**
 * message_check_request() - the strings and reserved members of an extracted request
 * @request: an extracted request of header.op's kind
 *
 * Return: 0, MESSAGE_E_STRING or MESSAGE_E_RESERVED.
 */
int message_check_request(const union proto_any *request);

/* The size of a request's structure; 0 for an op that is no request. */
size_t message_request_size(uint16_t op);

/* What is wrong, as the end of a sentence ("the message ..."). */
const char *message_explain(int outcome);

/* Fill in a header. */
void message_init(struct proto_header *header, uint16_t op, size_t size, uint32_t serial);
