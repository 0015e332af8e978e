// GEMV of the chosen dense weights of a stack; see experts.cuh. T is float or bfloat16.

#include "numbers.cuh"
#include "activation.cuh"
#include "experts.cuh"

template <class T> struct Row {
    const T* weights;

    __device__ __forceinline__ float product(int k, const float* x) const {
        float w[8], sum = 0.f;
        load(weights + k, w);
#pragma unroll
        for (int i = 0; i < 8; i++) sum += w[i] * x[i];
        return sum;
    }
};

template <class T> struct Dense {
    const T* all;
    int out;

    __device__ __forceinline__ Row<T> row(int weight, int row, int width) const {
        return Row<T>{all + (static_cast<u64>(weight) * out + row) * width};
    }
};

#define EXPERTS(NAME, T)                                                                                               \
    extern "C" __global__ void __launch_bounds__(256) experts_gated_##NAME(                                            \
            const T* x, T* y, const int* chosen, int width, int out, int active, int blocks, int activation,           \
            const T* weights, const __grid_constant__ Addition addition) {                                             \
        nextMayStart();                                                                                                \
        waitForPrevious();                                                                                             \
        gated(x, y, chosen, width, out, active, blocks, activation, addition, Dense<T>{weights, out});                 \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256) experts_combined_##NAME(                                         \
            const T* x, T* y, const int* chosen, const float* shares, int width, int out, int active, int blocks,      \
            float factor, int add, const T* weights, const __grid_constant__ Addition addition) {                      \
        nextMayStart();                                                                                                \
        waitForPrevious();                                                                                             \
        combined(x, y, chosen, shares, width, out, active, blocks, factor, add, addition, Dense<T>{weights, out});     \
    }

EXPERTS(bf16, bf16)
EXPERTS(f32, float)
