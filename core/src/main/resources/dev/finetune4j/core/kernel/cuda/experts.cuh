// GEMV of those weights of a stack that a router has chosen for each row; which they are is read on the GPU, so that a step with
// experts can be captured. One warp for an output. What a weight looks like is up to the type WEIGHTS: its row(weight, row) has
// product(k, v), the product of eight weights from k on with v.

constexpr int WARPS = 8;

__device__ __forceinline__ float allLanes(float sum) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
    return sum;
}

// What an adapter adds, from the products with A; low: null for nothing. The strides are those of B. Every field has eight bytes,
// as the host lays out arguments.
struct Addition {
    const float* low;
    const float* b;
    u64 ofExpert;
    u64 ofLinear;
    u64 ofOutput;
    u64 ofNumber;
    alignas(8) int numbers;  // of a row and expert in low
    alignas(8) int rank;     // of them that a linear takes: all, or its own

    // A lane's part.
    __device__ __forceinline__ float part(int pair, int expert, int linear, int row, int lane) const {
        float sum = 0.f;
        if (low) {
            const float* from = low + static_cast<u64>(pair) * numbers + (numbers > rank ? linear * rank : 0);
            const float* to = b + expert * ofExpert + linear * ofLinear + row * ofOutput;
#pragma unroll 1
            for (int j = lane; j < rank; j += 32) sum += from[j] * to[j * ofNumber];
        }
        return sum;
    }
};

// y = act(gate x) · (up x), for each row and each of its experts one row of y; gate and up of an expert follow each other in the
// stack. blocks: those of a row of y.
template <class T, class WEIGHTS>
__device__ __forceinline__ void gated(
        const T* x, T* y, const int* chosen, int width, int out, int active, int blocks, int activation,
        const Addition& addition, const WEIGHTS& weights) {
    const int pair = blockIdx.x / blocks, lane = threadIdx.x % 32;
    const int row = blockIdx.x % blocks * WARPS + threadIdx.x / 32;
    if (row >= out) return;
    const int expert = chosen[pair];
    const auto gate = weights.row(2 * expert, row, width), up = weights.row(2 * expert + 1, row, width);
    x += static_cast<u64>(pair / active) * width;
    float one = addition.part(pair, expert, 0, row, lane), two = addition.part(pair, expert, 1, row, lane);
#pragma unroll 4
    for (int k = lane * 8; k < width; k += 256) {
        float v[8];
        load(x + k, v);
        one += gate.product(k, v);
        two += up.product(k, v);
    }
    one = allLanes(one);
    two = allLanes(two);
    if (lane == 0) y[static_cast<u64>(pair) * out + row] = narrow<T>(activated(activation, one) * two);
}

// y = sum of share · (down x) over the experts of a row, each with a row of x of its own; times the factor, and added to what y
// holds.
template <class T, class WEIGHTS>
__device__ __forceinline__ void combined(
        const T* x, T* y, const int* chosen, const float* shares, int width, int out, int active, int blocks, float factor,
        int add, const Addition& addition, const WEIGHTS& weights) {
    const int m = blockIdx.x / blocks, lane = threadIdx.x % 32;
    const int row = blockIdx.x % blocks * WARPS + threadIdx.x / 32;
    if (row >= out) return;
    float total = 0.f;
    for (int i = 0; i < active; i++) {
        const int pair = m * active + i, expert = chosen[pair];
        const auto down = weights.row(expert, row, width);
        float sum = addition.part(pair, expert, 0, row, lane);
#pragma unroll 4
        for (int k = lane * 8; k < width; k += 256) {
            float v[8];
            load(x + static_cast<u64>(pair) * width + k, v);
            sum += down.product(k, v);
        }
        total += sum * shares[pair];
    }
    total = allLanes(total);
    if (lane == 0) {
        T* to = y + static_cast<u64>(m) * out + row;
        *to = narrow<T>(total * factor + (add ? wide(*to) : 0.f));
    }
}
