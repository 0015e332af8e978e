// What the checks of the kernels share: exact memory, random numbers, comparisons.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "finetune4j_cpu.h"

namespace finetune4j::check {

inline constexpr const char *NAMES[LEVELS] = {"portable", "neon", "avx2", "avx512", "avx512-bf16"};
inline constexpr int THREADS[] = {1, 2, 3};
inline std::mt19937 dice(7);
inline int comparisons = 0;
inline int failures = 0;

struct Free {
    void operator()(void *memory) const { ::operator delete[](memory, std::align_val_t{64}); }
};

/// Memory of exactly so many numbers on the heap, so that a sanitizer sees the first byte behind it. It begins where libtorch's
/// begins, because stores past the caches ask for that.
template <typename T>
struct Room {
    std::unique_ptr<T[], Free> numbers;
    int64_t count;

    explicit Room(int64_t size)
        : numbers(static_cast<T *>(::operator new[](static_cast<size_t>(size) * sizeof(T), std::align_val_t{64}))),
          count(size) {
        std::fill(get(), get() + size, T{});
    }
    T *get() const { return numbers.get(); }
    address place() const { return static_cast<address>(reinterpret_cast<uintptr_t>(numbers.get())); }
    T &operator[](int64_t i) const { return numbers[static_cast<size_t>(i)]; }
};

template <typename T>
constexpr int type_of() {
    return sizeof(T) == 4 ? F32 : std::is_same<T, bf16>::value ? BF16 : F16;
}

inline float uniform(float bound) { return std::uniform_real_distribution<float>(-bound, bound)(dice); }

template <typename T>
Room<T> random_numbers(int64_t count, float bound) {
    Room<T> room(count);
    for (int64_t i = 0; i < count; i++) {
        narrow(uniform(bound), room[i]);
    }
    return room;
}

template <typename T>
Room<T> copy_of(const Room<T> &from) {
    Room<T> room(from.count);
    std::copy(from.get(), from.get() + from.count, room.get());
    return room;
}

inline void require(bool holds, const std::string &what) {
    comparisons++;
    if (!holds && failures++ < 20) {
        std::fprintf(stderr, "WRONG: %s\n", what.c_str());
    }
}

template <typename T>
void require_same(const Room<T> &expected, const Room<T> &actual, const std::string &what) {
    require(std::memcmp(expected.get(), actual.get(), static_cast<size_t>(expected.count) * sizeof(T)) == 0, what);
}

/// Sums in another order, rounded to the type once.
template <typename T>
void require_near(const std::vector<double> &expected, const Room<T> &actual, double terms, const std::string &what) {
    double allowed = (sizeof(T) == 4 ? 1e-6 : 1.0 / 128) * std::sqrt(terms);
    bool near = true;
    for (size_t i = 0; i < expected.size(); i++) {
        near = near && std::abs(widen(actual[static_cast<int64_t>(i)]) - expected[i]) <= allowed * (1 + std::abs(expected[i]));
    }
    require(near, what);
}

inline std::string text(const char *what, int level, std::initializer_list<int64_t> sizes) {
    std::string result = std::string(what) + " on " + NAMES[level];
    for (int64_t size : sizes) {
        result += " " + std::to_string(size);
    }
    return result;
}

}  // namespace finetune4j::check
