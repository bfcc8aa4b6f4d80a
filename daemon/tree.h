/* tree.h -- libbsd's red-black trees, with functions that stay in their file. */
#pragma once

#include <bsd/sys/tree.h>

/* RB_GENERATE_STATIC() relies on a macro __unused, which libbsd leaves undefined on Linux. */
#define TREE_GENERATE(name, type, field, compare) \
        RB_GENERATE_INTERNAL(name, type, field, compare, static __attribute__((unused)))
