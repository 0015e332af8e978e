// Kernels on 4-bit weights in the layout of bitsandbytes; see QuantizedTensor. No headers: the compiler runs where no CUDA
// toolkit is installed. Every rounding that decides a byte is spelled out, so that no contraction can change it.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct alignas(16) Vec4 { u32 x, y, z, w; };

// What is read or written once passes by the first cache: a warp's stores need not wait for a line of it.
__device__ __forceinline__ u32 readOnce(const u32* from) {
    u32 v;
    asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(v) : "l"(from));
    return v;
}

__device__ __forceinline__ void writeOnce(Vec4* to, u32 x, u32 y, u32 z, u32 w) {
    asm volatile("st.global.L1::no_allocate.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(x), "r"(y), "r"(z), "r"(w)
                 : "memory");
}

__device__ __forceinline__ float asFloat(u32 bits) { return __uint_as_float(bits); }
__device__ __forceinline__ u32 asBits(float x) { return __float_as_uint(x); }

// Two floats, each rounded to the nearest bfloat16 (ties to even), the first in the low half.
__device__ __forceinline__ u32 bf16x2(float first, float second) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

__device__ __forceinline__ u32 f16x2(float first, float second) {
    u32 pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

__device__ __forceinline__ float reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The scale of block b: a float, or an 8-bit code with one float for 256 of them.
__device__ __forceinline__ float scaleOf(u64 b, const float* absmax, const u8* codes, const float* map, float offset) {
    return codes ? __fadd_rn(__fmul_rn(map[codes[b]], absmax[b >> 8]), offset) : absmax[b];
}

struct ToFloat {
    static __device__ __forceinline__ void eight(void* out, u64 word, const float* v) {
        Vec4* to = reinterpret_cast<Vec4*>(out) + 2 * word;
        writeOnce(to, asBits(v[0]), asBits(v[1]), asBits(v[2]), asBits(v[3]));
        writeOnce(to + 1, asBits(v[4]), asBits(v[5]), asBits(v[6]), asBits(v[7]));
    }
    static __device__ __forceinline__ void one(void* out, u64 i, float v) { reinterpret_cast<float*>(out)[i] = v; }
};

struct ToBf16 {
    static __device__ __forceinline__ void eight(void* out, u64 word, const float* v) {
        writeOnce(
                reinterpret_cast<Vec4*>(out) + word, bf16x2(v[0], v[1]), bf16x2(v[2], v[3]), bf16x2(v[4], v[5]),
                bf16x2(v[6], v[7]));
    }
    static __device__ __forceinline__ void one(void* out, u64 i, float v) {
        reinterpret_cast<u16*>(out)[i] = static_cast<u16>(bf16x2(v, 0.f));
    }
};

struct ToF16 {
    static __device__ __forceinline__ void eight(void* out, u64 word, const float* v) {
        writeOnce(
                reinterpret_cast<Vec4*>(out) + word, f16x2(v[0], v[1]), f16x2(v[2], v[3]), f16x2(v[4], v[5]),
                f16x2(v[6], v[7]));
    }
    static __device__ __forceinline__ void one(void* out, u64 i, float v) {
        reinterpret_cast<u16*>(out)[i] = static_cast<u16>(f16x2(v, 0.f));
    }
};

// A thread takes 4 packed bytes, 8 weights, at a time: reads and writes of a warp are contiguous, and eight weights share
// one scale because blocks are at least 32 long. Several turns are in flight at once. The table lies in 16 banks of shared
// memory, so that threads never wait for one another.
// block: which of the weight's blocks of threads this is.
template <class Out>
__device__ __forceinline__ void dequantize(
        u32 block, const u8* packed, void* out, u64 n, int shift, const float* table, const float* absmax, const u8* codes,
        const float* map, float offset) {
    constexpr int TURNS = 4;
    __shared__ float values[16];
    if (threadIdx.x < 16) {
        values[threadIdx.x] = table[threadIdx.x];
    }
    __syncthreads();
    const u64 words = n / 8;
    const u64 first = static_cast<u64>(block) * blockDim.x * TURNS + threadIdx.x;
    u32 bytes[TURNS];
    float outers[TURNS];
    u8 inners[TURNS];
#pragma unroll
    for (int turn = 0; turn < TURNS; turn++) {
        const u64 word = first + static_cast<u64>(turn) * blockDim.x;
        if (word < words) {
            bytes[turn] = readOnce(reinterpret_cast<const u32*>(packed) + word);
            const u64 b = word >> (shift - 3);
            inners[turn] = codes ? codes[b] : 0;
            outers[turn] = absmax[codes ? b >> 8 : b];
        }
    }
#pragma unroll
    for (int turn = 0; turn < TURNS; turn++) {
        const u64 word = first + static_cast<u64>(turn) * blockDim.x;
        if (word < words) {
            const float scale =
                    codes ? __fadd_rn(__fmul_rn(map[inners[turn]], outers[turn]), offset) : outers[turn];
            float v[8];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const u32 byte = bytes[turn] >> (8 * i);
                v[2 * i] = __fmul_rn(values[byte >> 4 & 15], scale);
                v[2 * i + 1] = __fmul_rn(values[byte & 15], scale);
            }
            Out::eight(out, word, v);
        }
    }
    if (block == 0 && threadIdx.x < n - words * 8) {
        const u64 i = words * 8 + threadIdx.x;
        const u32 byte = packed[i / 2];
        const float scale = scaleOf(i >> shift, absmax, codes, map, offset);
        Out::one(out, i, __fmul_rn(values[i % 2 == 0 ? byte >> 4 : byte & 15], scale));
    }
}

#define DEQUANTIZE(NAME, OUT)                                                                                          \
    extern "C" __global__ void __launch_bounds__(256) NAME(                                                            \
            const u8* packed, void* out, u64 n, int shift, const float* table, const float* absmax, const u8* codes,  \
            const float* map, float offset) {                                                                          \
        dequantize<OUT>(blockIdx.x, packed, out, n, shift, table, absmax, codes, map, offset);                         \
    }

DEQUANTIZE(dequantize_f32, ToFloat)
DEQUANTIZE(dequantize_bf16, ToBf16)
DEQUANTIZE(dequantize_f16, ToF16)

// Up to three weights behind one another in one launch, each with a multiple of eight numbers. blocks: those of the first, and of
// the first two.
#define PACKED(I)                                                                                                      \
    const u8 *packed##I, u64 n##I, const float *absmax##I, const u8 *codes##I, const float *map##I, float offset##I
extern "C" __global__ void __launch_bounds__(256) dequantize_all_bf16(
        u16* out, int shift, const float* table, u32 blocks1, u32 blocks2, PACKED(0), PACKED(1), PACKED(2)) {
    if (blockIdx.x < blocks1) {
        dequantize<ToBf16>(blockIdx.x, packed0, out, n0, shift, table, absmax0, codes0, map0, offset0);
    } else if (blockIdx.x < blocks2) {
        dequantize<ToBf16>(
                blockIdx.x - blocks1, packed1, out + n0, n1, shift, table, absmax1, codes1, map1, offset1);
    } else {
        dequantize<ToBf16>(
                blockIdx.x - blocks2, packed2, out + n0 + n1, n2, shift, table, absmax2, codes2, map2, offset2);
    }
}

// The weights of a stack in one launch, each with n numbers, so many blocks, outer scales and inner ones, and an offset of its own.
extern "C" __global__ void __launch_bounds__(256) dequantize_stack_bf16(
        const u8* packed, u16* out, u64 n, u32 blocks, int shift, const float* table, const float* absmax, u64 outers,
        const u8* codes, u64 inners, const float* map, const float* offsets) {
    const u64 weight = blockIdx.x / blocks;
    dequantize<ToBf16>(
            blockIdx.x % blocks, packed + weight * (n / 2), out + weight * n, n, shift, table, absmax + weight * outers,
            codes ? codes + weight * inners : codes, map, offsets ? offsets[weight] : 0.f);
}

// Weights in the type of the checkpoint: 0 float32, 1 bfloat16, 2 float16.
__device__ __forceinline__ float weightAt(const void* weights, u64 i, int type) {
    if (type == 0) {
        return reinterpret_cast<const float*>(weights)[i];
    }
    const u16 bits = reinterpret_cast<const u16*>(weights)[i];
    if (type == 1) {
        return asFloat(static_cast<u32>(bits) << 16);
    }
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(bits));
    return wide;
}

// The largest magnitude of each block, one warp for a block; a NaN stays one. Subnormal numbers count as zero.
extern "C" __global__ void __launch_bounds__(256) absmax(
        const void* weights, int type, u64 n, int shift, float* out, u64 blocks) {
    const u64 block = (static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
    if (block >= blocks) {
        return;
    }
    const u64 from = block << shift;
    const u64 to = min(n, from + (1ull << shift));
    float largest = 0.f;
    bool broken = false;
    for (u64 i = from + threadIdx.x % 32; i < to; i += 32) {
        const float magnitude = fabsf(weightAt(weights, i, type));
        broken |= magnitude != magnitude;
        largest = fmaxf(largest, magnitude);
    }
    for (int distance = 16; distance > 0; distance /= 2) {
        largest = fmaxf(largest, __shfl_down_sync(~0u, largest, distance));
    }
    broken = __any_sync(~0u, broken);
    if (threadIdx.x % 32 == 0) {
        out[block] = broken ? asFloat(0x7fc00000) : largest < asFloat(0x00800000) ? 0.f : largest;
    }
}

// One thread packs two weights. limits: 15 rising; codes: of the 16 intervals.
extern "C" __global__ void __launch_bounds__(256) pack(
        const void* weights, int type, u64 n, int shift, const float* absmax, const float* limits, const int* codes,
        u8* packed) {
    __shared__ float bounds[15];
    __shared__ int code[16];
    if (threadIdx.x < 15) {
        bounds[threadIdx.x] = limits[threadIdx.x];
    }
    if (threadIdx.x < 16) {
        code[threadIdx.x] = codes[threadIdx.x];
    }
    __syncthreads();
    const u64 pair = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (pair >= (n + 1) / 2) {
        return;
    }
    const float largest = absmax[pair * 2 >> shift];
    u32 byte = 0;
    if (largest > 0.f) {
        const float factor = reciprocal(largest);
        for (int half = 0; half < 2; half++) {
            const u64 i = pair * 2 + half;
            const float scaled = i < n ? __fmul_rn(weightAt(weights, i, type), factor) : 0.f;
            int interval = 0;
            for (int k = 0; k < 15; k++) {
                interval += scaled > bounds[k];
            }
            byte = byte << 4 | code[interval];
        }
    }
    packed[pair] = byte;
}

// Quantizes the scales again, 256 threads for 256 scales. limits: 255 rising.
extern "C" __global__ void __launch_bounds__(256) nest(
        const float* scales, u64 n, float offset, const float* limits, u8* codes, float* outer) {
    __shared__ float largest[8];
    const u64 i = static_cast<u64>(blockIdx.x) * 256 + threadIdx.x;
    const float centred = i < n ? __fsub_rn(scales[i], offset) : 0.f;
    float most = fabsf(centred);
    for (int distance = 16; distance > 0; distance /= 2) {
        most = fmaxf(most, __shfl_xor_sync(~0u, most, distance));
    }
    if (threadIdx.x % 32 == 0) {
        largest[threadIdx.x / 32] = most;
    }
    __syncthreads();
    most = largest[0];
    for (int k = 1; k < 8; k++) {
        most = fmaxf(most, largest[k]);
    }
    const bool empty = most < asFloat(0x00800000);
    if (threadIdx.x == 0) {
        outer[blockIdx.x] = empty ? 0.f : most;
    }
    if (i < n) {
        int low = 0;
        if (!empty) {
            const float scaled = __fmul_rn(centred, reciprocal(most));
            int high = 255;
            while (low < high) {
                const int middle = (low + high) >> 1;
                if (scaled > limits[middle]) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
        }
        codes[i] = static_cast<u8>(low);
    }
}
