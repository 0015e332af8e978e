// What each level of instructions has, and which levels there are.
#pragma once
#include <cstdint>

#include "numbers.h"
#include "quantized.h"

namespace finetune4j {

/// The most tokens that the products on codes take.
constexpr int64_t MOST_TOKENS = 32;

template <typename T>
using Decode = void (*)(
    const Codes &codes, int64_t columns, int64_t row, int64_t rows, int64_t column, int64_t width, T *to,
    int64_t stride, int threads);

template <typename T>
using Absmax = void (*)(const T *from, int64_t count, int shift, float *to, int threads);

template <typename T>
using Encode = void (*)(
    const T *from, int64_t count, int shift, const float *factors, const float *limits, const uint8_t *interval_codes,
    uint8_t *to, int threads);

template <typename T>
using Rows = void (*)(
    const Codes &codes, int64_t in, int64_t out, const T *x, int64_t tokens, const T *bias, T *y, int64_t stride,
    bool add, int threads);

/// y = x Wᵀ + bias for any number of tokens; whole blocks of at least 64 weights make a row.
using Forward = void (*)(
    const Codes &codes, int64_t in, int64_t out, const bf16 *x, int64_t x_stride, int64_t tokens, const bf16 *bias,
    bf16 *y, int64_t y_stride, bool add, int threads);

/// dx = dy W for weights of such rows, an even number of them.
using Backward = void (*)(
    const Codes &codes, int64_t in, int64_t out, const bf16 *dy, int64_t dy_stride, int64_t tokens, bf16 *dx,
    int64_t dx_stride, bool add, int threads);

struct Kernels {
    struct {
        Decode<float> f32;
        Decode<bf16> b16;
        Decode<f16> h16;
    } decode;
    struct {
        Absmax<float> f32;
        Absmax<bf16> b16;
        Absmax<f16> h16;
    } absmax;
    struct {
        Encode<float> f32;
        Encode<bf16> b16;
        Encode<f16> h16;
    } encode;
    struct {
        Rows<float> f32;
        Rows<bf16> b16;
    } rows;
    Forward forward;  // null where the level has no products of pairs
    Backward backward;
};

}  // namespace finetune4j
