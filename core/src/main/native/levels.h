// The kernels, once for each level of instructions that the compiler knows, and the choice at run time.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "kernels.h"
#include "numbers.h"
#include "parallel.h"
#include "quantized.h"
#include "room.h"

#if (defined(__x86_64__) || defined(_M_X64)) && (defined(__GNUC__) || defined(__clang__))
#define FINETUNE4J_X86
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__aarch64__)
#define FINETUNE4J_NEON
#include <arm_neon.h>
#endif

namespace finetune4j {

/// Their numbers are CpuLevel's in Java.
enum Level { PORTABLE, NEON, AVX2, AVX512, AVX512_BF16, LEVELS };

namespace portable {
#include "level_portable.h"
#include "level_kernels.inl"
}  // namespace portable

#ifdef FINETUNE4J_NEON
namespace neon {
#include "level_neon.h"
#include "level_kernels.inl"
}  // namespace neon
#endif

#ifdef FINETUNE4J_X86
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
namespace avx2 {
#include "level_avx2.h"
#include "level_kernels.inl"
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,evex512"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,prefer-vector-width=512")
#endif
namespace avx512 {
#include "level_avx512.h"
#include "level_kernels.inl"
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,evex512"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,prefer-vector-width=512")
#endif
#define FINETUNE4J_PAIRS
namespace avx512_bf16 {
#include "level_avx512.h"
#include "level_kernels.inl"
}  // namespace avx512_bf16
#undef FINETUNE4J_PAIRS
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

/// Whether the operating system keeps the registers of a kind when it switches threads.
inline bool keeps_registers(uint64_t wanted) {
    uint32_t low;
    uint32_t high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((static_cast<uint64_t>(high) << 32 | low) & wanted) == wanted;
}

inline bool has_x86(Level level) {
    uint32_t a;
    uint32_t b;
    uint32_t c;
    uint32_t d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) {
        return false;
    }
    constexpr uint32_t FMA = 1u << 12, XSAVE = 1u << 27, F16C = 1u << 29;
    if ((c & FMA) == 0 || (c & XSAVE) == 0 || (c & F16C) == 0 || !keeps_registers(0x6)) {
        return false;
    }
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return false;
    }
    constexpr uint32_t AVX2_BIT = 1u << 5;
    constexpr uint32_t AVX512_BITS = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if ((b & AVX2_BIT) == 0) {
        return false;
    }
    if (level == AVX2) {
        return true;
    }
    if ((b & AVX512_BITS) != AVX512_BITS || !keeps_registers(0xe6)) {
        return false;
    }
    if (level == AVX512) {
        return true;
    }
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5) != 0;
}
#endif

/// Whether this processor can run a level.
inline bool runs(int level) {
    switch (level) {
        case PORTABLE:
            return true;
#ifdef FINETUNE4J_NEON
        case NEON:
            return true;
#endif
#ifdef FINETUNE4J_X86
        case AVX2:
        case AVX512:
        case AVX512_BF16:
            return has_x86(static_cast<Level>(level));
#endif
        default:
            return false;
    }
}

/// The kernels of a level that this processor runs.
inline const Kernels &kernels_of(int level) {
    switch (level) {
#ifdef FINETUNE4J_NEON
        case NEON:
            return neon::kernels();
#endif
#ifdef FINETUNE4J_X86
        case AVX2:
            return avx2::kernels();
        case AVX512:
            return avx512::kernels();
        case AVX512_BF16:
            return avx512_bf16::kernels();
#endif
        default:
            return portable::kernels();
    }
}

}  // namespace finetune4j
