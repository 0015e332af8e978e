// GEMV of a dense weight, a few vectors at a time, and the narrow products of low-rank additions. T is float or bfloat16; sums are
// in float.

#include "numbers.cuh"
#include "activation.cuh"
#include "norm.cuh"

__device__ __forceinline__ float sumOfWarp(float x) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
    return x;
}

constexpr int MAX_ROWS = 8;

template <class T> struct Part {
    const T* weight;
    const T* bias;
    const float* low;
    const float* b;
    int rank;
    int out;

    __device__ __forceinline__ float ending(float sum, int m, int row) const {
        if (bias) sum += wide(bias[row]);
#pragma unroll 16
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
__device__ __forceinline__ void rowsGated(const T* x, T* y, int width, int activation, Part<T> gate, Part<T> up) {
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
            y[static_cast<u64>(m) * gate.out + row] = narrow<T>(activated(activation, g) * u);
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
            const T* x, T* y, int width, int activation, PART(T, 0), PART(T, 1)) {                                     \
        rowsGated<T, ROWS>(x, y, width, activation, PART_OF(T, 0), PART_OF(T, 1));                                     \
    }

ROWS_KERNELS(f32, float, 1)
ROWS_KERNELS(f32, float, 2)
ROWS_KERNELS(f32, float, 3)
ROWS_KERNELS(f32, float, 4)
ROWS_KERNELS(f32, float, 5)
ROWS_KERNELS(f32, float, 6)
ROWS_KERNELS(f32, float, 7)
ROWS_KERNELS(f32, float, 8)
ROWS_KERNELS(bf16, bf16, 1)
ROWS_KERNELS(bf16, bf16, 2)

constexpr int WARPS = 8;
constexpr int STEP = 32;               // of the width, by the four lanes that share a row
constexpr int STEPS_AT_ONCE = 4;

__device__ __forceinline__ void multiply(float* d, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// Three to eight rows of bfloat16 by tensor cores: for fewer a warp for each output is as quick or quicker. A block has a tile of 16 outputs, or gated of eight and those of the second
// matrix; its warps divide the width. A lane takes eight weights in a row and the same eight of x: what the tensor core holds
// for neighbours in the width need not be neighbours. width: a multiple of 8. ending: whether the products are added to what y
// holds, or gated the function of the gate.
template <bool GATED>
__device__ __forceinline__ void rowsByTile(
        const bf16* x, bf16* y, int width, int rows, int stride, int ending, Part<bf16> first, Part<bf16> second,
        Part<bf16> third) {
    constexpr int OUTPUTS = GATED ? 8 : 16;
    __shared__ float sums[WARPS][16][MAX_ROWS];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, quad = lane % 4;
    nextMayStart();
    int tile = blockIdx.x, column = 0;
    Part<bf16> part = first;
    if (!GATED && tile >= (first.out + 15) / 16) {
        tile -= (first.out + 15) / 16, column = first.out, part = second;
        if (tile >= (second.out + 15) / 16) tile -= (second.out + 15) / 16, column += second.out, part = third;
    }
    // Rows behind the last are read as the last and not written.
    const int start = tile * OUTPUTS;
    const bf16* upper = part.weight + static_cast<u64>(min(start + group, part.out - 1)) * width;
    const bf16* lower =
            (GATED ? second : part).weight + static_cast<u64>(min(start + group + (GATED ? 0 : 8), part.out - 1)) * width;
    const bf16* own = x + static_cast<u64>(min(group, rows - 1)) * width;
    uint4 above[STEPS_AT_ONCE], below[STEPS_AT_ONCE];
    const auto piece = [&](const bf16* row, int k) {
        return k < width ? *reinterpret_cast<const uint4*>(row + k) : uint4{0, 0, 0, 0};
    };
    const auto readWeights = [&](int from) {
#pragma unroll
        for (int i = 0; i < STEPS_AT_ONCE; i++) {
            above[i] = piece(upper, from + i * STEP + quad * 8);
            below[i] = piece(lower, from + i * STEP + quad * 8);
        }
    };
    // Weights do not depend on the kernel before this one.
    int from = warp * STEPS_AT_ONCE * STEP;  // the same for all lanes, which multiply together
    readWeights(from);
    waitForPrevious();
    float total[4] = {};
    while (from < width) {
        uint4 values[STEPS_AT_ONCE];
#pragma unroll
        for (int i = 0; i < STEPS_AT_ONCE; i++) values[i] = piece(own, from + i * STEP + quad * 8);
#pragma unroll
        for (int i = 0; i < STEPS_AT_ONCE; i++) {
            multiply(total, above[i].x, below[i].x, above[i].y, below[i].y, values[i].x, values[i].y);
            multiply(total, above[i].z, below[i].z, above[i].w, below[i].w, values[i].z, values[i].w);
        }
        from += WARPS * STEPS_AT_ONCE * STEP;
        if (from < width) readWeights(from);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) sums[warp][group + i / 2 * 8][quad * 2 + i % 2] = total[i];
    __syncthreads();
    const int mine = threadIdx.x % OUTPUTS, m = threadIdx.x / OUTPUTS, row = start + mine;
    if (m >= rows || row >= part.out) return;
    float value = 0.f, other = 0.f;
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
        value += sums[w][mine][m];
        if (GATED) other += sums[w][mine + 8][m];
    }
    bf16* to = y + static_cast<u64>(m) * stride + column + row;
    value = part.ending(value, m, row);
    if (GATED) value = activated(ending, value) * second.ending(other, m, row);
    if (!GATED && ending) value += wide(*to);
    *to = narrow<bf16>(value);
}

extern "C" __global__ void __launch_bounds__(256) rows_tile(
        const bf16* x, bf16* y, int width, int rows, int stride, int add, PART(bf16, 0), PART(bf16, 1), PART(bf16, 2)) {
    rowsByTile<false>(x, y, width, rows, stride, add, PART_OF(bf16, 0), PART_OF(bf16, 1), PART_OF(bf16, 2));
}

extern "C" __global__ void __launch_bounds__(256) gated_tile(
        const bf16* x, bf16* y, int width, int rows, int activation, PART(bf16, 0), PART(bf16, 1)) {
    rowsByTile<true>(x, y, width, rows, out0, activation, PART_OF(bf16, 0), PART_OF(bf16, 1), Part<bf16>{});
}

constexpr int LOW_THREADS = 512;
constexpr int LOW_ROWS = 2;            // of x for a block
constexpr int LOW_AT_ONCE = 3;         // pieces of a lane that are asked for before the first is used

// The rows of A of up to three factors, one behind another in low.
struct Factors {
    const float *a0, *a1, *a2;
    float scale0, scale1, scale2;
    int rank0, rank1, rank2;
};

// The sums over the block, for each of its rows of x.
__device__ __forceinline__ void sumsOfBlock(float (&sums)[LOW_ROWS]) {
    __shared__ float parts[LOW_THREADS / 32][LOW_ROWS];
    __syncthreads();
#pragma unroll
    for (int m = 0; m < LOW_ROWS; m++) {
        const float sum = sumOfWarp(sums[m]);
        if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32][m] = sum;
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < LOW_ROWS; m++) {
        sums[m] = 0.f;
#pragma unroll
        for (int warp = 0; warp < LOW_THREADS / 32; warp++) sums[m] += parts[warp][m];
    }
}

// scale · A x of up to three factors A, one block for a row of A and LOW_ROWS rows of x; the blocks of the same rows of x lie
// side by side. width: a multiple of 8. NORMED: of the norm of x, which the first of the blocks writes to y; then a thread has all
// of its part of a row at once, so that width is at most 8 · LOW_THREADS · LOW_AT_ONCE.
template <class T, bool NORMED>
__device__ __forceinline__ void lowRank(
        const T* x, float* low, int rows, int width, const Factors& factors, T* y, const Norm* norm) {
    const int ranks = factors.rank0 + factors.rank1 + factors.rank2, first = blockIdx.x / ranks * LOW_ROWS;
    int r = blockIdx.x % ranks;
    const bool writes = NORMED && r == 0;
    int rank = factors.rank0;
    const float* a = factors.a0;
    float scale = factors.scale0;
    float* to = low;
    if (r >= factors.rank0) {
        r -= factors.rank0;
        to += rows * factors.rank0;
        a = factors.a1, scale = factors.scale1, rank = factors.rank1;
        if (r >= factors.rank1) {
            r -= factors.rank1;
            to += rows * factors.rank1;
            a = factors.a2, scale = factors.scale2, rank = factors.rank2;
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
    for (int start = threadIdx.x * 8; NORMED || start < width;) {
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
        if (NORMED) {
            float scales[LOW_ROWS] = {};
#pragma unroll
            for (int i = 0; i < LOW_AT_ONCE; i++) {
#pragma unroll
                for (int m = 0; m < LOW_ROWS; m++) {
#pragma unroll
                    for (int n = 0; n < 8; n++) scales[m] += wide(values[i][m].v[n]) * wide(values[i][m].v[n]);
                }
            }
            sumsOfBlock(scales);
#pragma unroll
            for (int i = 0; i < LOW_AT_ONCE; i++) {
                const int k = start + i * LOW_THREADS * 8;
                if (k >= width) continue;
                float w[8];
                norm->weights<T>(k, w);
#pragma unroll
                for (int m = 0; m < LOW_ROWS; m++) {
                    const float inverse = rsqrtf(scales[m] / width + norm->epsilon);
#pragma unroll
                    for (int n = 0; n < 8; n++) {
                        values[i][m].v[n] = narrow<T>(norm->scaled<T>(wide(values[i][m].v[n]), inverse, w[n]));
                    }
                    if (writes && first + m < rows) {
                        *reinterpret_cast<Eight<T>*>(y + static_cast<u64>(first + m) * width + k) = values[i][m];
                    }
                }
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
        if (NORMED) break;
        start += LOW_AT_ONCE * LOW_THREADS * 8;
        if (start < width) readWeights(start);
    }
    sumsOfBlock(sums);
    const int m = threadIdx.x;
    if (m < LOW_ROWS && first + m < rows) to[(first + m) * rank + r] = (m == 0 ? sums[0] : sums[LOW_ROWS - 1]) * scale;
}

#define FACTORS                                                                                                        \
    const float *a0, float scale0, int rank0, const float *a1, float scale1, int rank1, const float *a2, float scale2, \
            int rank2
#define LOW_RANK(SUFFIX, T)                                                                                            \
    extern "C" __global__ void __launch_bounds__(LOW_THREADS) low_rank_##SUFFIX(                                      \
            const T* x, float* low, int rows, int width, FACTORS) {                                                    \
        lowRank<T, false>(                                                                                             \
                x, low, rows, width, Factors{a0, a1, a2, scale0, scale1, scale2, rank0, rank1, rank2}, nullptr,        \
                nullptr);                                                                                              \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(LOW_THREADS) norm_low_rank_##SUFFIX(                                 \
            const T* x, float* low, int rows, int width, FACTORS, T* y, const __grid_constant__ Norm norm) {           \
        lowRank<T, true>(                                                                                              \
                x, low, rows, width, Factors{a0, a1, a2, scale0, scale1, scale2, rank0, rank1, rank2}, y, &norm);      \
    }

LOW_RANK(f32, float)
LOW_RANK(bf16, bf16)
