#include "proto/message.h"

#include <string.h>

static bool is_zero(const unsigned char *p, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (p[i])
                        return false;
        return true;
}

static bool is_string(const char *s, size_t size) { return memchr(s, '\0', size) != NULL; }

int message_check(const void *packet, size_t size, size_t n_fds) {
        struct proto_header h;

        if (size < sizeof(h))
                return MESSAGE_E_SHORT;
        memcpy(&h, packet, sizeof(h));
        if (h.size != size)
                return MESSAGE_E_SIZE;
        if (h.version != PROTO_VERSION)
                return MESSAGE_E_VERSION;
        if (h.n_fds != n_fds)
                return MESSAGE_E_FDS;
        if (h.reserved != 0)
                return MESSAGE_E_RESERVED;
        return 0;
}

int message_extract(void *out, size_t out_size, const void *packet, size_t size) {
        size_t known = size < out_size ? size : out_size;

        if (!is_zero((const unsigned char *)packet + known, size - known))
                return MESSAGE_E_UNKNOWN;
        memcpy(out, packet, known);
        memset((unsigned char *)out + known, 0, out_size - known);
        return 0;
}

size_t message_request_size(uint16_t op) {
        static const size_t sizes[PROTO_OP_REQUESTS] = {
                [PROTO_OP_HELLO] = sizeof(struct proto_hello), [PROTO_OP_CREATE] = sizeof(struct proto_create),
                [PROTO_OP_OPEN] = sizeof(struct proto_open),   [PROTO_OP_STAT] = sizeof(struct proto_stat),
                [PROTO_OP_LIST] = sizeof(struct proto_list),   [PROTO_OP_REMOVE] = sizeof(struct proto_remove),
                [PROTO_OP_CHMOD] = sizeof(struct proto_chmod), [PROTO_OP_CHOWN] = sizeof(struct proto_chown),
                [PROTO_OP_CLAIM] = sizeof(struct proto_claim), [PROTO_OP_REPLACE] = sizeof(struct proto_header),
        };

        return op < PROTO_OP_REQUESTS ? sizes[op] : 0;
}

int message_check_request(const union proto_any *m) {
        bool strings = true;
        uint32_t reserved = 0;

        switch (m->header.op) {
        case PROTO_OP_HELLO:
                strings = is_string(m->hello.client, sizeof(m->hello.client));
                break;
        case PROTO_OP_CREATE:
                strings = is_string(m->create.name, sizeof(m->create.name)) &&
                          is_string(m->create.type, sizeof(m->create.type));
                break;
        case PROTO_OP_OPEN:
                strings = is_string(m->open.name, sizeof(m->open.name));
                reserved = m->open.reserved;
                break;
        case PROTO_OP_STAT:
                strings = is_string(m->stat.name, sizeof(m->stat.name));
                break;
        case PROTO_OP_LIST:
                strings = is_string(m->list.pattern, sizeof(m->list.pattern)) &&
                          is_string(m->list.after, sizeof(m->list.after));
                break;
        case PROTO_OP_REMOVE:
                strings = is_string(m->remove.name, sizeof(m->remove.name));
                break;
        case PROTO_OP_CHMOD:
                strings = is_string(m->chmod.name, sizeof(m->chmod.name));
                reserved = m->chmod.reserved;
                break;
        case PROTO_OP_CHOWN:
                strings = is_string(m->chown.name, sizeof(m->chown.name));
                break;
        case PROTO_OP_CLAIM:
                reserved = m->claim.reserved;
                break;
        default:
                break;
        }
        if (!strings)
                return MESSAGE_E_STRING;
        return reserved ? MESSAGE_E_RESERVED : 0;
}

const char *message_explain(int outcome) {
        switch (outcome) {
        case MESSAGE_E_SHORT:
                return "is shorter than its header";
        case MESSAGE_E_SIZE:
                return "gives another size than it has";
        case MESSAGE_E_VERSION:
                return "is of another protocol version";
        case MESSAGE_E_FDS:
                return "claims another number of descriptors than came";
        case MESSAGE_E_RESERVED:
                return "has a reserved member that is not 0";
        case MESSAGE_E_UNKNOWN:
                return "is longer than known here, and the rest is not zero";
        case MESSAGE_E_STRING:
                return "has a string without its end";
        default:
                return "is valid";
        }
}

void message_init(struct proto_header *header, uint16_t op, size_t size, uint32_t serial) {
        *header = (struct proto_header){
                .size = (uint32_t)size,
                .version = PROTO_VERSION,
                .op = op,
                .serial = serial,
        };
}
