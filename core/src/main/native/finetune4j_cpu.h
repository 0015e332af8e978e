// The kernels as Java calls them: memory comes as addresses, and nothing here checks sizes, which CpuKernels.java does.
#pragma once
#include "levels.h"

namespace finetune4j {

/// Types of numbers, in the order of CpuKernels.java.
enum Type { F32, BF16, F16 };

using address = long long;

template <typename T>
inline T *at(address place) {
    return reinterpret_cast<T *>(static_cast<uintptr_t>(place));
}

inline bool cpu_runs(int level) { return runs(level); }

inline void cpu_decode(
    int level, int threads, address packed, int shift, address table, address absmax, address nested, address map,
    float offset, long long columns, long long row, long long rows, long long column, long long width, int type,
    address to, long long stride) {
    Codes codes = {at<uint8_t>(packed), shift, at<float>(table), at<float>(absmax), at<uint8_t>(nested), at<float>(map),
                   offset};
    const Kernels &kernels = kernels_of(level);
    if (type == F32) {
        kernels.decode.f32(codes, columns, row, rows, column, width, at<float>(to), stride, threads);
    } else if (type == BF16) {
        kernels.decode.b16(codes, columns, row, rows, column, width, at<bf16>(to), stride, threads);
    } else {
        kernels.decode.h16(codes, columns, row, rows, column, width, at<f16>(to), stride, threads);
    }
}

inline void cpu_absmax(
    int level, int threads, int type, address from, long long count, int shift, address to) {
    const Kernels &kernels = kernels_of(level);
    if (type == F32) {
        kernels.absmax.f32(at<float>(from), count, shift, at<float>(to), threads);
    } else if (type == BF16) {
        kernels.absmax.b16(at<bf16>(from), count, shift, at<float>(to), threads);
    } else {
        kernels.absmax.h16(at<f16>(from), count, shift, at<float>(to), threads);
    }
}

inline void cpu_encode(
    int level, int threads, int type, address from, long long count, int shift, address factors, address limits,
    address interval_codes, address to) {
    const Kernels &kernels = kernels_of(level);
    const uint8_t *codes = at<uint8_t>(interval_codes);
    if (type == F32) {
        kernels.encode.f32(at<float>(from), count, shift, at<float>(factors), at<float>(limits), codes, at<uint8_t>(to), threads);
    } else if (type == BF16) {
        kernels.encode.b16(at<bf16>(from), count, shift, at<float>(factors), at<float>(limits), codes, at<uint8_t>(to), threads);
    } else {
        kernels.encode.h16(at<f16>(from), count, shift, at<float>(factors), at<float>(limits), codes, at<uint8_t>(to), threads);
    }
}

inline void cpu_rows(
    int level, int threads, address packed, int shift, address table, address absmax, address nested, address map,
    float offset, long long in, long long out, int type, address x, long long tokens, address bias, address y,
    long long stride, bool add) {
    Codes codes = {at<uint8_t>(packed), shift, at<float>(table), at<float>(absmax), at<uint8_t>(nested), at<float>(map),
                   offset};
    const Kernels &kernels = kernels_of(level);
    if (type == F32) {
        kernels.rows.f32(codes, in, out, at<float>(x), tokens, at<float>(bias), at<float>(y), stride, add, threads);
    } else {
        kernels.rows.b16(codes, in, out, at<bf16>(x), tokens, at<bf16>(bias), at<bf16>(y), stride, add, threads);
    }
}

/// Whether a level has the products of panels.
inline bool cpu_has_panels(int level) { return kernels_of(level).forward != nullptr; }

inline void cpu_forward(
    int level, int threads, address packed, int shift, address table, address absmax, address nested, address map,
    float offset, long long in, long long out, address x, long long x_stride, long long tokens, address bias, address y,
    long long y_stride, bool add) {
    Codes codes = {at<uint8_t>(packed), shift, at<float>(table), at<float>(absmax), at<uint8_t>(nested), at<float>(map),
                   offset};
    kernels_of(level).forward(
        codes, in, out, at<bf16>(x), x_stride, tokens, at<bf16>(bias), at<bf16>(y), y_stride, add, threads);
}

inline void cpu_backward(
    int level, int threads, address packed, int shift, address table, address absmax, address nested, address map,
    float offset, long long in, long long out, address dy, long long dy_stride, long long tokens, address dx,
    long long dx_stride, bool add) {
    Codes codes = {at<uint8_t>(packed), shift, at<float>(table), at<float>(absmax), at<uint8_t>(nested), at<float>(map),
                   offset};
    kernels_of(level).backward(
        codes, in, out, at<bf16>(dy), dy_stride, tokens, at<bf16>(dx), dx_stride, add, threads);
}

}  // namespace finetune4j
