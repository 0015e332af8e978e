// Work on several threads: one set of helpers for the whole process, whoever asks. A call does its parts itself, one after the
// other, and helpers that are awake take parts as well, so that nobody waits for a thread to which the operating system gives
// no processor: on a machine that is busy with other work a call costs its share. Helpers look for the next call for some
// microseconds and then sleep.
#pragma once
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace finetune4j {

/// Tells the processor that a loop waits.
inline void breathe() {
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    __builtin_ia32_pause();
#elif defined(__aarch64__) && (defined(__GNUC__) || defined(__clang__))
    __asm__ volatile("yield");
#else
    std::this_thread::yield();
#endif
}

/// The parts of one call, in as many runs of neighbours as threads may take part: whoever comes begins with a run of its own and
/// then takes what is left of the others, so that threads read memory in a row and seldom wait for each other. It lives on the
/// caller's stack: who helps is counted under the lock of the helpers.
struct Call {
    static constexpr int MOST_RUNS = 16;

    struct alignas(64) Run {
        std::atomic<int64_t> next{0};
        int64_t end = 0;

        bool is_left() const { return next.load(std::memory_order_relaxed) < end; }
    };

    void (*run)(const void *work, int64_t part);
    const void *work;
    int most_helpers;
    int runs;
    int joined = 0;  // helpers so far
    std::exception_ptr failure = nullptr;  // of the part that failed first
    alignas(64) std::atomic<int> helpers{0};
    std::atomic<bool> failed{false};
    Run part_runs[MOST_RUNS];

    Call(void (*run)(const void *, int64_t), const void *work, int64_t parts, int most_helpers)
        : run(run), work(work), most_helpers(most_helpers), runs(std::min(most_helpers + 1, MOST_RUNS)) {
        for (int i = 0; i < runs; i++) {
            part_runs[i].next.store(parts * i / runs, std::memory_order_relaxed);
            part_runs[i].end = parts * (i + 1) / runs;
        }
    }

    /// Takes parts until there are none, those of the given run first; after a failure nobody begins another.
    void take_parts(int first) {
        for (int i = 0; i < runs; i++) {
            take_parts(part_runs[(first + i) % runs]);
        }
    }

    void take_parts(Run &from) {
        while (!failed.load(std::memory_order_relaxed)) {
            int64_t part = from.next.fetch_add(1, std::memory_order_relaxed);
            if (part >= from.end) {
                return;
            }
            try {
                run(work, part);
            } catch (...) {
                if (!failed.exchange(true)) {
                    failure = std::current_exception();
                }
            }
        }
    }

    bool wants_help() const {
        if (helpers.load(std::memory_order_relaxed) >= most_helpers || failed.load(std::memory_order_relaxed)) {
            return false;
        }
        return std::any_of(part_runs, part_runs + runs, [](const Run &one) { return one.is_left(); });
    }
};

class Helpers {
public:
    /// Those of the process. They are never ended, so that no order of ends matters.
    static Helpers &all() {
        static Helpers *helpers = new Helpers();
        return *helpers;
    }

    void run(Call &call) {
        {
            std::unique_lock<std::mutex> guard = acquire();
            start(call.most_helpers);
            calls.push_back(&call);
            int wanted = std::min(sleeping, call.most_helpers);
            for (int i = 0; i < wanted; i++) {
                wake.notify_one();
            }
        }
        changes.fetch_add(1, std::memory_order_release);
        call.take_parts(0);
        {
            std::unique_lock<std::mutex> guard = acquire();
            calls.erase(std::find(calls.begin(), calls.end(), &call));
        }
        for (int i = 0; call.helpers.load(std::memory_order_acquire) > 0 && i < SHORT_WAIT; i++) {
            breathe();
        }
        if (call.helpers.load(std::memory_order_acquire) > 0) {
            std::unique_lock<std::mutex> guard = acquire();
            finished.wait(guard, [&] { return call.helpers.load(std::memory_order_acquire) == 0; });
        }
        if (call.failure) {
            std::rethrow_exception(call.failure);
        }
    }

private:
    static constexpr int SHORT_WAIT = 200;
    static constexpr int LONG_LOOK = 2000;
    static constexpr int MOST = 1023;

    std::mutex lock;
    std::condition_variable wake;
    std::condition_variable finished;
    std::vector<Call *> calls;
    std::atomic<uint64_t> changes{0};
    int started = 0;
    int sleeping = 0;

    Helpers() = default;

    std::unique_lock<std::mutex> acquire() {
        std::unique_lock<std::mutex> guard(lock, std::defer_lock);
        take(guard);
        return guard;
    }

    /// Whoever holds it does so for some instructions, unless the system has taken the processor away.
    static void take(std::unique_lock<std::mutex> &guard) {
        for (int i = 0; i < 100; i++) {
            if (guard.try_lock()) {
                return;
            }
            breathe();
        }
        guard.lock();
    }

    /// As many as are wanted, if the system gives so many; fewer only take longer.
    void start(int wanted) {
        while (started < std::min(wanted, MOST)) {
            try {
                std::thread([this] { help(); }).detach();
            } catch (const std::system_error &) {
                return;
            }
            started++;
        }
    }

    /// The call with the fewest helpers among those that want one.
    Call *neediest() const {
        Call *found = nullptr;
        for (Call *call : calls) {
            if (call->wants_help() && (found == nullptr || call->helpers < found->helpers)) {
                found = call;
            }
        }
        return found;
    }

    void help() {
        std::unique_lock<std::mutex> guard = acquire();
        for (;;) {
            uint64_t seen = changes.load(std::memory_order_relaxed);
            if (Call *call = neediest()) {
                call->helpers.fetch_add(1, std::memory_order_relaxed);
                int first = ++call->joined;
                guard.unlock();
                call->take_parts(first);
                take(guard);
                if (call->helpers.fetch_sub(1, std::memory_order_release) == 1) {
                    finished.notify_all();
                }
                continue;
            }
            guard.unlock();
            bool changed = false;
            for (int i = 0; i < LONG_LOOK && !changed; i++) {
                breathe();
                changed = changes.load(std::memory_order_acquire) != seen;
            }
            take(guard);
            if (!changed && neediest() == nullptr) {
                sleeping++;
                wake.wait(guard);
                sleeping--;
            }
        }
    }
};

/// Calls work(part) for parts [0, parts), on so many threads at most. What a part throws comes out of here.
template <typename Work>
void parallel_parts(int threads, int64_t parts, const Work &work) {
    int helpers = static_cast<int>(std::min<int64_t>(threads, parts)) - 1;
    if (helpers <= 0) {
        for (int64_t part = 0; part < parts; part++) {
            work(part);
        }
        return;
    }
    Call call([](const void *given, int64_t part) { (*static_cast<const Work *>(given))(part); }, &work, parts, helpers);
    Helpers::all().run(call);
}

/// Calls work(begin, end) for parts of [0, count) that begin at multiples of the grain, some more than there are threads.
template <typename Work>
void parallel(int threads, int64_t count, int64_t grain, const Work &work) {
    constexpr int64_t PARTS_OF_THREAD = 4;
    int64_t grains = (count + grain - 1) / grain;
    int64_t parts = threads <= 1 ? std::min<int64_t>(1, grains) : std::min(threads * PARTS_OF_THREAD, grains);
    parallel_parts(threads, parts, [&](int64_t part) {
        int64_t begin = grains * part / parts * grain;
        int64_t end = std::min(count, grains * (part + 1) / parts * grain);
        if (begin < end) {
            work(begin, end);
        }
    });
}

}  // namespace finetune4j
