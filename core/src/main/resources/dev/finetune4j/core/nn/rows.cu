// Products of few rows with a dense weight, and the narrow products of low-rank additions. T is float or bfloat16; sums are
// in float.

#include "numbers.cuh"

__device__ __forceinline__ float sumOfWarp(float x) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
    return x;
}

template <class T> struct Part {
    const T* weight;
    const T* bias;
    const float* low;
    const float* b;
    int rank;
    int out;

    __device__ __forceinline__ float ending(float sum, int m, int row) const {
        if (bias) sum += wide(bias[row]);
        for (int r = 0; r < rank; r++) sum += low[m * rank + r] * b[static_cast<u64>(row) * rank + r];
        return sum;
    }
};

// One warp for an output; a lane takes eight weights at a time. width: a multiple of 8.
template <class T, int ROWS>
__device__ __forceinline__ void dot(const T* weight, const T* x, int width, int lane, float* sums) {
#pragma unroll
    for (int m = 0; m < ROWS; m++) sums[m] = 0.f;
#pragma unroll 4
    for (int k = lane * 8; k < width; k += 256) {
        float w[8];
        load(weight + k, w);
#pragma unroll
        for (int m = 0; m < ROWS; m++) {
            float v[8];
            load(x + static_cast<u64>(m) * width + k, v);
#pragma unroll
            for (int i = 0; i < 8; i++) sums[m] += w[i] * v[i];
        }
    }
#pragma unroll
    for (int m = 0; m < ROWS; m++) sums[m] = sumOfWarp(sums[m]);
}

template <class T, int ROWS>
__device__ __forceinline__ void rowsPlain(
        const T* x, T* y, int width, int stride, int add, Part<T> first, Part<T> second, Part<T> third) {
    nextMayStart();
    waitForPrevious();
    const int lane = threadIdx.x % 32;
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    int column = row;
    Part<T> part = first;
    if (row >= first.out) {
        row -= first.out;
        part = second;
        if (row >= second.out) {
            row -= second.out;
            part = third;
            if (row >= third.out) return;
        }
    }
    float sums[ROWS];
    dot<T, ROWS>(part.weight + static_cast<u64>(row) * width, x, width, lane, sums);
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
        if (lane == m) {
            T* to = y + static_cast<u64>(m) * stride + column;
            const float value = part.ending(sums[m], m, row);
            *to = narrow<T>(add ? wide(*to) + value : value);
        }
    }
}

template <class T, int ROWS>
__device__ __forceinline__ void rowsGated(const T* x, T* y, int width, Part<T> gate, Part<T> up) {
    nextMayStart();
    waitForPrevious();
    const int lane = threadIdx.x % 32;
    const int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= gate.out) return;
    float gates[ROWS], ups[ROWS];
    dot<T, ROWS>(gate.weight + static_cast<u64>(row) * width, x, width, lane, gates);
    dot<T, ROWS>(up.weight + static_cast<u64>(row) * width, x, width, lane, ups);
#pragma unroll
    for (int m = 0; m < ROWS; m++) {
        if (lane == m) {
            const float g = gate.ending(gates[m], m, row);
            const float u = up.ending(ups[m], m, row);
            y[static_cast<u64>(m) * gate.out + row] = narrow<T>(g / (1.f + __expf(-g)) * u);
        }
    }
}

#define PART(T, P) const T* weight##P, const T* bias##P, const float* low##P, const float* b##P, int rank##P, int out##P
#define PART_OF(T, P) Part<T>{weight##P, bias##P, low##P, b##P, rank##P, out##P}

#define ROWS_KERNELS(SUFFIX, T, ROWS)                                                                                  \
    extern "C" __global__ void __launch_bounds__(256) rows_##SUFFIX##_##ROWS(                                          \
            const T* x, T* y, int width, int stride, int add, PART(T, 0), PART(T, 1), PART(T, 2)) {                    \
        rowsPlain<T, ROWS>(x, y, width, stride, add, PART_OF(T, 0), PART_OF(T, 1), PART_OF(T, 2));                     \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256) gated_##SUFFIX##_##ROWS(                                         \
            const T* x, T* y, int width, PART(T, 0), PART(T, 1)) {                                                     \
        rowsGated<T, ROWS>(x, y, width, PART_OF(T, 0), PART_OF(T, 1));                                                 \
    }

#define ALL_ROWS(SUFFIX, T)                                                                                            \
    ROWS_KERNELS(SUFFIX, T, 1)                                                                                         \
    ROWS_KERNELS(SUFFIX, T, 2)                                                                                         \
    ROWS_KERNELS(SUFFIX, T, 3)                                                                                         \
    ROWS_KERNELS(SUFFIX, T, 4)                                                                                         \
    ROWS_KERNELS(SUFFIX, T, 5)                                                                                         \
    ROWS_KERNELS(SUFFIX, T, 6)                                                                                         \
    ROWS_KERNELS(SUFFIX, T, 7)                                                                                         \
    ROWS_KERNELS(SUFFIX, T, 8)

ALL_ROWS(f32, float)
ALL_ROWS(bf16, bf16)

constexpr int LOW_THREADS = 512;
constexpr int LOW_ROWS = 2;            // of x for a block
constexpr int LOW_AT_ONCE = 3;         // pieces of a lane that are asked for before the first is used

// scale · A x of up to three factors A, one block for a row of A and LOW_ROWS rows of x; the blocks of the same rows of x lie
// side by side. width: a multiple of 8.
template <class T>
__device__ __forceinline__ void lowRank(
        const T* x, float* low, int rows, int width, const float* a0, float scale0, int rank0, const float* a1,
        float scale1, int rank1, const float* a2, float scale2, int rank2) {
    __shared__ float parts[LOW_THREADS / 32][LOW_ROWS];
    const int ranks = rank0 + rank1 + rank2, first = blockIdx.x / ranks * LOW_ROWS;
    int r = blockIdx.x % ranks;
    int rank = rank0;
    const float* a = a0;
    float scale = scale0;
    float* to = low;
    if (r >= rank0) {
        r -= rank0;
        to += rows * rank0;
        a = a1, scale = scale1, rank = rank1;
        if (r >= rank1) {
            r -= rank1;
            to += rows * rank1;
            a = a2, scale = scale2, rank = rank2;
        }
    }
    const float* factor = a + static_cast<u64>(r) * width;
    Eight<float> weights[LOW_AT_ONCE];
    const auto readWeights = [&](int start) {
#pragma unroll
        for (int i = 0; i < LOW_AT_ONCE; i++) {
            const int k = start + i * LOW_THREADS * 8;
            weights[i] = k < width ? *reinterpret_cast<const Eight<float>*>(factor + k) : Eight<float>{};
        }
    };
    nextMayStart();
    // The factor does not depend on the kernel before this one.
    readWeights(threadIdx.x * 8);
    waitForPrevious();
    float sums[LOW_ROWS] = {};
    for (int start = threadIdx.x * 8; start < width;) {
        Eight<T> values[LOW_AT_ONCE][LOW_ROWS];
#pragma unroll
        for (int i = 0; i < LOW_AT_ONCE; i++) {
            const int k = start + i * LOW_THREADS * 8;
#pragma unroll
            for (int m = 0; m < LOW_ROWS; m++) {
                // A row behind the last is read as the last and not written.
                const T* row = x + static_cast<u64>(min(first + m, rows - 1)) * width;
                values[i][m] = k < width ? *reinterpret_cast<const Eight<T>*>(row + k) : Eight<T>{};
            }
        }
#pragma unroll
        for (int i = 0; i < LOW_AT_ONCE; i++) {
#pragma unroll
            for (int m = 0; m < LOW_ROWS; m++) {
#pragma unroll
                for (int n = 0; n < 8; n++) sums[m] += weights[i].v[n] * wide(values[i][m].v[n]);
            }
        }
        start += LOW_AT_ONCE * LOW_THREADS * 8;
        if (start < width) readWeights(start);
    }
#pragma unroll
    for (int m = 0; m < LOW_ROWS; m++) {
        const float sum = sumOfWarp(sums[m]);
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32][m] = sum;
    }
    __syncthreads();
    const int m = threadIdx.x;
    if (m < LOW_ROWS && first + m < rows) {
        float sum = 0.f;
#pragma unroll
        for (int warp = 0; warp < LOW_THREADS / 32; warp++) sum += parts[warp][m];
        to[(first + m) * rank + r] = sum * scale;
    }
}

#define LOW_RANK(SUFFIX, T)                                                                                            \
    extern "C" __global__ void __launch_bounds__(LOW_THREADS) low_rank_##SUFFIX(                                      \
            const T* x, float* low, int rows, int width, const float* a0, float scale0, int rank0, const float* a1,    \
            float scale1, int rank1, const float* a2, float scale2, int rank2) {                                       \
        lowRank<T>(x, low, rows, width, a0, scale0, rank0, a1, scale1, rank1, a2, scale2, rank2);                      \
    }

LOW_RANK(f32, float)
LOW_RANK(bf16, bf16)
