// The heads of queries and keys between projection and attention: their norms, and the angles of their positions. T is float or
// bfloat16; sums are in float.

#include "numbers.cuh"

// What a lane has of a head: two times eight channels, which turn with one another where angles reach, or each with its neighbour.
struct Place {
    i64 row;
    int head, first, second, token, pair;
    bool there, turns, interleaved;

    // lanes: for a head, a power of two; heads: of a row that have lanes.
    __device__ Place(i64 rows, int tokens, int heads, int size, int turned, int neighbours, int lanes) {
        const i64 thread = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
        const int lane = static_cast<int>(thread % lanes);
        const i64 group = thread / lanes;
        head = static_cast<int>(group % heads);
        row = group / heads;
        token = static_cast<int>(row % tokens);
        there = row < rows && lane * 16 < size;
        turns = lane * 16 < turned;
        interleaved = neighbours;
        pair = lane * 8;
        first = turns && !interleaved ? pair : lane * 16;
        second = turns && !interleaved ? first + turned / 2 : first + 8;
    }
};

__device__ __forceinline__ float sumOfLanes(float x, int lanes) {
    for (int d = lanes / 2; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
    return x;
}

template <class T>
__device__ __forceinline__ void turn(
        float* a, float* b, const T* cosines, const T* sines, const Place& at, int turned, float direction) {
    float c[8], s[8];
    load(cosines + static_cast<i64>(at.token) * turned + at.pair, c);
    load(sines + static_cast<i64>(at.token) * turned + at.pair, s);
    if (at.interleaved) {
#pragma unroll
        for (int k = 0; k < 8; k++) {
            float* two = k < 4 ? a + 2 * k : b + 2 * (k - 4);
            const float sine = s[k] * direction, first = two[0] * c[k] - two[1] * sine;
            two[1] = two[1] * c[k] + two[0] * sine;
            two[0] = first;
        }
        return;
    }
#pragma unroll
    for (int k = 0; k < 8; k++) {
        const float sine = s[k] * direction, first = a[k] * c[k] - b[k] * sine;
        b[k] = b[k] * c[k] + a[k] * sine;
        a[k] = first;
    }
}

template <class T>
__device__ __forceinline__ float normed(float x, float scale, float weight, int fromOne) {
    return wide(narrow<T>(fromOne ? x * scale * (1.f + weight) : wide(narrow<T>(x * scale)) * weight));
}

// x and y: rows of the heads of queries, keys and values. Values are copied when `all` counts them.
template <class T>
__device__ __forceinline__ void headsForward(
        const T* x, T* y, const T* queryWeight, const T* keyWeight, float* inverse, const T* cosines, const T* sines,
        i64 rows, int tokens, int heads, int kvHeads, int all, int size, int turned, int neighbours, int lanes,
        float epsilon, int fromOne) {
    const Place at(rows, tokens, all, size, turned, neighbours, lanes);
    const i64 start = (at.row * (heads + 2 * kvHeads) + at.head) * size;
    float a[8] = {}, b[8] = {};
    if (at.there) {
        load(x + start + at.first, a);
        load(x + start + at.second, b);
    }
    if (queryWeight) {
        float sum = 0.f;
#pragma unroll
        for (int k = 0; k < 8; k++) sum += a[k] * a[k] + b[k] * b[k];
        const float scale = rsqrtf(sumOfLanes(sum, lanes) / size + epsilon);
        if (at.there && at.head < heads + kvHeads) {
            const T* weight = at.head < heads ? queryWeight : keyWeight;
            float v[8], w[8];
            load(weight + at.first, v);
            load(weight + at.second, w);
#pragma unroll
            for (int k = 0; k < 8; k++) {
                a[k] = normed<T>(a[k], scale, v[k], fromOne);
                b[k] = normed<T>(b[k], scale, w[k], fromOne);
            }
            if (at.first == 0) inverse[at.row * (heads + kvHeads) + at.head] = scale;
        }
    }
    if (!at.there) return;
    if (at.turns && at.head < heads + kvHeads) turn(a, b, cosines, sines, at, turned, 1.f);
    store(y + start + at.first, a);
    store(y + start + at.second, b);
}

// Gradients of heads with channels side by side.
template <class T>
struct Gradient {
    const T* from;
    i64 ofBatch, ofToken, ofHead;
    __device__ const T* head(const Place& at, int tokens, int first) const {
        return from + at.row / tokens * ofBatch + at.token * ofToken + (at.head - first) * ofHead;
    }
};

// dx: rows like those of x, which may be the memory that the forward pass wrote.
template <class T>
__device__ __forceinline__ void headsBackward(
        const Gradient<T>& dq, const Gradient<T>& dk, const Gradient<T>& dv, const T* x, T* dx, const T* queryWeight,
        const T* keyWeight, const float* inverse, const T* cosines, const T* sines, i64 rows, int tokens, int heads,
        int kvHeads, int size, int turned, int neighbours, int lanes, int fromOne) {
    const Place at(rows, tokens, heads + 2 * kvHeads, size, turned, neighbours, lanes);
    const bool moved = at.head < heads + kvHeads;
    const i64 start = (at.row * (heads + 2 * kvHeads) + at.head) * size;
    float a[8] = {}, b[8] = {};
    if (at.there) {
        const T* from = at.head < heads ? dq.head(at, tokens, 0)
                        : moved         ? dk.head(at, tokens, heads)
                                        : dv.head(at, tokens, heads + kvHeads);
        load(from + at.first, a);
        load(from + at.second, b);
        if (at.turns && moved) turn(a, b, cosines, sines, at, turned, -1.f);
    }
    if (queryWeight) {
        float u[8] = {}, v[8] = {}, scale = 0.f, sum = 0.f;
        if (at.there && moved) {
            const T* weight = at.head < heads ? queryWeight : keyWeight;
            load(weight + at.first, u);
            load(weight + at.second, v);
#pragma unroll
            for (int k = 0; k < 8; k++) {
                a[k] *= fromOne ? 1.f + u[k] : u[k];
                b[k] *= fromOne ? 1.f + v[k] : v[k];
            }
            load(x + start + at.first, u);
            load(x + start + at.second, v);
#pragma unroll
            for (int k = 0; k < 8; k++) sum += a[k] * u[k] + b[k] * v[k];
            scale = inverse[at.row * (heads + kvHeads) + at.head];
        }
        const float shared = sumOfLanes(sum, lanes) / size * scale * scale;
        if (moved) {
#pragma unroll
            for (int k = 0; k < 8; k++) {
                a[k] = scale * (a[k] - u[k] * shared);
                b[k] = scale * (b[k] - v[k] * shared);
            }
        }
    }
    if (!at.there) return;
    store(dx + start + at.first, a);
    store(dx + start + at.second, b);
}

#define HEADS(SUFFIX, T)                                                                                               \
    extern "C" __global__ void heads_forward_##SUFFIX(                                                                 \
            const T* x, T* y, const T* queryWeight, const T* keyWeight, float* inverse, const T* cosines,              \
            const T* sines, i64 rows, int tokens, int heads, int kvHeads, int all, int size, int turned,               \
            int neighbours, int lanes, float epsilon, int fromOne) {                                                   \
        headsForward<T>(                                                                                               \
                x, y, queryWeight, keyWeight, inverse, cosines, sines, rows, tokens, heads, kvHeads, all, size,        \
                turned, neighbours, lanes, epsilon, fromOne);                                                          \
    }                                                                                                                  \
    extern "C" __global__ void heads_backward_##SUFFIX(                                                                \
            const T* dq, i64 qBatch, i64 qToken, i64 qHead, const T* dk, i64 kBatch, i64 kToken, i64 kHead,            \
            const T* dv, i64 vBatch, i64 vToken, i64 vHead, const T* x, T* dx, const T* queryWeight,                   \
            const T* keyWeight, const float* inverse, const T* cosines, const T* sines, i64 rows, int tokens,          \
            int heads, int kvHeads, int size, int turned, int neighbours, int lanes, int fromOne) {                    \
        headsBackward<T>(                                                                                              \
                Gradient<T>{dq, qBatch, qToken, qHead}, Gradient<T>{dk, kBatch, kToken, kHead},                        \
                Gradient<T>{dv, vBatch, vToken, vHead}, x, dx, queryWeight, keyWeight, inverse, cosines, sines, rows,  \
                tokens, heads, kvHeads, size, turned, neighbours, lanes, fromOne);                                     \
    }

HEADS(f32, float)
HEADS(bf16, bf16)
