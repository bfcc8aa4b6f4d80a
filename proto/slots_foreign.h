/*
 * slots_foreign.h -- the holds of readers of other uids than the owner's: which of them a writer honours.
 *
 * Each such uid has an account, and may hold so many frames at a time as the segment's owner allows; all of them
 * together may hold as many as there are slots less two, so that neither the newest frame nor the one that is being
 * written is ever in want of a slot for their sake. It is frames that count, since they take slots, not readers.
 *
 * First come, first served: what a writer has once met and honoured is on a list in the data header (layout_kept), and
 * stays honoured until all of the account have let go of it, whatever they or other uids hold later. The list is only
 * believed together with the holds themselves, so nobody takes anything off it: what has gone makes room when a writer
 * looks at the list the next time. Its order is the order of precedence, should it claim more than the budgets allow.
 *
 * What is not honoured is no hold: its frame goes like any other, and its reader is told at release. And what is
 * honoured yields to the owner's uid: before a writer breaks a hold of the owner's reader, or waits although none of
 * the owner's readers has anything more to do, it breaks a foreign one.
 */
#pragma once

#include "proto/slots.h"

/* Entries of a table that may be in use. seq_cst like the loads of the entries: a reader that the daemon lets in while
 * we look has its hold after this load, and sees our claim. */
static inline uint32_t slots_entries(const struct layout_table *table) {
        uint32_t used = atomic_load(&table->used);

        return used < LAYOUT_READERS_MAX ? used : LAYOUT_READERS_MAX;
}

/* Is the frame to be kept for foreign readers? It is in its slot, claimed or not; the writer has the lock, and some group
 * is foreign. If so it is on the list. */
bool slots_foreign_keep(const struct slots_writer *w, uint64_t word);

/* Is it on the list? */
bool slots_foreign_kept(const struct slots_writer *w, uint64_t word);
