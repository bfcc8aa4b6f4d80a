/*
 * foreign.pml -- holds of other uids: kept within the budget, whatever others do, and never at the owner's expense.
 *
 * Mirrors slots_begin() with search(), go_round(), take(), needed_by(), note(), find_let_go(), forfeit(); and
 * slots_foreign_keep() with holders(), is_in_slot(), charge(). A step is one access to shared memory; the list of what is
 * kept belongs to who has the lock, so a look at it is none. hold() and slots_release() of readers that go from any frame
 * to any other, which is more than slots_latest() and slots_next() do.
 *
 * Entry 0 is an honest reader of a foreign uid that may hold one frame, 1 and 2 (LIARS) are of another such uid and hold
 * whatever comes to their mind, 3 (OWNER) is the owner's. A reader goes for HOLDS frames.
 * The writer looks round as often as it has reason to: that it is 100 times at most is left out.
 *
 * Left out: payload and fences (overwrite.pml), the epoch (attach.pml), ordered readers (test_slots_model), several writers:
 * the list is the same for all.
 *
 * Proven: the owner's hold is never broken; nor one that was honoured, while none of the owner's readers needs the slot; nor
 * any honest one where there are slots for everybody's budget. The writer always finds a slot.
 *
 * PASS: -DSLOTS=4 -DLIARS=1 -DFRAMES=5
 * PASS: -DSLOTS=3 -DLIARS=2 -DFRAMES=4
 * PASS: -DSLOTS=4 -DOWNER -DFRAMES=6
 * PASS: -DSLOTS=3 -DOWNER -DFRAMES=5
 * PASS: -DSLOTS=3 -DOWNER -DLIARS=1 -DFRAMES=4
 * FAIL: -DSLOTS=4 -DLIARS=2 -DFRAMES=5 -DNO_BUDGET
 * FAIL: -DSLOTS=3 -DLIARS=2 -DFRAMES=4 -DNO_CAP
 * FAIL: -DSLOTS=4 -DLIARS=2 -DFRAMES=5 -DLIST_ALONE
 * FAIL: -DSLOTS=4 -DLIARS=2 -DFRAMES=5 -DNO_SECOND_LOOK
 * FAIL: -DSLOTS=4 -DLIARS=2 -DFRAMES=5 -DNO_LET_GO
 * FAIL: -DSLOTS=4 -DLIARS=2 -DFRAMES=5 -DLET_GO_AT_ONCE
 * FAIL: -DSLOTS=3 -DOWNER -DFRAMES=5 -DNO_FORFEIT
 * FAIL: -DSLOTS=3 -DOWNER -DFRAMES=5 -DFORFEIT_AT_ONCE
 */

#ifndef HOLDS
#define HOLDS 2
#endif
#ifndef LIARS
#define LIARS 0
#endif
#ifdef OWNER
#define OWNERS 1
#else
#define OWNERS 0
#endif

#define WORD(n, s) ((n) * 4 + (s))
#define SEQUENCE(w) ((w) / 4)
#define SLOT(w) ((w) % 4)
#define CLAIMED 64
#define WRITING 128
#define NONE 255

#define HONEST 1 /* accounts, as bits */
#define LIAR 2
#define ON_LIST(w) (kept_word[0] == w || kept_word[1] == w || kept_word[2] == w)
#ifdef OWNER
#define NOT_OWNERS(s) && hold[3] != WORD(sequence[s], s)
#else
#define NOT_OWNERS(s)
#endif
#define ENOUGH (SLOTS >= OWNERS + 1 + (LIARS > 0) + 2)
#ifdef NO_CAP
#define MOST (SLOTS - 1)
#else
#define MOST (SLOTS - 2)
#endif

byte head;
byte sequence[SLOTS];
byte hold[4];
bool promised; /* a writer has honoured entry 0's hold */

/* The list. */
byte kept_word[SLOTS];
byte kept_accounts[SLOTS];
byte n_kept;

/* holders(): entry by entry; who of @asked holds the frame is in found. */
inline holders(word, asked) {
        found = 0;
        if
        :: asked & HONEST ->
                if
                :: hold[0] == word -> found = HONEST
                :: else
                fi
        :: else
        fi;
#if LIARS > 0
        if
        :: asked & LIAR ->
                if
                :: hold[1] == word -> found = found | LIAR
                :: else
#if LIARS > 1
                        ->
                        if
                        :: hold[2] == word -> found = found | LIAR
                        :: else
                        fi
#endif
                fi
        :: else
        fi
#endif
}

/* charge(): each may hold one. */
inline charge(accounts) {
#ifndef NO_BUDGET
        accounts = accounts & (3 - charged);
#endif
        charged = charged | accounts
}

/* slots_foreign_keep(): accounts receives who is honoured. */
inline keep(word) {
        holders(word, 3);
        atomic { want = found; found = 0; accounts = 0; charged = 0; k = 0; n = 0; at = NONE };
        if
        :: want ->
                do
                :: k == n_kept -> break
                :: else ->
                        if
                        :: kept_word[k] == word -> atomic { found = kept_accounts[k] & want; at = n }
                        :: kept_word[k] != word && sequence[SLOT(kept_word[k])] == SEQUENCE(kept_word[k]) ->
#ifdef LIST_ALONE
                                found = kept_accounts[k]
#else
                                holders(kept_word[k], kept_accounts[k])
#endif
                        :: else -> found = 0
                        fi;
                        d_step {
                                charge(found);
                                if
                                :: found && kept_word[k] == word -> accounts = found
                                :: kept_word[k] == word && !found -> at = NONE
                                :: else
                                fi;
                                if
                                :: found -> kept_word[n] = kept_word[k]; kept_accounts[n] = found; n++
                                :: else
                                fi;
                                found = 0;
                                k++
                        }
                od;
                atomic {
                        if
                        :: at != NONE || n < MOST ->
                                want = want & (3 - accounts);
                                charge(want);
                                accounts = accounts | want;
                                if
                                :: at == NONE && accounts -> at = n; n++
                                :: else
                                fi;
                                if
                                :: accounts -> kept_word[at] = word; kept_accounts[at] = accounts
                                :: else
                                fi
                        :: else
                        fi;
                        n_kept = n;
                        k = n;
                        do
                        :: k < SLOTS -> kept_word[k] = 0; kept_accounts[k] = 0; k++
                        :: else -> break
                        od;
                        if
                        :: (accounts & HONEST) && hold[0] == word -> promised = true
                        :: else
                        fi
                }
        :: else
        fi;
        atomic { want = 0; found = 0; charged = 0; k = 0; n = 0; at = 0 }
}

/* needed_by(): by is the owner's reader, accounts are the others'. */
inline look(slot, is) {
        atomic { owner = false; accounts = 0 };
#ifdef OWNER
        owner = (hold[3] == WORD(is, slot));
#endif
        if
        :: !owner -> keep(WORD(is, slot))
        :: else
        fi
}

/* note(): what a round has met. */
inline note() {
        atomic {
                if
                :: owner ->
                        if
                        :: met_owner -> twice = true
                        :: else
                        fi;
                        met_owner = true
                :: else ->
                        if
                        :: foreign == NONE || sequence[s] < sequence[foreign] -> foreign = s
                        :: else
                        fi
                fi;
                owner = false;
                accounts = 0;
                is = 0
        }
}

inline next_slot() { atomic { i++; s = (s + 1) % SLOTS } }

active proctype writer() {
        byte frames = 0, next = 0, s = 0, i = 0, is = 0, victim = 0;
        byte foreign = NONE, let_go = NONE;
        byte want = 0, found = 0, accounts = 0, charged = 0, k = 0, n = 0, at = 0;
        bool owner = false, met_owner = false, twice = false;

        do
        :: frames == FRAMES -> break
        :: else ->
again:          atomic { i = 0; s = next; foreign = NONE; let_go = NONE; met_owner = false; twice = false };
                do
                :: i == SLOTS -> break
                :: i < SLOTS && frames != 0 && s == SLOT(head) -> next_slot()
                :: i < SLOTS && !(frames != 0 && s == SLOT(head)) -> /* take() */
                        is = sequence[s];
                        if
                        :: is == 0 -> goto taken
                        :: else
                        fi;
                        if
                        :: look(s, is)
                        :: skip /* the first look is left out where the last search met nobody */
                        fi;
                        if
                        :: !owner && !accounts ->
                                sequence[s] = CLAIMED + is;
#ifndef NO_SECOND_LOOK
                                look(s, is);
#endif
                                if
                                :: !owner && !accounts -> goto taken
                                :: else -> sequence[s] = is
                                fi
                        :: else
                        fi;
                        note();
                        next_slot()
                od;
                /* forfeit(), find_let_go() */
                atomic { victim = foreign; i = 0; s = 0 };
                do
                :: i == SLOTS || let_go != NONE -> break
                :: i < SLOTS && let_go == NONE ->
                        if
                        :: i != SLOT(head) && !ON_LIST(WORD(sequence[i], i)) NOT_OWNERS(i) -> atomic { let_go = i; victim = i }
                        :: else
                        fi;
                        i++
                od;
                atomic { i = 0 };
#ifdef NO_LET_GO
                d_step { let_go = NONE; victim = foreign };
#endif
#ifdef NO_FORFEIT
                victim = NONE;
#endif
                if
                :: twice -> victim = 0; goto again
                :: else
                fi;
                /* The owner has one reader, and it does not need all slots: nobody waits for it, and it loses nothing. */
                assert(victim != NONE);
                s = victim;
                is = sequence[s];
#ifndef FORFEIT_AT_ONCE
                sequence[s] = CLAIMED + is;
                if
#ifndef LET_GO_AT_ONCE
                :: let_go != NONE -> look(s, is)
#endif
                :: else
#ifdef OWNER
                        -> owner = (hold[3] == WORD(is, s))
#endif
                fi;
                if
                :: owner || accounts ->
                        sequence[s] = is;
                        atomic { is = 0; owner = false; accounts = 0; victim = 0 };
                        goto again
                :: else
                fi;
#endif
taken:
                atomic {
                        i = 0; is = 0; victim = 0; foreign = NONE; let_go = NONE;
                        owner = false; met_owner = false; twice = false; accounts = 0;
                        next = (s + 1) % SLOTS;
                        frames++
                };
                sequence[s] = WRITING;
                d_step { sequence[s] = frames; head = WORD(frames, s); s = 0 }
        od
}

/* hold() and slots_release() of one frame after the other, whichever is there. */
proctype reader(byte me) {
        byte tries = 0, n = 0, s = 0;
        bool got = false;

        do
        :: tries == HOLDS -> break
        :: tries < HOLDS ->
                atomic {
                        if
                        :: s = 0
                        :: s = 1
                        :: s = 2
#if SLOTS > 3
                        :: s = 3
#endif
                        fi;
end_none:               sequence[s] != 0 && sequence[s] < CLAIMED -> n = sequence[s]
                };
                atomic { hold[me] = WORD(n, s); tries++ };
                got = (sequence[s] == n);
                if
                :: got ->
                        d_step {
                                got = (sequence[s] == n || sequence[s] == CLAIMED + n);
                                assert(got || me == 0);
                                assert(got || !ENOUGH);
#ifndef OWNER
                                assert(got || !promised)
#endif
                        }
                :: else
                fi;
                atomic {
                        hold[me] = 0;
                        n = 0;
                        s = 0;
                        got = false;
                        if
                        :: me == 0 -> promised = false
                        :: else
                        fi
                }
        od
}

#if LIARS > 0
/* It may claim any frame, at any time, or none. */
active proctype liar() {
end:    do
        :: hold[1] = 0
        :: hold[1] = WORD(sequence[0] % CLAIMED, 0)
        :: hold[1] = WORD(sequence[1] % CLAIMED, 1)
        :: hold[1] = WORD(sequence[2] % CLAIMED, 2)
#if SLOTS > 3
        :: hold[1] = WORD(sequence[3] % CLAIMED, 3)
#endif
#if LIARS > 1
        :: hold[2] = 0
        :: hold[2] = WORD(sequence[0] % CLAIMED, 0)
        :: hold[2] = WORD(sequence[1] % CLAIMED, 1)
        :: hold[2] = WORD(sequence[2] % CLAIMED, 2)
#if SLOTS > 3
        :: hold[2] = WORD(sequence[3] % CLAIMED, 3)
#endif
#endif
        od
}
#endif

init {
        atomic {
                run reader(0);
#ifdef OWNER
                run reader(3)
#endif
        }
}
