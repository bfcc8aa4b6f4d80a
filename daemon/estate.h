/*
 * estate.h -- what the next instance of the daemon gets: a record of every segment and group, and their descriptors.
 *
 * A thing is kept once its descriptors are with the store and its place in the record is written, in that order, and
 * given up in the opposite order: what the record names is there, unless the store has lost it. Room for both is reserved
 * before anything is made, so that keeping cannot fail.
 *
 * Names in the store are a letter and the number of a segment or group, which is used once: s (record, with its
 * generation), d (data), r (room bell), t (table), b (bell).
 */
#pragma once

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/record.h"
#include "daemon/store.h"

struct group;
struct segment;

struct estate {
        struct store store;
        LIST_HEAD(, segment) segments; /* that are kept */
        struct record record;
        uint32_t counters; /* their place */
        uint64_t next_id;  /* of a segment or a group */
        bool kept;         /* the record is with the store */
        bool tentative;    /* a segment is */
        bool sealed;       /* nothing is given up any more: the next instance gets it */
};

#define ESTATE_E_FULL 64 /* the store, or the record, has no room for another one; beside BUDGET_E_* */

/* @store_max: descriptors that a service manager keeps; 0: none. Return: 0 or a negative errno. */
int estate_init(struct estate *e, struct event_base *base, uint64_t store_max);
void estate_deinit(struct estate *e);

/**
 * estate_begin() - a new, empty record
 * @generation: above that of the last one
 * @next_id:    no number from there on was ever used
 *
 * Return: 0 or a negative errno.
 */
int estate_begin(struct estate *e, uint64_t generation, uint64_t next_id);

/* The record says all that there is: from now on it is kept. */
void estate_keep(struct estate *e);

/* A number for a segment or a group. */
uint64_t estate_number(struct estate *e);

/* The name of a thing in the store. */
const char *estate_name(char name[STORE_NAME_MAX], char letter, uint64_t number);

/* Reserve what a segment, or a group, needs. Return: 0 or ESTATE_E_FULL. */
int estate_reserve_segment(struct estate *e, struct segment *s);
int estate_reserve_group(struct estate *e, struct group *g);

/* It is complete: keep it. */
void estate_keep_segment(struct estate *e, struct segment *s);
void estate_keep_group(struct estate *e, struct group *g);

/* One that is kept since before. */
void estate_adopt_segment(struct estate *e, struct segment *s);

/* Call @fn for each that is kept. */
void estate_for_each(struct estate *e, void (*fn)(struct segment *s, void *data), void *data);

/* What is recorded of it has changed. Also for one that is not kept. */
void estate_update_segment(struct estate *e, struct segment *s);
void estate_update_group(struct estate *e, struct group *g);

/* It goes: kept, reserved or neither. Does nothing once the estate is sealed. */
void estate_drop_segment(struct estate *e, struct segment *s);
void estate_drop_group(struct estate *e, struct group *g);

/* The room bell. Return: 0 or ESTATE_E_FULL. */
int estate_keep_room(struct estate *e, struct segment *s);
void estate_drop_room(struct estate *e, struct segment *s);
