#include "proto/slots_foreign.h"

#define EACH_BIT(bit, mask) \
        for (uint64_t rest_ = (mask); rest_ && ((bit) = (uint32_t)__builtin_ctzll(rest_), true); rest_ &= rest_ - 1)

void slots_set_group(struct slots_writer *w, uint32_t index, const struct slots_group *group) {
        struct slots_group *g = &w->groups[index];
        uint64_t bit = UINT64_C(1) << index;

        *g = *group;
        w->foreign &= ~bit;
        if (index >= w->n_groups)
                w->n_groups = index + 1;
        if (!g->table || g->binding || g->account >= LAYOUT_GROUPS_MAX)
                return;
        w->holds[g->account] = g->holds;
        if (g->holds > 0 && slots_foreign_most(w->slots.geometry.n_slots) > 0)
                w->foreign |= bit;
}

/* Who of @accounts holds the frame? */
static uint64_t holders(const struct slots_writer *w, uint64_t word, uint64_t accounts) {
        uint64_t found = 0;
        uint32_t i;

        EACH_BIT(i, w->foreign) {
                const struct slots_group *g = &w->groups[i];
                uint64_t bit = UINT64_C(1) << g->account;

                if (!(accounts & ~found & bit))
                        continue;
                for (uint32_t n = slots_entries(g->table), e = 0; e < n; e++)
                        /* seq_cst, and seeing a hold gone acquires: as in holder(). */
                        if (atomic_load(&g->table->reader[e].hold) == word) {
                                found |= bit;
                                break;
                        }
        }
        return found;
}

/* Is the frame in its slot? What the list says is another writer's word. */
static bool is_in_slot(const struct slots *s, uint64_t word) {
        /* relaxed: only owners of the lock store it. */
        return slots_word_slot(word) < s->geometry.n_slots &&
               (atomic_load_explicit(&slots_slot(s, slots_word_slot(word))->sequence, memory_order_relaxed) &
                ~LAYOUT_CLAIMED) == slots_word_sequence(word);
}

/* Charge a frame to accounts. Return: those that can afford it. */
static uint64_t charge(const struct slots_writer *w, uint32_t *charged, uint64_t accounts) {
        uint64_t can = 0;
        uint32_t i;

        EACH_BIT(i, accounts)
        if (charged[i] < w->holds[i]) {
                charged[i]++;
                can |= UINT64_C(1) << i;
        }
        return can;
}

/* An entry of the list, where it is not that already: relaxed, as only owners of the lock come here. */
static void put(struct layout_kept *kept, uint64_t word, uint64_t accounts) {
        if (atomic_load_explicit(&kept->accounts, memory_order_relaxed) != accounts)
                atomic_store_explicit(&kept->accounts, accounts, memory_order_relaxed);
        if (atomic_load_explicit(&kept->word, memory_order_relaxed) != word)
                atomic_store_explicit(&kept->word, word, memory_order_relaxed);
}

bool slots_foreign_keep(const struct slots_writer *w, uint64_t word) {
        const uint64_t want = holders(w, word, UINT64_MAX);
        const uint32_t most = slots_foreign_most(w->slots.geometry.n_slots);
        struct layout_kept *kept = slots_header(&w->slots)->kept;
        uint32_t charged[LAYOUT_GROUPS_MAX] = { 0 };
        uint32_t n = 0, at = UINT32_MAX;
        uint64_t had = 0, last = 0;

        if (!want)
                return false;
        for (uint32_t i = 0; i < most; i++) {
                uint64_t is = atomic_load_explicit(&kept[i].word, memory_order_relaxed);
                uint64_t accounts = atomic_load_explicit(&kept[i].accounts, memory_order_relaxed);

                if (is == 0)
                        break;
                /* Twice the same: a writer died while it moved the list up. */
                if (is == last || !is_in_slot(&w->slots, is))
                        continue;
                accounts = charge(w, charged, is == word ? accounts & want : holders(w, is, accounts));
                if (!accounts)
                        continue;
                if (is == word) {
                        at = n;
                        had = accounts;
                }
                put(&kept[n++], is, accounts);
                last = is;
        }
        /* What was honoured before has come first. */
        if (at != UINT32_MAX || n < most) {
                uint64_t accounts = had | charge(w, charged, want & ~had);

                if (at == UINT32_MAX && accounts)
                        at = n++;
                if (accounts)
                        put(&kept[at], word, accounts);
                had = accounts;
        }
        if (n < most)
                put(&kept[n], 0, 0);
        return had != 0;
}

bool slots_foreign_kept(const struct slots_writer *w, uint64_t word) {
        const uint32_t most = slots_foreign_most(w->slots.geometry.n_slots);
        const struct layout_kept *kept = slots_header(&w->slots)->kept;

        for (uint32_t i = 0; i < most; i++) {
                uint64_t is = atomic_load_explicit(&kept[i].word, memory_order_relaxed);

                if (is == 0 || is == word)
                        return is == word;
        }
        return false;
}
