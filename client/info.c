#include "client/info.h"

#include <stdio.h>

void info_from_proto(struct shmd_info *out, const struct proto_info *in) {
        *out = (struct shmd_info){
                .id = in->id,
                .slot_size = in->slot_size,
                .bytes = in->bytes,
                .allocated = in->allocated,
                .sequence = in->sequence,
                .timestamp = in->timestamp,
                .created = in->created,
                .n_slots = in->n_slots,
                .policy = in->policy,
                .flags = in->segment_flags,
                .mode = in->mode,
                .uid = in->uid,
                .gid = in->gid,
                .writers = in->writers,
                .readers = in->readers,
                .foreign_holds = in->foreign_holds,
        };
        (void)snprintf(out->name, sizeof(out->name), "%.*s", SHMD_NAME_MAX, in->name);
        (void)snprintf(out->type, sizeof(out->type), "%.*s", SHMD_TYPE_MAX, in->type);
}
