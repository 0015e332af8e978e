// Cross entropy of rows of logits, whose gradients take their place. T is float or bfloat16; sums are in float.

#include "numbers.cuh"

constexpr float NONE = -3.402823466e38f;

// The largest value so far and the sum of exp(value - largest).
struct Sum {
    float most, sum;

    __device__ __forceinline__ void join(float otherMost, float otherSum) {
        const float both = fmaxf(most, otherMost);
        sum = sum * __expf(most - both) + otherSum * __expf(otherMost - both);
        most = both;
    }
};

// tanh(x / cap); for bfloat16 within a quarter of their rounding, by one instruction.
template <class T> __device__ __forceinline__ float bent(float x, float cap);
template <> __device__ __forceinline__ float bent<float>(float x, float cap) {
    return 1.f - __fdividef(2.f, 1.f + __expf(2.f * x / cap));
}
template <> __device__ __forceinline__ float bent<bf16>(float x, float cap) {
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(__fdividef(x, cap)));
    return y;
}

// The logit that a number stands for: cap · tanh(x / cap), or itself where there is no cap.
template <class T> __device__ __forceinline__ float logit(float x, float cap) {
    return cap == 0.f ? x : cap * bent<T>(x, cap);
}

// The gradient by a number whose logit gives the share p, less 1 at the label.
template <class T>
__device__ __forceinline__ float gradient(float x, float cap, float logSum, bool isLabel, float factor) {
    const float slope = cap == 0.f ? 0.f : bent<T>(x, cap);
    const float p = __expf((cap == 0.f ? x : cap * slope) - logSum);
    return (isLabel ? p - 1.f : p) * factor * (1.f - slope * slope);
}

// One block for a row of (rows, width). Labels below 0 are not to be learned: their loss and gradient are zero. A
// label of no column makes a loss that is not a number, because a kernel has no other way to refuse it. The
// gradient is (softmax - onehot) · scale, by the numbers before they are capped.
template <class T>
__device__ __forceinline__ void crossEntropy(
        T* logits, const i64* labels, float* losses, const float* scale, int width, float cap) {
    T* row = logits + static_cast<u64>(blockIdx.x) * width;
    const i64 label = labels[blockIdx.x];
    const bool aligned = width % 8 == 0;
    const int whole = aligned ? width : 0;
    if (label < 0 || label >= width) {
        for (int i = threadIdx.x; i < width; i += blockDim.x) row[i] = narrow<T>(0.f);
        if (threadIdx.x == 0) losses[blockIdx.x] = label < 0 ? 0.f : __int_as_float(0x7fffffff);
        return;
    }
    const float ofLabel = logit<T>(wide(row[label]), cap);
    Sum own{NONE, 0.f};
    for (int i = threadIdx.x * 8; i < whole; i += blockDim.x * 8) {
        float v[8], most = own.most;
        load(row + i, v);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            v[k] = logit<T>(v[k], cap);
            most = fmaxf(most, v[k]);
        }
        own.sum *= __expf(own.most - most);
        own.most = most;
#pragma unroll
        for (int k = 0; k < 8; k++) own.sum += __expf(v[k] - most);
    }
    for (int i = whole + threadIdx.x; i < width; i += blockDim.x) own.join(logit<T>(wide(row[i]), cap), 1.f);
    for (int d = 16; d > 0; d /= 2) {
        const float most = __shfl_xor_sync(~0u, own.most, d);
        const float sum = __shfl_xor_sync(~0u, own.sum, d);
        own.join(most, sum);
    }
    __shared__ Sum parts[32];
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = own;
    // Nobody may write a gradient before everybody has read the label's value.
    __syncthreads();
    Sum all = parts[0];
    for (int i = 1; i < blockDim.x / 32; i++) all.join(parts[i].most, parts[i].sum);
    const float logSum = all.most + __logf(all.sum);
    if (threadIdx.x == 0) losses[blockIdx.x] = logSum - ofLabel;
    const float factor = *scale;
    for (int i = threadIdx.x * 8; i < whole; i += blockDim.x * 8) {
        Eight<T> e = *reinterpret_cast<const Eight<T>*>(row + i);
#pragma unroll
        for (int k = 0; k < 8; k++) {
            e.v[k] = narrow<T>(gradient<T>(wide(e.v[k]), cap, logSum, i + k == label, factor));
        }
        *reinterpret_cast<Eight<T>*>(row + i) = e;
    }
    for (int i = whole + threadIdx.x; i < width; i += blockDim.x) {
        row[i] = narrow<T>(gradient<T>(wide(row[i]), cap, logSum, i == label, factor));
    }
}

#define CROSS_ENTROPY(SUFFIX, T)                                                                                       \
    extern "C" __global__ void cross_entropy_##SUFFIX(                                                                 \
            T* logits, const i64* labels, float* losses, const float* scale, int width, float cap) {                   \
        crossEntropy<T>(logits, labels, losses, scale, width, cap);                                                    \
    }

CROSS_ENTROPY(f32, float)
CROSS_ENTROPY(bf16, bf16)
