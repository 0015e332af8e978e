// Products of few rows with a dense weight, and the narrow products of low-rank additions. T is float or bfloat16; sums are
// in float.

#include "numbers.cuh"

__device__ __forceinline__ float sumOfWarp(float x) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
    return x;
}

constexpr int MOST_ROWS = 8;

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

// scale · A x of up to three factors A, one block of 256 threads for a row of A. width: a multiple of 8.
template <class T>
__device__ __forceinline__ void lowRank(
        const T* x, float* low, int rows, int width, const float* a0, float scale0, int rank0, const float* a1,
        float scale1, int rank1, const float* a2, float scale2, int rank2) {
    __shared__ float parts[8][MOST_ROWS];
    int r = blockIdx.x;
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
    nextMayStart();
    // The factor does not depend on the kernel before this one.
    const float* factor = a + static_cast<u64>(r) * width;
    for (int k = threadIdx.x * 8; k < width; k += blockDim.x * 8) asm volatile("prefetch.global.L2 [%0];" ::"l"(factor + k));
    waitForPrevious();
    float sums[MOST_ROWS] = {};
    for (int k = threadIdx.x * 8; k < width; k += blockDim.x * 8) {
        float w[8];
        load(factor + k, w);
#pragma unroll
        for (int m = 0; m < MOST_ROWS; m++) {
            if (m < rows) {
                float v[8];
                load(x + static_cast<u64>(m) * width + k, v);
#pragma unroll
                for (int i = 0; i < 8; i++) sums[m] += w[i] * v[i];
            }
        }
    }
#pragma unroll
    for (int m = 0; m < MOST_ROWS; m++) {
        const float sum = sumOfWarp(sums[m]);
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32][m] = sum;
    }
    __syncthreads();
    if (threadIdx.x < rows) {
        float sum = 0.f;
        for (int warp = 0; warp < 8; warp++) sum += parts[warp][threadIdx.x];
        to[threadIdx.x * rank + r] = sum * scale;
    }
}

#define LOW_RANK(SUFFIX, T)                                                                                            \
    extern "C" __global__ void __launch_bounds__(256) low_rank_##SUFFIX(                                               \
            const T* x, float* low, int rows, int width, const float* a0, float scale0, int rank0, const float* a1,    \
            float scale1, int rank1, const float* a2, float scale2, int rank2) {                                       \
        lowRank<T>(x, low, rows, width, a0, scale0, rank0, a1, scale1, rank1, a2, scale2, rank2);                      \
    }

LOW_RANK(f32, float)
LOW_RANK(bf16, bf16)
