// Work on several threads. With OpenMP these are the threads of libtorch's operations, because both use the same runtime
// library: two pools would keep each other from the processors. Without it, threads are started for each call.
#pragma once
#include <algorithm>
#include <cstdint>
#ifndef _OPENMP
#include <thread>
#include <vector>
#endif

namespace finetune4j {

/// Calls work(begin, end) for parts of [0, count) that begin at multiples of the grain.
template <typename Work>
void parallel(int threads, int64_t count, int64_t grain, const Work &work) {
    int64_t grains = (count + grain - 1) / grain;
    int parts = static_cast<int>(std::min<int64_t>(threads, grains));
    if (parts <= 1) {
        if (count > 0) {
            work(int64_t{0}, count);
        }
        return;
    }
    auto part = [&](int index) {
        int64_t begin = grains * index / parts * grain;
        int64_t end = std::min(count, grains * (index + 1) / parts * grain);
        if (begin < end) {
            work(begin, end);
        }
    };
#ifdef _OPENMP
#pragma omp parallel for num_threads(parts) schedule(static, 1)
    for (int index = 0; index < parts; index++) {
        part(index);
    }
#else
    std::vector<std::thread> others;
    for (int index = 1; index < parts; index++) {
        others.emplace_back(part, index);
    }
    part(0);
    for (std::thread &other : others) {
        other.join();
    }
#endif
}

}  // namespace finetune4j
