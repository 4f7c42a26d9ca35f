// A few threads that take numbered tasks until none is left: each from a stretch of its own first, one after the other,
// since what a task reads is fetched while the one before it is worked on, then from the others'.
//
// Tasks, not threads, are waited for: a helper whose core is busy with something else holds nothing up, the caller then
// does the work alone. What a task computes never depends on who takes it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
static inline void relax() { _mm_pause(); }
#elif defined(__aarch64__)
static inline void relax() { asm volatile("yield"); }
#else
static inline void relax() {}
#endif

class Pool {
  public:
    // Runs work(context, task) for all tasks below `tasks`, on up to `threads` threads with this one.
    void run(int threads, int tasks, void (*work)(void *, int), void *context) {
        if (threads < 2 || tasks < 2) {
            for (int task = 0; task < tasks; task++) work(context, task);
            return;
        }
        std::lock_guard<std::mutex> one_at_a_time(mutex_);
        threads = std::min(threads, kMost);
        while (static_cast<int>(helpers_.size()) < threads - 1)
            helpers_.emplace_back(&Pool::help, this, static_cast<int>(helpers_.size()));
        // The last turn is closed before its work is replaced: who still looks at its counters finds nothing left, and
        // who sees any of what follows sees that as well.
        const uint32_t last = turn_of(stretches_[0].next.load(std::memory_order_relaxed)), turn = last + 1;  // around at its end
        for (int i = 0; i < opened_; i++) stretches_[i].next.store(at(last, kClosed), std::memory_order_release);
        opened_ = threads;
        wanted_.store(threads - 1, std::memory_order_release);
        work_.store(work, std::memory_order_release);
        context_.store(context, std::memory_order_release);
        tasks_.store(tasks, std::memory_order_release);
        done_.store(0, std::memory_order_release);
        for (int i = 0; i < threads; i++) stretches_[i].next.store(at(turn, begin_of(i, tasks, threads)), std::memory_order_release);
        turn_.store(turn, std::memory_order_seq_cst);
        if (sleeping_.load(std::memory_order_seq_cst) > 0) turn_.notify_all();
        take(turn, 0);
        for (int spin = 0; done_.load(std::memory_order_acquire) < tasks; spin++)
            spin < kSpins ? relax() : std::this_thread::yield();
    }

  private:
    static constexpr uint32_t kClosed = 0xffffffff;  // more than any number of tasks
    static constexpr int kMost = 64;                 // threads
    static constexpr int kSpins = 1000;              // some 20 microseconds
    static constexpr int kPatience = 4 * kSpins;     // longer than what one thread does alone inside a step

    static uint32_t begin_of(int stretch, int tasks, int threads) { return static_cast<uint32_t>(static_cast<uint64_t>(tasks) * stretch / threads); }
    static uint64_t at(uint32_t turn, uint32_t task) { return static_cast<uint64_t>(turn) << 32 | task; }
    static uint32_t turn_of(uint64_t state) { return static_cast<uint32_t>(state >> 32); }

    void take(uint32_t turn, int own) {
        auto work = work_.load(std::memory_order_acquire);
        auto context = context_.load(std::memory_order_acquire);
        const int tasks = tasks_.load(std::memory_order_acquire), threads = wanted_.load(std::memory_order_acquire) + 1;
        for (int i = 0; i < threads; i++) {
            const int stretch = (own + i) % threads;
            const uint32_t end = begin_of(stretch + 1, tasks, threads);
            auto &next = stretches_[stretch].next;
            uint64_t state = next.load(std::memory_order_acquire);
            // The turn stands beside the counter, so nobody who comes late takes a task of the next turn for one of this.
            while (turn_of(state) == turn && static_cast<uint32_t>(state) < end) {
                if (!next.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) continue;
                work(context, static_cast<int>(static_cast<uint32_t>(state)));
                done_.fetch_add(1, std::memory_order_release);
                state = next.load(std::memory_order_acquire);
            }
        }
    }

    void help(int number) {
        uint32_t seen = 0;
        for (;;) {
            for (int spin = 0; spin < kPatience && turn_.load(std::memory_order_acquire) == seen; spin++) relax();
            if (turn_.load(std::memory_order_acquire) == seen) {
                sleeping_.fetch_add(1, std::memory_order_seq_cst);
                turn_.wait(seen, std::memory_order_seq_cst);
                sleeping_.fetch_sub(1, std::memory_order_relaxed);
            }
            seen = turn_.load(std::memory_order_acquire);
            const uint32_t turn = turn_of(stretches_[0].next.load(std::memory_order_acquire));
            if (number < wanted_.load(std::memory_order_relaxed)) take(turn, number + 1);
        }
    }

    std::mutex mutex_;
    std::vector<std::thread> helpers_;  // they live as long as the process
    std::atomic<void (*)(void *, int)> work_{nullptr};
    std::atomic<void *> context_{nullptr};
    std::atomic<int> wanted_{0}, done_{0}, sleeping_{0};
    std::atomic<uint32_t> tasks_{0}, turn_{0};
    struct alignas(64) Stretch {  // on a line of its own: threads do not wait for each other's counters
        std::atomic<uint64_t> next{0};  // turn << 32 | next task
    };
    Stretch stretches_[kMost];
    int opened_ = 0;  // stretches of the last turn
};

// Never destroyed: its threads may still wait when the process ends.
static Pool &pool() {
    static Pool *one = new Pool;
    return *one;
}

template <typename Work> static void parallel(int threads, int tasks, const Work &work) {
    auto call = [](void *context, int task) { (*static_cast<const Work *>(context))(task); };
    pool().run(threads, tasks, call, const_cast<Work *>(&work));
}
