// GEMV of the chosen 4-bit weights of a stack; see QuantizedStack and experts.cuh.

#include "numbers.cuh"
#include "activation.cuh"
#include "experts.cuh"

// The weights of a stack: bytes, outer scales and inner ones of each. Every field has eight bytes, as the host lays out
// arguments.
struct Stack {
    const u8* packed;
    const float* absmax;
    const u8* codes;
    const float* map;
    const float* offsets;
    u64 bytes;
    u64 outers;
    u64 inners;
};

// A struct has to be the last argument, because the host lays out a field as it does an argument.
struct Adapted {
    Addition addition;
    Stack stack;
};

// A row of a weight. values: the table in shared memory.
struct Row {
    const u8* packed;
    const float* absmax;
    const u8* codes;
    const float* map;
    const float* values;
    float offset;
    int shift;
    u64 first;

    __device__ __forceinline__ float scale(u64 at) const {
        const u64 block = at >> shift;
        return codes ? __fadd_rn(__fmul_rn(map[codes[block]], absmax[block >> 8]), offset) : absmax[block];
    }

    __device__ __forceinline__ float product(int k, const float* x) const {
        const u64 at = first + k;
        const u32 weights = *reinterpret_cast<const u32*>(packed + at / 2);
        float sum = 0.f;
#pragma unroll
        for (int byte = 0; byte < 4; byte++) {
            sum += values[weights >> (8 * byte + 4) & 15] * x[2 * byte];
            sum += values[weights >> (8 * byte) & 15] * x[2 * byte + 1];
        }
        return sum * scale(at);
    }
};

struct Codes {
    const Stack& stack;
    const float* values;
    int shift;

    __device__ __forceinline__ Row row(int weight, int row, int width) const {
        return Row{
                stack.packed + weight * stack.bytes,
                stack.absmax + weight * stack.outers,
                stack.codes ? stack.codes + weight * stack.inners : stack.codes,
                stack.map,
                values,
                stack.codes ? stack.offsets[weight] : 0.f,
                shift,
                static_cast<u64>(row) * width};
    }
};

__device__ __forceinline__ void begin(float* values, const float* table) {
    nextMayStart();
    if (threadIdx.x < 16) values[threadIdx.x] = table[threadIdx.x];
    __syncthreads();
    waitForPrevious();
}

#define EXPERTS(NAME, T)                                                                                               \
    extern "C" __global__ void __launch_bounds__(256) gated_##NAME(                                                    \
            const T* x, T* y, const int* chosen, int width, int out, int active, int blocks, int activation,           \
            int shift, const float* table, const __grid_constant__ Adapted all) {                                      \
        __shared__ float values[16];                                                                                   \
        begin(values, table);                                                                                          \
        const Codes codes{all.stack, values, shift};                                                                   \
        gated(x, y, chosen, width, out, active, blocks, activation, all.addition, codes);                              \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256) combined_##NAME(                                                 \
            const T* x, T* y, const int* chosen, const float* shares, int width, int out, int active, int blocks,      \
            float factor, int add, int shift, const float* table, const __grid_constant__ Adapted all) {               \
        __shared__ float values[16];                                                                                   \
        begin(values, table);                                                                                          \
        const Codes codes{all.stack, values, shift};                                                                   \
        combined(x, y, chosen, shares, width, out, active, blocks, factor, add, all.addition, codes);                  \
    }

EXPERTS(bf16, bf16)
EXPERTS(f32, float)
