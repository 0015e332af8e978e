// Dropout as a pass of its own; the kernels of low-rank products make the same masks where they need them.

#include "numbers.cuh"
#include "philox.cuh"

// y = x times 0 or the scale. Each thread makes a block of four words for eight elements. passOnDevice: null, or where the pass
// stands at this launch.
template <class T>
__device__ __forceinline__ void dropout(
        const T* x, T* y, i64 count, u32 part, u32 module, u32 pass, const u32* passOnDevice, u32 key0, u32 key1,
        u32 threshold, float scale) {
    const Draw draw{part, module, passOnDevice ? *passOnDevice : pass, key0, key1, threshold};
    const i64 stride = static_cast<i64>(gridDim.x) * blockDim.x;
    for (i64 block = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; block * 8 < count; block += stride) {
        u32 words[4];
        philox(static_cast<u32>(block), draw, words);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const i64 at = block * 8 + i;
            const u32 bits = i % 2 == 0 ? words[i / 2] & 0xffff : words[i / 2] >> 16;
            if (at < count) y[at] = narrow<T>(wide(x[at]) * (bits < threshold ? 0.f : scale));
        }
    }
}

#define DROPOUT(NAME, T)                                                                                                 \
    extern "C" __global__ void NAME(                                                                                     \
            const T* x, T* y, i64 count, u32 part, u32 module, u32 pass, const u32* passOnDevice, u32 key0, u32 key1,    \
            u32 threshold, float scale) {                                                                                \
        dropout(x, y, count, part, module, pass, passOnDevice, key0, key1, threshold, scale);                            \
    }

DROPOUT(dropout_f32, float)
DROPOUT(dropout_bf16, bf16)
