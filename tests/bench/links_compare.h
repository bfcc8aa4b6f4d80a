/* links_compare.h -- which of the things that people use can be compared with here. */
#pragma once

struct link_kind;

/* The usable ones, NULL behind the last; none before links_start(). */
extern const struct link_kind *links_to_compare[];

/* Name all, and which of them were left out when this was built. */
void links_list(void);

/* Start what they need; says on stderr which are left out. */
void links_start(void);

void links_stop(void);
