// What each level of instructions has, and which levels there are.
#pragma once
#include <cstdint>

#include "numbers.h"
#include "quantized.h"

namespace finetune4j {

/// The most tokens that the products on codes take.
constexpr int64_t MAX_TOKENS = 32;

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

/// Heads of tokens and the steps between them in memory: from batch to batch, token to token, head to head.
struct RopeShape {
    int64_t batch;
    int64_t tokens;
    int64_t heads;
    int64_t size;
    int64_t from[3];
    int64_t to[3];
};

/// The numbers of a step of AdamW: what gradients are multiplied by, what decay leaves of the values, and the corrected rate
/// and root of the bias corrections.
struct AdamwStep {
    float factor;
    float keep;
    float beta1;
    float beta2;
    float rate;
    float root;
    float epsilon;
};

/// Element-wise parts of a decoder; see elements.inl.
template <typename T>
struct Elements {
    void (*rms_forward)(
        const T *x, const T *weight, T *y, float *inverse, int64_t rows, int64_t width, float epsilon, bool from_one,
        int threads);
    void (*rms_backward)(
        const T *dy, const T *x, const T *weight, const float *inverse, const T *past, T *dx, T *y, int64_t rows,
        int64_t width, bool from_one, int threads);
    void (*swiglu_forward)(const T *both, T *y, int64_t rows, int64_t width, int threads);
    void (*swiglu_backward)(const T *dy, T *both, T *y, int64_t rows, int64_t width, int threads);
    void (*rope)(
        const T *x, T *y, const T *cosines, const T *sines, const RopeShape &shape, float direction, int threads);
    void (*cross_entropy)(
        T *logits, const int64_t *labels, float *losses, float scale, float cap, int64_t rows, int64_t width,
        int threads);
};

/// What a dropout mask is made from: the upper words of the counter, the key, the word below which an element is dropped, and
/// the factor on the others.
struct DropoutMask {
    uint32_t counter[3];
    uint32_t key[2];
    uint32_t threshold;
    float scale;
};

template <typename T>
using Drop = void (*)(const T *x, T *y, int64_t count, const DropoutMask &mask, int threads);

/// Heads of a token and the cache that it joins; position counts the tokens before it, of which it sees those from first on.
/// The first rotary channels of a head are turned; a soft cap of 0 bounds nothing.
struct AttendShape {
    int64_t heads;
    int64_t kv_heads;
    int64_t size;
    int64_t rotary;
    bool interleaved;
    int64_t capacity;
    int64_t first;
    int64_t position;
    float scale;
    float soft_cap;
};

/// Sequences of queries, keys and values: a token's are behind one another, those of queries first, stride numbers from token
/// to token.
struct SequenceShape {
    int64_t batch;
    int64_t tokens;
    int64_t heads;
    int64_t kv_heads;
    int64_t size;
    int64_t stride;
    int64_t window;  // keys that a query sees, itself included; 0 for all
    float scale;
    float cap;  // bound of the scores; 0 for none
};

/// Attention of whole sequences; see attention.inl.
template <typename T>
struct Sequences {
    void (*attend)(const SequenceShape &shape, const T *qkv, T *y, float *logs, int threads);
    void (*attend_back)(
        const SequenceShape &shape, const T *qkv, const T *y, const T *dy, const float *logs, T *gradients, float *room,
        int threads);
};

/// What a decoder does for one token; see decode.inl.
template <typename T>
struct Tokens {
    void (*gemv)(
        const T *weight, int64_t in, int64_t out, const T *x, int64_t rows, const T *bias, T *y, int64_t stride,
        bool add, int threads);
    void (*low_rank)(
        const float *a, const T *x, float *low, int64_t rows, int64_t rank, int64_t in, float scale, int threads);
    void (*high_rank)(
        const float *b, const float *low, T *y, int64_t stride, int64_t rows, int64_t rank, int64_t out, bool add,
        int threads);
    void (*attend)(
        const AttendShape &shape, T *qkv, T *keys, T *values, const T *cosine, const T *sine, float *room, T *mixed,
        int threads);
};

/// Products of any size with dense weights and with weights in codes; see gemm.inl.
template <typename T>
struct Products {
    void (*by_rows)(
        const T *a, int64_t a_stride, const T *b, int64_t b_stride, const T *bias, T *c, int64_t c_stride, int64_t rows,
        int64_t columns, int64_t depth, float scale, bool add, int threads);
    void (*by_columns)(
        const T *a, int64_t a_stride, const T *b, int64_t b_stride, T *c, int64_t c_stride, int64_t rows,
        int64_t columns, int64_t depth, float scale, bool add, int threads);
    void (*add_columns)(
        const T *a, int64_t a_stride, const T *b, int64_t b_stride, float *c, int64_t c_stride, int64_t rows,
        int64_t columns, int64_t depth, bool turned, int threads);
    void (*forward)(
        const Codes &codes, int64_t in, int64_t out, const T *x, int64_t x_stride, int64_t tokens, const T *bias, T *y,
        int64_t y_stride, bool add, int threads);
    void (*backward)(
        const Codes &codes, int64_t in, int64_t out, const T *dy, int64_t dy_stride, int64_t tokens, T *dx,
        int64_t dx_stride, bool add, int threads);
};

using Adamw = void (*)(
    float *values, float *gradients, bf16 *copies, float *mean, float *variance, int64_t count, const AdamwStep &step,
    int threads);

/// Moments in blocks of numbers that lie behind one another: in codes with a scale for each block, or wide.
struct Moments {
    const int64_t *blocks;  // of each: first value; block of codes, or -1 less the first wide number; numbers
    uint8_t *codes[2];
    float *absmax[2];
    float *wide[2];
    const float *maps;    // 2 x 256
    const float *limits;  // 2 x 255
};

using Adamw8bit = void (*)(
    float *values, float *gradients, bf16 *copies, const Moments &moments, int64_t blocks, const AdamwStep &step,
    int threads);

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
    Products<float> products_f32;
    Products<bf16> products_b16;
    bool pairs;  // whether those of bfloat16 numbers are made of pairs of them
    Elements<float> elements_f32;
    Elements<bf16> elements_b16;
    Adamw adamw;
    Adamw8bit adamw8bit;
    Tokens<float> tokens_f32;
    Tokens<bf16> tokens_b16;
    struct {
        Drop<float> f32;
        Drop<bf16> b16;
    } dropout;
    Sequences<float> sequences_f32;
    Sequences<bf16> sequences_b16;
};

}  // namespace finetune4j
