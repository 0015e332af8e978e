// The choice of experts of a few rows, without the host.

#include "numbers.cuh"

// One warp for the logit of a row and an expert, rounded as a product in the type of x is. width: a multiple of 8.
template <class T>
__device__ __forceinline__ void logits(const T* x, const T* router, float* y, int width, int rows, int experts) {
    nextMayStart();
    waitForPrevious();
    const int pair = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (pair >= rows * experts) return;
    const T* row = x + static_cast<u64>(pair / experts) * width;
    const T* weights = router + static_cast<u64>(pair % experts) * width;
    float sum = 0.f;
    for (int k = lane * 8; k < width; k += 256) {
        float a[8], b[8];
        load(row + k, a);
        load(weights + k, b);
#pragma unroll
        for (int i = 0; i < 8; i++) sum += a[i] * b[i];
    }
#pragma unroll
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    if (lane == 0) y[pair] = wide(narrow<T>(sum));
}

extern "C" __global__ void __launch_bounds__(256) router_bf16(
        const bf16* x, const bf16* router, float* y, int width, int rows, int experts) {
    logits(x, router, y, width, rows, experts);
}

extern "C" __global__ void __launch_bounds__(256) router_f32(
        const float* x, const float* router, float* y, int width, int rows, int experts) {
    logits(x, router, y, width, rows, experts);
}

// One warp for a row: the softmax over all experts, and the likeliest of them one after the other; of equals the first.
template <class T>
__device__ __forceinline__ void choose(
        const float* logits, int* chosen, float* shares, int experts, int active, int normalised) {
    constexpr int HELD = 8;
    nextMayStart();
    waitForPrevious();
    const int lane = threadIdx.x;
    logits += static_cast<u64>(blockIdx.x) * experts;
    chosen += blockIdx.x * active;
    shares += blockIdx.x * active;
    float p[HELD], largest = __int_as_float(0xff800000), sum = 0.f;
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        const int expert = lane + 32 * i;
        p[i] = expert < experts ? logits[expert] : __int_as_float(0xff800000);
        largest = fmaxf(largest, p[i]);
    }
#pragma unroll
    for (int d = 16; d > 0; d /= 2) largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, d));
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        p[i] = lane + 32 * i < experts ? expf(p[i] - largest) : -1.f;
        sum += fmaxf(p[i], 0.f);
    }
#pragma unroll
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    float of = normalised ? 0.f : sum, mine = 0.f;
    for (int turn = 0; turn < active; turn++) {
        float best = -1.f;
        int at = 0;
#pragma unroll
        for (int i = 0; i < HELD; i++) {
            if (p[i] > best) {
                best = p[i];
                at = lane + 32 * i;
            }
        }
#pragma unroll
        for (int d = 16; d > 0; d /= 2) {
            const float other = __shfl_xor_sync(~0u, best, d);
            const int place = __shfl_xor_sync(~0u, at, d);
            if (other > best || (other == best && place < at)) {
                best = other;
                at = place;
            }
        }
#pragma unroll
        for (int i = 0; i < HELD; i++) {
            if (at == lane + 32 * i) p[i] = -1.f;
        }
        if (lane == turn) {
            chosen[turn] = at;
            mine = best;
        }
        if (normalised) of += best;
    }
    if (lane < active) shares[lane] = wide(narrow<T>(mine / of));
}

extern "C" __global__ void __launch_bounds__(32) router_choice_bf16(
        const float* logits, int* chosen, float* shares, int experts, int active, int normalised) {
    choose<bf16>(logits, chosen, shares, experts, active, normalised);
}

extern "C" __global__ void __launch_bounds__(32) router_choice_f32(
        const float* logits, int* chosen, float* shares, int experts, int active, int normalised) {
    choose<float>(logits, chosen, shares, experts, active, normalised);
}

// One block for a number of A x: of a row, one of its experts and one row of the expert's A. width: a multiple of 8. sharing: how
// many pairs of row and expert have one row of x.
template <class T>
__device__ __forceinline__ void lowRank(
        const T* x, const float* a, const int* chosen, float* low, int width, int numbers, int sharing, float scale) {
    __shared__ float sums[4];
    nextMayStart();
    waitForPrevious();
    const int pair = blockIdx.x / numbers, number = blockIdx.x % numbers;
    const float* factors = a + (static_cast<u64>(chosen[pair]) * numbers + number) * width;
    x += static_cast<u64>(pair / sharing) * width;
    float sum = 0.f;
#pragma unroll 2
    for (int k = threadIdx.x * 8; k < width; k += 1024) {
        float v[8], f[8];
        load(factors + k, f);
        load(x + k, v);
#pragma unroll
        for (int i = 0; i < 8; i++) sum += f[i] * v[i];
    }
#pragma unroll
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) low[blockIdx.x] = scale * (sums[0] + sums[1] + sums[2] + sums[3]);
}

extern "C" __global__ void __launch_bounds__(128) expert_low_rank_bf16(
        const bf16* x, const float* a, const int* chosen, float* low, int width, int numbers, int sharing, float scale) {
    lowRank(x, a, chosen, low, width, numbers, sharing, scale);
}

extern "C" __global__ void __launch_bounds__(128) expert_low_rank_f32(
        const float* x, const float* a, const int* chosen, float* low, int width, int numbers, int sharing, float scale) {
    lowRank(x, a, chosen, low, width, numbers, sharing, scale);
}
