// GEMV of those 4-bit weights of a stack that a router has chosen for each row; see QuantizedStack. Which they are is read on the
// GPU, so that a step with experts can be captured. One warp for an output.

#include "numbers.cuh"
#include "activation.cuh"

constexpr int WARPS = 8;

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

struct Row {
    const u8* packed;
    const float* absmax;
    const u8* codes;
    const float* map;
    float offset;
    u64 first;

    __device__ __forceinline__ Row(const Stack& stack, int weight, int row, int width) {
        packed = stack.packed + weight * stack.bytes;
        absmax = stack.absmax + weight * stack.outers;
        codes = stack.codes ? stack.codes + weight * stack.inners : stack.codes;
        map = stack.map;
        offset = stack.codes ? stack.offsets[weight] : 0.f;
        first = static_cast<u64>(row) * width;
    }

    __device__ __forceinline__ float scale(u64 at, int shift) const {
        const u64 block = at >> shift;
        return codes ? __fadd_rn(__fmul_rn(map[codes[block]], absmax[block >> 8]), offset) : absmax[block];
    }
};

// Eight weights of a row times eight numbers. values: the table in shared memory.
__device__ __forceinline__ float eight(u32 weights, const float* values, const float* x) {
    float sum = 0.f;
#pragma unroll
    for (int byte = 0; byte < 4; byte++) {
        sum += values[weights >> (8 * byte + 4) & 15] * x[2 * byte];
        sum += values[weights >> (8 * byte) & 15] * x[2 * byte + 1];
    }
    return sum;
}

__device__ __forceinline__ void fill(float* values, const float* table) {
    if (threadIdx.x < 16) values[threadIdx.x] = table[threadIdx.x];
    __syncthreads();
}

__device__ __forceinline__ float allLanes(float sum) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    return sum;
}

// y = act(gate x) · (up x), for each row and each of its experts one row of y; gate and up of an expert follow each other in the
// stack. blocks: those of a row of y.
template <class T>
__device__ __forceinline__ void gated(
        const T* x, T* y, const int* chosen, int width, int out, int active, int blocks, int activation, int shift,
        const float* table, const Stack& stack) {
    __shared__ float values[16];
    nextMayStart();
    fill(values, table);
    waitForPrevious();
    const int pair = blockIdx.x / blocks, lane = threadIdx.x % 32;
    const int row = blockIdx.x % blocks * WARPS + threadIdx.x / 32;
    if (row >= out) return;
    const int expert = chosen[pair];
    const Row gate(stack, 2 * expert, row, width), up(stack, 2 * expert + 1, row, width);
    x += static_cast<u64>(pair / active) * width;
    float one = 0.f, two = 0.f;
#pragma unroll 4
    for (int k = lane * 8; k < width; k += 256) {
        const u64 at = gate.first + k;
        const u32 first = *reinterpret_cast<const u32*>(gate.packed + at / 2);
        const u32 second = *reinterpret_cast<const u32*>(up.packed + at / 2);
        float v[8];
        load(x + k, v);
        one += eight(first, values, v) * gate.scale(at, shift);
        two += eight(second, values, v) * up.scale(at, shift);
    }
    one = allLanes(one);
    two = allLanes(two);
    if (lane == 0) y[static_cast<u64>(pair) * out + row] = narrow<T>(activated(activation, one) * two);
}

// y = sum of share · (down x) over the experts of a row, each with a row of x of its own; times the factor, and added to what y
// holds.
template <class T>
__device__ __forceinline__ void combined(
        const T* x, T* y, const int* chosen, const float* shares, int width, int out, int active, int blocks, float factor,
        int add, int shift, const float* table, const Stack& stack) {
    __shared__ float values[16];
    nextMayStart();
    fill(values, table);
    waitForPrevious();
    const int m = blockIdx.x / blocks, lane = threadIdx.x % 32;
    const int row = blockIdx.x % blocks * WARPS + threadIdx.x / 32;
    if (row >= out) return;
    float total = 0.f;
    for (int i = 0; i < active; i++) {
        const int pair = m * active + i;
        const Row down(stack, chosen[pair], row, width);
        float sum = 0.f;
#pragma unroll 4
        for (int k = lane * 8; k < width; k += 256) {
            const u64 at = down.first + k;
            const u32 weights = *reinterpret_cast<const u32*>(down.packed + at / 2);
            float v[8];
            load(x + static_cast<u64>(pair) * width + k, v);
            sum += eight(weights, values, v) * down.scale(at, shift);
        }
        total += sum * shares[pair];
    }
    total = allLanes(total);
    if (lane == 0) {
        T* to = y + static_cast<u64>(m) * out + row;
        *to = narrow<T>(total * factor + (add ? wide(*to) : 0.f));
    }
}

#define EXPERTS(NAME, T)                                                                                               \
    extern "C" __global__ void __launch_bounds__(256) gated_##NAME(                                                    \
            const T* x, T* y, const int* chosen, int width, int out, int active, int blocks, int activation,           \
            int shift, const float* table, const __grid_constant__ Stack stack) {                                      \
        gated(x, y, chosen, width, out, active, blocks, activation, shift, table, stack);                              \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(256) combined_##NAME(                                                 \
            const T* x, T* y, const int* chosen, const float* shares, int width, int out, int active, int blocks,      \
            float factor, int add, int shift, const float* table, const __grid_constant__ Stack stack) {               \
        combined(x, y, chosen, shares, width, out, active, blocks, factor, add, shift, table, stack);                  \
    }

EXPERTS(bf16, bf16)
EXPERTS(f32, float)
