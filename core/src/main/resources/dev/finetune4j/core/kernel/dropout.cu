// Dropout whose mask is made from counters by Philox4x32-10 (Salmon et al. 2011), as Philox.java does.

#include "numbers.cuh"

// y = x times 0 or the scale. Each thread makes a block of four words for four elements.
template <class T>
__device__ __forceinline__ void dropout(
        const T* x, T* y, i64 count, u32 part, u32 module, u32 pass, u32 key0, u32 key1, u32 threshold, float scale) {
    const i64 stride = static_cast<i64>(gridDim.x) * blockDim.x;
    for (i64 block = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x; block * 4 < count; block += stride) {
        u32 c[4] = {static_cast<u32>(block), part, module, pass};
        u32 k0 = key0, k1 = key1;
#pragma unroll
        for (int round = 0; round < 10; round++) {
            const u32 low0 = 0xD2511F53u * c[0], high0 = __umulhi(0xD2511F53u, c[0]);
            const u32 low1 = 0xCD9E8D57u * c[2], high1 = __umulhi(0xCD9E8D57u, c[2]);
            c[0] = high1 ^ c[1] ^ k0;
            c[1] = low1;
            c[2] = high0 ^ c[3] ^ k1;
            c[3] = low0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const i64 at = block * 4 + i;
            if (at < count) y[at] = narrow<T>(wide(x[at]) * (c[i] < threshold ? 0.f : scale));
        }
    }
}

#define DROPOUT(NAME, T)                                                                                                 \
    extern "C" __global__ void NAME(                                                                                     \
            const T* x, T* y, i64 count, u32 part, u32 module, u32 pass, u32 key0, u32 key1, u32 threshold, float scale) { \
        dropout(x, y, count, part, module, pass, key0, key1, threshold, scale);                                          \
    }

DROPOUT(dropout_f32, float)
DROPOUT(dropout_bf16, bf16)
