/*
 * litmus.cc -- the crossings of stores and loads that the slots rely on, in the memory model of C11 and C++11.
 *
 * Spin's models (*.pml) interleave accesses as if each were seen by all at once. Here each crossing stands alone, with the
 * orders that the code gives it, and Relacy searches what the language allows: stores that are seen late, and by one
 * before another. Every test has mutants, an order or a fence taken away, which have to fail; where a mutant would pass,
 * the order is stronger than it need be.
 *
 * The payload is plain memory in the code; here it is relaxed, since a reader may look at what is being overwritten as
 * long as it finds out afterwards.
 *
 * Relacy runs each thread in its order, so it does not see a load that gets its value from a later store (the release that
 * a hold is let go with is for that), and it lets a seq_cst load see what the standard forbids it to see where the other
 * side has a seq_cst fence (C17 7.17.3, 10): load_after_fence() makes up for that.
 *
 * litmus: run all, print a line for each. It fails if a test does, or a mutant does not.
 */
#include <relacy/relacy.hpp>

#include <cstdio>
#include <iostream>
#include <streambuf>

namespace {

using word = rl::atomic<unsigned>;

constexpr rl::memory_order relaxed = rl::mo_relaxed;
constexpr rl::memory_order acquire = rl::mo_acquire;
constexpr rl::memory_order release = rl::mo_release;
constexpr rl::memory_order seq_cst = rl::mo_seq_cst;

constexpr unsigned CLAIMED = 0x100, WRITING = 0x200;

/* A seq_cst load that is to see what was stored before a seq_cst fence which precedes it in the one order of all. */
unsigned load_after_fence(word &from) {
        rl::atomic_thread_fence(seq_cst, $);
        return from($).load(seq_cst);
}

/* take() against hold(): a frame that is held is not overwritten, and one that was let go of is overwritten only after it
 * was read. */
template <int mutant> struct hold : rl::test_suite<hold<mutant>, 2> {
        word sequence, held, payload;

        void before() {
                sequence($) = 1;
                held($) = 0;
                payload($) = 1;
        }

        void write() {
                sequence($).store(1 | CLAIMED, mutant == 1 ? release : seq_cst);
                if (mutant != 2 && held($).load(mutant == 4 ? relaxed : seq_cst)) {
                        sequence($).store(1, release);
                        return;
                }
                sequence($).store(WRITING, relaxed);
                rl::atomic_thread_fence(release, $);
                payload($).store(2, relaxed);
        }

        void read() {
                held($).store(1, mutant == 3 ? release : seq_cst);
                if (sequence($).load(seq_cst) == 1)
                        RL_ASSERT(payload($).load(relaxed) == 1);
                held($).store(0, seq_cst);
        }

        void thread(unsigned index) {
                if (index == 0)
                        write();
                else
                        read();
        }
};

/* slots_flush() against slots_latest(): who sees the head sees the frame. */
template <int mutant> struct by_head : rl::test_suite<by_head<mutant>, 2> {
        word head, sequence, payload;

        void before() {
                head($) = 1;
                sequence($) = 1;
                payload($) = 1;
        }

        void thread(unsigned index) {
                if (index == 0) {
                        payload($).store(2, relaxed);
                        sequence($).store(2, mutant == 1 ? relaxed : release);
                        head($).store(2, mutant ? relaxed : release);
                } else if (head($).load(mutant == 2 ? relaxed : acquire) == 2) {
                        /* hold() loads the sequence again; alone it would do, too. */
                        RL_ASSERT(mutant == 2 || sequence($).load(relaxed) == 2);
                        RL_ASSERT(payload($).load(relaxed) == 2);
                }
        }
};

/* slots_flush() against find(): who sees the index finds the sequence, and with it the frame. */
template <int mutant> struct by_index : rl::test_suite<by_index<mutant>, 2> {
        word index, sequence, payload;

        void before() {
                index($) = 0;
                sequence($) = 0;
                payload($) = 0;
        }

        void thread(unsigned i) {
                if (i == 0) {
                        payload($).store(2, relaxed);
                        sequence($).store(2, mutant == 1 ? relaxed : release);
                        index($).store(2, mutant == 1 || mutant == 2 ? relaxed : release);
                } else if (index($).load(mutant == 3 ? relaxed : acquire) == 2) {
                        RL_ASSERT(sequence($).load(relaxed) == 2);
                        if (sequence($).load(seq_cst) == 2)
                                RL_ASSERT(payload($).load(relaxed) == 2);
                }
        }
};

/* start_writing() against slots_intact(): one slot, or a hold that was broken. What was called whole was whole. */
template <int mutant> struct overwrite : rl::test_suite<overwrite<mutant>, 2> {
        word sequence, first, second;

        void before() {
                sequence($) = 1;
                first($) = 1;
                second($) = 1;
        }

        void thread(unsigned index) {
                if (index == 0) {
                        sequence($).store(1 | CLAIMED, seq_cst);
                        sequence($).store(WRITING, relaxed);
                        if (mutant != 1)
                                rl::atomic_thread_fence(release, $);
                        first($).store(2, relaxed);
                        second($).store(2, relaxed);
                        sequence($).store(2, mutant == 3 ? relaxed : release);
                } else {
                        unsigned before = sequence($).load(seq_cst), a, b;

                        if (before != 1 && before != 2)
                                return;
                        a = first($).load(relaxed);
                        b = second($).load(relaxed);
                        if (mutant != 2)
                                rl::atomic_thread_fence(acquire, $);
                        if ((sequence($).load(relaxed) & ~CLAIMED) == before)
                                RL_ASSERT(a == before && b == before);
                }
        }
};

/* slots_flush() and slots_unlock() against slots_arm(): one of them sees the other. */
template <int mutant> struct wake : rl::test_suite<wake<mutant>, 2> {
        word head, waiting;
        bool rings, sleeps;

        void before() {
                head($) = 1;
                waiting($) = 0;
                rings = sleeps = false;
        }

        void thread(unsigned index) {
                if (index == 0) {
                        head($).store(2, release);
                        if (mutant != 1)
                                rl::atomic_thread_fence(seq_cst, $);
                        rings = waiting($).load(seq_cst);
                } else {
                        waiting($).fetch_or(1, seq_cst);
                        sleeps = (mutant == 2 ? head($).load(acquire) : load_after_fence(head)) == 1;
                }
        }

        void after() { RL_ASSERT(rings || !sleeps); }
};

/* slots_unlock() against slots_lock_want(): who sleeps is woken. */
template <int mutant> struct lock_wake : rl::test_suite<lock_wake<mutant>, 2> {
        word lock, wanted;
        bool wakes, sleeps;

        void before() {
                lock($) = 1;
                wanted($) = 0;
                wakes = sleeps = false;
        }

        void thread(unsigned index) {
                if (index == 0) {
                        lock($).store(0, release);
                        if (mutant != 1)
                                rl::atomic_thread_fence(seq_cst, $);
                        wakes = wanted($).load(seq_cst);
                } else {
                        wanted($).store(1, seq_cst);
                        sleeps = (mutant == 2 ? lock($).load(acquire) : load_after_fence(lock)) == 1;
                }
        }

        void after() { RL_ASSERT(wakes || !sleeps); }
};

/* slots_lock() and slots_unlock(): the next owner sees what the last one did to slots and next_slot. */
template <int mutant> struct lock_order : rl::test_suite<lock_order<mutant>, 2> {
        word lock, next_slot;

        void before() {
                lock($) = 0;
                next_slot($) = 0;
        }

        void thread(unsigned) {
                unsigned is = lock($).load(mutant == 2 ? relaxed : seq_cst);

                if (is % 2 || !lock($).compare_exchange_strong(is, is + 1, mutant == 2 ? release : seq_cst,
                                                               mutant == 2 ? relaxed : seq_cst))
                        return;
                RL_ASSERT(next_slot($).load(relaxed) == is / 2);
                next_slot($).store(is / 2 + 1, relaxed);
                lock($).store(is + 2, mutant == 1 ? relaxed : release);
        }
};

/* slots_want_room() against let_go(): who sleeps for room is rung. */
template <int mutant> struct room : rl::test_suite<room<mutant>, 2> {
        word held, wanted;
        bool rings, sleeps;

        void before() {
                held($) = 1;
                wanted($) = 0;
                rings = sleeps = false;
        }

        void thread(unsigned index) {
                if (index == 0) {
                        wanted($).store(1, mutant == 1 ? release : seq_cst);
                        sleeps = held($).load(mutant == 3 ? acquire : seq_cst);
                } else {
                        held($).store(0, mutant == 2 ? release : seq_cst);
                        rings = wanted($).load(mutant == 4 ? acquire : seq_cst);
                }
        }

        void after() { RL_ASSERT(rings || !sleeps); }
};

/* A reader of a group that the writer does not know: the daemon raises the epoch before it enters, so that either the
 * writer's claim finds the epoch changed, or the reader finds the claim. */
template <int mutant> struct epoch : rl::test_suite<epoch<mutant>, 2> {
        word sequence, epoch_word;
        bool overwritten, held;

        void before() {
                sequence($) = 1;
                epoch_word($) = 0;
                overwritten = held = false;
        }

        void thread(unsigned index) {
                if (index == 0) {
                        unsigned early = mutant == 1 ? epoch_word($).load(seq_cst) : 0;

                        sequence($).store(1 | CLAIMED, mutant == 2 ? release : seq_cst);
                        overwritten = (mutant == 1 ? early : epoch_word($).load(seq_cst)) == 0;
                } else {
                        epoch_word($).fetch_add(1, mutant == 3 ? rl::mo_acq_rel : seq_cst);
                        held = sequence($).load(mutant == 4 ? acquire : seq_cst) == 1;
                }
        }

        void after() { RL_ASSERT(!overwritten || !held); }
};

/* What Relacy has to say about a mutant. Its own memory management does not bear streams that allocate. */
struct nowhere : std::streambuf {
        int overflow(int c) override { return c; }
};

unsigned wrong;

template <typename test> bool passes(std::ostream &out) {
        nowhere buffer;
        std::ostream silent(&buffer);
        rl::test_params params;

        params.search_type = rl::sched_full;
        params.output_stream = &out;
        params.progress_stream = &silent;
        return rl::simulate<test>(params);
}

template <typename test> void run(const char *name, int mutant) {
        nowhere buffer;
        std::ostream silent(&buffer);
        bool passed = passes<test>(silent);
        bool right = passed == (mutant == 0);

        std::printf("%s%s %s", right ? "" : "NOT AS IT SHOULD BE: ", passed ? "PASS" : "FAIL", name);
        if (mutant)
                std::printf(", mutant %d", mutant);
        std::printf("\n");
        (void)std::fflush(stdout);
        if (!right && !passed)
                (void)passes<test>(std::cerr);
        wrong += !right;
}

template <template <int> class test, int mutant> struct mutants {
        static void run_all(const char *name) {
                mutants<test, mutant - 1>::run_all(name);
                run<test<mutant>>(name, mutant);
        }
};

template <template <int> class test> struct mutants<test, 0> {
        static void run_all(const char *name) { run<test<0>>(name, 0); }
};

} // namespace

int main() {
        mutants<hold, 4>::run_all("hold");
        mutants<by_head, 2>::run_all("by_head");
        mutants<by_index, 3>::run_all("by_index");
        mutants<overwrite, 3>::run_all("overwrite");
        mutants<wake, 2>::run_all("wake");
        mutants<lock_wake, 2>::run_all("lock_wake");
        mutants<lock_order, 2>::run_all("lock_order");
        mutants<room, 4>::run_all("room");
        mutants<epoch, 4>::run_all("epoch");
        return wrong ? 1 : 0;
}
