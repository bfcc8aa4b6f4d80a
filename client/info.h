/* info.h -- a description of a segment as it came, made into the public one. */
#pragma once

#include "client/shmd.h"
#include "proto/message.h"

void info_from_proto(struct shmd_info *out, const struct proto_info *in);
