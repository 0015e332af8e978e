// The element-wise parts of a decoder, each in one pass over its data. T is float or bfloat16; sums are in float.

#include "numbers.cuh"

__device__ __forceinline__ float sumOfBlock(float x) {
    __shared__ float parts[32];
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    float all = 0.f;
    for (int i = 0; i < blockDim.x / 32; i++) all += parts[i];
    __syncthreads();
    return all;
}

// One block for a row of x, shape (rows, width). fromOne: the factor is 1 + w, applied in float. Otherwise the normalised
// value is rounded before it is scaled, as the published models do. With a branch, x + branch is written to total and that is
// what is normalised.
template <class T, class W>
__device__ __forceinline__ void rmsForward(
        const T* x, const T* branch, T* total, const W* weight, T* y, float* inverse, int width, float epsilon, int fromOne) {
    const u64 at = static_cast<u64>(blockIdx.x) * width;
    const T* row = x + at;
    T* out = y + at;
    float sum = 0.f;
    for (int i = threadIdx.x * 8; i < width; i += blockDim.x * 8) {
        float v[8];
        load(row + i, v);
        if (branch) {
            float b[8];
            load(branch + at + i, b);
#pragma unroll
            for (int k = 0; k < 8; k++) v[k] = wide(narrow<T>(v[k] + b[k]));
            store(total + at + i, v);
        }
#pragma unroll
        for (int k = 0; k < 8; k++) sum += v[k] * v[k];
    }
    // A thread reads again only what it has written itself.
    if (branch) row = total + at;
    const float scale = rsqrtf(sumOfBlock(sum) / width + epsilon);
    if (inverse && threadIdx.x == 0) inverse[blockIdx.x] = scale;
    for (int i = threadIdx.x * 8; i < width; i += blockDim.x * 8) {
        float v[8], w[8];
        load(row + i, v);
        load(weight + i, w);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            v[k] = fromOne ? v[k] * scale * (1.f + w[k]) : wide(narrow<T>(v[k] * scale)) * w[k];
        }
        store(out + i, v);
    }
}

// dx = s · (g - x · s² · mean(g · x)) with g = dy · w, plus the gradient that went past the norm if there is one. y, which
// may be dy itself, gets the result of the forward pass once more.
template <class T, class W>
__device__ __forceinline__ void rmsBackward(
        const T* dy, const T* x, const W* weight, const float* inverse, const T* past, T* dx, T* y, int width,
        int fromOne) {
    const u64 at = static_cast<u64>(blockIdx.x) * width;
    const float scale = inverse[blockIdx.x];
    float sum = 0.f;
    for (int i = threadIdx.x * 8; i < width; i += blockDim.x * 8) {
        float g[8], v[8], w[8];
        load(dy + at + i, g);
        load(x + at + i, v);
        load(weight + i, w);
#pragma unroll
        for (int k = 0; k < 8; k++) sum += g[k] * (fromOne ? 1.f + w[k] : w[k]) * v[k];
    }
    const float shared = sumOfBlock(sum) / width * scale * scale;
    for (int i = threadIdx.x * 8; i < width; i += blockDim.x * 8) {
        float g[8], v[8], w[8];
        load(dy + at + i, g);
        load(x + at + i, v);
        load(weight + i, w);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            const float normed = fromOne ? v[k] * scale * (1.f + w[k]) : wide(narrow<T>(v[k] * scale)) * w[k];
            g[k] = scale * (g[k] * (fromOne ? 1.f + w[k] : w[k]) - v[k] * shared);
            w[k] = normed;
        }
        if (y) store(y + at + i, w);
        if (past) {
            load(past + at + i, v);
#pragma unroll
            for (int k = 0; k < 8; k++) g[k] += v[k];
        }
        store(dx + at + i, g);
    }
}

#define RMS(SUFFIX, T, W)                                                                                              \
    extern "C" __global__ void rms_forward_##SUFFIX(                                                                   \
            const T* x, const T* branch, T* total, const W* weight, T* y, float* inverse, int width, float epsilon,    \
            int fromOne) {                                                                                             \
        rmsForward<T, W>(x, branch, total, weight, y, inverse, width, epsilon, fromOne);                               \
    }                                                                                                                  \
    extern "C" __global__ void rms_backward_##SUFFIX(                                                                  \
            const T* dy, const T* x, const W* weight, const float* inverse, const T* past, T* dx, T* y, int width,     \
            int fromOne) {                                                                                             \
        rmsBackward<T, W>(dy, x, weight, inverse, past, dx, y, width, fromOne);                                        \
    }

RMS(f32, float, float)
RMS(bf16, bf16, bf16)

// What a gate goes through: the value, and its slope.
struct Silu {
    static __device__ __forceinline__ float2 at(float x) {
        const float sigmoid = 1.f / (1.f + __expf(-x)), value = x * sigmoid;
        return float2{value, sigmoid * (1.f + x - value)};
    }
};

struct Gelu {
    static __device__ __forceinline__ float2 at(float x) {
        const float share = 0.5f * (1.f + erff(x * 0.70710678f));
        return float2{x * share, share + x * 0.39894228f * __expf(-0.5f * x * x)};
    }
};

struct GeluTanh {
    static __device__ __forceinline__ float2 at(float x) {
        const float square = 0.044715f * x * x, bent = tanhf(0.79788456f * x * (1.f + square));
        const float share = 0.5f * (1.f + bent);
        return float2{x * share, share + 0.5f * x * (1.f - bent * bent) * 0.79788456f * (1.f + 3.f * square)};
    }
};

// both: shape (rows, 2 · width), gate first. y = act(gate) · up.
template <class T, class Act>
__device__ __forceinline__ void gatedForward(const T* both, T* y, u64 rows, int width) {
    const u64 i = (static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x) * 8;
    if (i >= rows * width) return;
    const u64 row = i / width;
    const u64 column = i - row * width;
    float gate[8], up[8];
    load(both + row * 2 * width + column, gate);
    load(both + row * 2 * width + width + column, up);
#pragma unroll
    for (int k = 0; k < 8; k++) gate[k] = Act::at(gate[k]).x * up[k];
    store(y + i, gate);
}

// The gradients of gate and up take their places. y, which may be dy itself, gets the result of the forward pass once more.
template <class T, class Act>
__device__ __forceinline__ void gatedBackward(const T* dy, T* both, T* y, u64 rows, int width) {
    const u64 i = (static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x) * 8;
    if (i >= rows * width) return;
    const u64 row = i / width;
    const u64 column = i - row * width;
    T* first = both + row * 2 * width + column;
    float g[8], gate[8], up[8];
    load(dy + i, g);
    load(first, gate);
    load(first + width, up);
#pragma unroll
    for (int k = 0; k < 8; k++) {
        const float2 act = Act::at(gate[k]);
        gate[k] = g[k] * up[k] * act.y;
        const float result = act.x * up[k];
        up[k] = g[k] * act.x;
        g[k] = result;
    }
    if (y) store(y + i, g);
    store(first, gate);
    store(first + width, up);
}

#define GATED(NAME, ACT, SUFFIX, T)                                                                                    \
    extern "C" __global__ void NAME##_forward_##SUFFIX(const T* both, T* y, u64 rows, int width) {                     \
        gatedForward<T, ACT>(both, y, rows, width);                                                                    \
    }                                                                                                                  \
    extern "C" __global__ void NAME##_backward_##SUFFIX(const T* dy, T* both, T* y, u64 rows, int width) {             \
        gatedBackward<T, ACT>(dy, both, y, rows, width);                                                               \
    }

GATED(swiglu, Silu, f32, float)
GATED(swiglu, Silu, bf16, bf16)
GATED(geglu, Gelu, f32, float)
GATED(geglu, Gelu, bf16, bf16)
GATED(geglu_tanh, GeluTanh, f32, float)
GATED(geglu_tanh, GeluTanh, bf16, bf16)

// Turns the pairs (i, i + size / 2) of each head by the angle of its position; direction -1 turns back. x has any strides
// but 1 between channels; y is (B, T, heads, size) without gaps. cos and sin: shape (T, size).
template <class T>
__device__ __forceinline__ void rope(
        const T* x, T* y, const T* cosines, const T* sines, int tokens, int heads, int size, i64 ofBatch, i64 ofToken,
        i64 ofHead, float direction, u64 threads) {
    const u64 thread = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= threads) return;
    const int pieces = size / 16;
    const int channel = static_cast<int>(thread % pieces) * 8;
    u64 rest = thread / pieces;
    const int head = static_cast<int>(rest % heads);
    rest /= heads;
    const int token = static_cast<int>(rest % tokens);
    const u64 batch = rest / tokens;
    const T* from = x + static_cast<i64>(batch) * ofBatch + token * ofToken + head * ofHead + channel;
    float a[8], b[8], c[8], s[8];
    load(from, a);
    load(from + size / 2, b);
    load(cosines + static_cast<u64>(token) * size + channel, c);
    load(sines + static_cast<u64>(token) * size + channel, s);
#pragma unroll
    for (int k = 0; k < 8; k++) {
        const float sine = s[k] * direction;
        const float turned = a[k] * c[k] - b[k] * sine;
        b[k] = b[k] * c[k] + a[k] * sine;
        a[k] = turned;
    }
    T* to = y + ((batch * tokens + token) * heads + head) * size + channel;
    store(to, a);
    store(to + size / 2, b);
}

#define ROPE(SUFFIX, T)                                                                                                \
    extern "C" __global__ void rope_##SUFFIX(                                                                          \
            const T* x, T* y, const T* cosines, const T* sines, int tokens, int heads, int size, i64 ofBatch,          \
            i64 ofToken, i64 ofHead, float direction, u64 threads) {                                                   \
        rope<T>(x, y, cosines, sines, tokens, heads, size, ofBatch, ofToken, ofHead, direction, threads);              \
    }

ROPE(f32, float)
ROPE(bf16, bf16)

// The same in place, for the first heads of rows of a given width: shape (B, T, width).
template <class T>
__device__ __forceinline__ void ropeInPlace(
        T* rows, const T* cosines, const T* sines, int tokens, int heads, int size, u64 width, float direction,
        u64 threads) {
    const u64 thread = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (thread >= threads) return;
    const int pieces = size / 16;
    const int channel = static_cast<int>(thread % pieces) * 8;
    u64 rest = thread / pieces;
    const int head = static_cast<int>(rest % heads);
    const u64 row = rest / heads;
    const u64 token = row % tokens;
    T* at = rows + row * width + static_cast<u64>(head) * size + channel;
    float a[8], b[8], c[8], s[8];
    load(at, a);
    load(at + size / 2, b);
    load(cosines + token * size + channel, c);
    load(sines + token * size + channel, s);
#pragma unroll
    for (int k = 0; k < 8; k++) {
        const float sine = s[k] * direction;
        const float turned = a[k] * c[k] - b[k] * sine;
        b[k] = b[k] * c[k] + a[k] * sine;
        a[k] = turned;
    }
    store(at, a);
    store(at + size / 2, b);
}

#define ROPE_IN_PLACE(SUFFIX, T)                                                                                       \
    extern "C" __global__ void rope_in_place_##SUFFIX(                                                                 \
            T* rows, const T* cosines, const T* sines, int tokens, int heads, int size, u64 width, float direction,    \
            u64 threads) {                                                                                             \
        ropeInPlace<T>(rows, cosines, sines, tokens, heads, size, width, direction, threads);                          \
    }

ROPE_IN_PLACE(f32, float)
ROPE_IN_PLACE(bf16, bf16)
