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

inline void cpu_gemv_4bit(
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

template <typename T>
inline const Elements<T> &elements_of(int level);

template <>
inline const Elements<float> &elements_of<float>(int level) {
    return kernels_of(level).elements_f32;
}

template <>
inline const Elements<bf16> &elements_of<bf16>(int level) {
    return kernels_of(level).elements_b16;
}

/// Calls work with the element-wise kernels of a type, float32 or bfloat16, and a number of it.
template <typename Work>
inline void with_elements(int level, int type, const Work &work) {
    if (type == F32) {
        work(elements_of<float>(level), float{});
    } else {
        work(elements_of<bf16>(level), bf16{});
    }
}

inline void cpu_rms_forward(
    int level, int threads, int type, address x, address weight, address y, address inverse, long long rows,
    long long width, float epsilon, bool from_one) {
    with_elements(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.rms_forward(
            at<T>(x), at<T>(weight), at<T>(y), at<float>(inverse), rows, width, epsilon, from_one, threads);
    });
}

inline void cpu_rms_backward(
    int level, int threads, int type, address dy, address x, address weight, address inverse, address past, address dx,
    address y, long long rows, long long width, bool from_one) {
    with_elements(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.rms_backward(
            at<T>(dy), at<T>(x), at<T>(weight), at<float>(inverse), at<T>(past), at<T>(dx), at<T>(y), rows, width,
            from_one, threads);
    });
}

inline void cpu_swiglu_forward(
    int level, int threads, int type, address both, address y, long long rows, long long width) {
    with_elements(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.swiglu_forward(at<T>(both), at<T>(y), rows, width, threads);
    });
}

inline void cpu_swiglu_backward(
    int level, int threads, int type, address dy, address both, address y, long long rows, long long width) {
    with_elements(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.swiglu_backward(at<T>(dy), at<T>(both), at<T>(y), rows, width, threads);
    });
}

inline void cpu_dropout(
    int level, int threads, int type, address x, address y, long long count, int part, int module, int pass,
    long long seed, int threshold, float scale) {
    DropoutMask mask = {{static_cast<uint32_t>(part), static_cast<uint32_t>(module), static_cast<uint32_t>(pass)},
                        {static_cast<uint32_t>(seed), static_cast<uint32_t>(static_cast<uint64_t>(seed) >> 32)},
                        static_cast<uint32_t>(threshold),
                        scale};
    if (type == F32) {
        kernels_of(level).dropout.f32(at<float>(x), at<float>(y), count, mask, threads);
    } else {
        kernels_of(level).dropout.b16(at<bf16>(x), at<bf16>(y), count, mask, threads);
    }
}

/// shape: the ten numbers of RopeShape in order.
inline void cpu_rope(
    int level, int threads, int type, address x, address y, address cosines, address sines, const long long *shape,
    float direction) {
    RopeShape places = {shape[0], shape[1],           shape[2],           shape[3],
                        {shape[4], shape[5], shape[6]}, {shape[7], shape[8], shape[9]}};
    with_elements(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.rope(at<T>(x), at<T>(y), at<T>(cosines), at<T>(sines), places, direction, threads);
    });
}

inline void cpu_cross_entropy(
    int level, int threads, int type, address logits, address labels, address losses, float scale, float cap,
    long long rows, long long width) {
    with_elements(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.cross_entropy(at<T>(logits), at<int64_t>(labels), at<float>(losses), scale, cap, rows, width, threads);
    });
}

inline void cpu_adamw(
    int level, int threads, address values, address gradients, address copies, address mean, address variance,
    long long count, float factor, float keep, float beta1, float beta2, float rate, float root, float epsilon) {
    AdamwStep step = {factor, keep, beta1, beta2, rate, root, epsilon};
    kernels_of(level).adamw(
        at<float>(values), at<float>(gradients), at<bf16>(copies), at<float>(mean), at<float>(variance), count, step,
        threads);
}

inline void cpu_adamw8bit(
    int level, int threads, address values, address gradients, address copies, address blocks, long long count,
    address codes1, address codes2, address absmax1, address absmax2, address wide1, address wide2, address maps,
    address limits, float factor, float keep, float beta1, float beta2, float rate, float root, float epsilon) {
    AdamwStep step = {factor, keep, beta1, beta2, rate, root, epsilon};
    Moments moments = {
        at<int64_t>(blocks),
        {at<uint8_t>(codes1), at<uint8_t>(codes2)},
        {at<float>(absmax1), at<float>(absmax2)},
        {at<float>(wide1), at<float>(wide2)},
        at<float>(maps),
        at<float>(limits)};
    kernels_of(level).adamw8bit(at<float>(values), at<float>(gradients), at<bf16>(copies), moments, count, step, threads);
}

/// Calls work with the products of a type, float32 or bfloat16, and a number of it.
template <typename Work>
inline void with_products(int level, int type, const Work &work) {
    if (type == F32) {
        work(kernels_of(level).products_f32, float{});
    } else {
        work(kernels_of(level).products_b16, bf16{});
    }
}

inline void cpu_gemm_nt(
    int level, int threads, int type, address a, long long a_stride, address b, long long b_stride, address bias,
    address c, long long c_stride, long long rows, long long columns, long long depth, float scale, bool add) {
    with_products(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.by_rows(
            at<T>(a), a_stride, at<T>(b), b_stride, at<T>(bias), at<T>(c), c_stride, rows, columns, depth, scale, add,
            threads);
    });
}

inline void cpu_gemm_nn(
    int level, int threads, int type, address a, long long a_stride, address b, long long b_stride, address c,
    long long c_stride, long long rows, long long columns, long long depth, float scale, bool add) {
    with_products(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.by_columns(
            at<T>(a), a_stride, at<T>(b), b_stride, at<T>(c), c_stride, rows, columns, depth, scale, add, threads);
    });
}

inline void cpu_gemm_tn(
    int level, int threads, int type, address a, long long a_stride, address b, long long b_stride, address c,
    long long c_stride, long long rows, long long columns, long long depth, bool turned) {
    with_products(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.add_columns(
            at<T>(a), a_stride, at<T>(b), b_stride, at<float>(c), c_stride, rows, columns, depth, turned, threads);
    });
}

/// Calls work with the kernels for one token of a type, float32 or bfloat16, and a number of it.
template <typename Work>
inline void with_tokens(int level, int type, const Work &work) {
    if (type == F32) {
        work(kernels_of(level).tokens_f32, float{});
    } else {
        work(kernels_of(level).tokens_b16, bf16{});
    }
}

inline void cpu_gemv(
    int level, int threads, int type, address weight, long long in, long long out, address x, long long rows,
    address bias, address y, long long stride, bool add) {
    with_tokens(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.gemv(at<T>(weight), in, out, at<T>(x), rows, at<T>(bias), at<T>(y), stride, add, threads);
    });
}

inline void cpu_low_rank(
    int level, int threads, int type, address a, address x, address low, long long rows, long long rank, long long in,
    float scale) {
    with_tokens(level, type, [&](auto &kernels, auto number) {
        kernels.low_rank(at<float>(a), at<decltype(number)>(x), at<float>(low), rows, rank, in, scale, threads);
    });
}

inline void cpu_high_rank(
    int level, int threads, int type, address b, address low, address y, long long stride, long long rows,
    long long rank, long long out, bool add) {
    with_tokens(level, type, [&](auto &kernels, auto number) {
        kernels.high_rank(
            at<float>(b), at<float>(low), at<decltype(number)>(y), stride, rows, rank, out, add, threads);
    });
}

inline void cpu_attend(
    int level, int threads, int type, long long heads, long long kv_heads, long long size, long long rotary,
    bool interleaved, long long capacity, long long first, long long position, float scale, float soft_cap, address qkv, address keys,
    address values, address cosine, address sine, address room, address mixed) {
    AttendShape shape = {heads, kv_heads, size, rotary, interleaved, capacity, first, position, scale, soft_cap};
    with_tokens(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.attend(
            shape, at<T>(qkv), at<T>(keys), at<T>(values), at<T>(cosine), at<T>(sine), at<float>(room), at<T>(mixed),
            threads);
    });
}

/// Calls work with the attention of whole sequences of a type, float32 or bfloat16, and a number of it.
template <typename Work>
inline void with_sequences(int level, int type, const Work &work) {
    if (type == F32) {
        work(kernels_of(level).sequences_f32, float{});
    } else {
        work(kernels_of(level).sequences_b16, bf16{});
    }
}

/// shape: the seven whole numbers of SequenceShape in order.
inline void cpu_attend_sequences(
    int level, int threads, int type, const long long *shape, float scale, float cap, address qkv, address y,
    address logs) {
    SequenceShape sequences = {shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], scale, cap};
    with_sequences(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.attend(sequences, at<T>(qkv), at<T>(y), at<float>(logs), threads);
    });
}

inline void cpu_attend_sequences_back(
    int level, int threads, int type, const long long *shape, float scale, float cap, address qkv, address y,
    address dy, address logs, address gradients, address room) {
    SequenceShape sequences = {shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shape[6], scale, cap};
    with_sequences(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.attend_back(
            sequences, at<T>(qkv), at<T>(y), at<T>(dy), at<float>(logs), at<T>(gradients), at<float>(room), threads);
    });
}

/// Whether a level multiplies bfloat16 numbers by the pair.
inline bool cpu_has_pairs(int level) { return kernels_of(level).pairs; }

inline void cpu_forward(
    int level, int threads, int type, address packed, int shift, address table, address absmax, address nested,
    address map, float offset, long long in, long long out, address x, long long x_stride, long long tokens,
    address bias, address y, long long y_stride, bool add) {
    Codes codes = {at<uint8_t>(packed), shift, at<float>(table), at<float>(absmax), at<uint8_t>(nested), at<float>(map),
                   offset};
    with_products(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.forward(codes, in, out, at<T>(x), x_stride, tokens, at<T>(bias), at<T>(y), y_stride, add, threads);
    });
}

inline void cpu_backward(
    int level, int threads, int type, address packed, int shift, address table, address absmax, address nested,
    address map, float offset, long long in, long long out, address dy, long long dy_stride, long long tokens,
    address dx, long long dx_stride, bool add) {
    Codes codes = {at<uint8_t>(packed), shift, at<float>(table), at<float>(absmax), at<uint8_t>(nested), at<float>(map),
                   offset};
    with_products(level, type, [&](auto &kernels, auto number) {
        using T = decltype(number);
        kernels.backward(codes, in, out, at<T>(dy), dy_stride, tokens, at<T>(dx), dx_stride, add, threads);
    });
}

}  // namespace finetune4j
