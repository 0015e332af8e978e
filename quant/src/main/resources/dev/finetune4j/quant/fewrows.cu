// Few rows times 4-bit weights in the layout of bitsandbytes; see QuantizedTensor. No headers: the compiler runs where no CUDA
// toolkit is installed.
//
// A row of weights is read once for all rows of x, so the limit is the memory's speed: 4.4e12 weights a second at 2.2 TB/s,
// for which 132 multiprocessors have 6.5 instructions of a lane each. Decoding by arithmetic and multiplying on the ordinary
// units takes 5 for one row of x and one more for each further row. Here tensor cores multiply, which leaves 1.7: the byte
// with two weights is one look-up of two bfloat16 that are an operand as they are. The table of 256 pairs lies 32 times in
// shared memory, once in each bank, so that the lanes of a warp never wait for each other. The numbers of the codes are
// rounded to bfloat16 (relative 2^-9, as a dense bfloat16 weight is), the scale of a block is applied to float sums.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct alignas(16) Vec4 { u32 x, y, z, w; };
struct bf16 { u16 bits; };

__device__ __forceinline__ float wide(float x) { return x; }
__device__ __forceinline__ float wide(bf16 x) { return __uint_as_float(static_cast<u32>(x.bits) << 16); }

// Two floats as bfloat16, the first in the low half.
__device__ __forceinline__ u32 bf16x2(float first, float second) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

template <class T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) { return bf16{static_cast<u16>(bf16x2(x, 0.f))}; }

// Weights are read once: they shall not push out what is read again.
__device__ __forceinline__ Vec4 stream(const u8* from) {
    Vec4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(from));
    return v;
}

__device__ __forceinline__ float silu(float x) { return x / (1.f + __expf(-x)); }

// A matrix of weights, and what is done to its products: bias and low-rank addition.
struct Part {
    const u8* packed;
    const float* absmax;
    const u8* codes;
    const float* map;
    float offset;
    const void* bias;
    const float* low;
    const float* b;
    int rank;
    int out;

    template <class T> __device__ __forceinline__ float ending(int m, int row) const {
        float sum = bias ? wide(reinterpret_cast<const T*>(bias)[row]) : 0.f;
        for (int r = 0; r < rank; r++) sum += low[m * rank + r] * b[static_cast<u64>(row) * rank + r];
        return sum;
    }

    // The scale of block i as it is stored.
    __device__ __forceinline__ float outer(u64 i) const { return codes ? absmax[i >> 8] : absmax[i]; }
};

__device__ __forceinline__ void multiply(float* d, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

constexpr int WARPS = 8;
constexpr int AHEAD = 4;

// What a lane reads of its two rows of weights before it multiplies: 32 weights of each, AHEAD times.
struct Ahead {
    Vec4 weights[AHEAD][2];
    float outer[AHEAD][2];
    u32 code[AHEAD][2];

    __device__ __forceinline__ void read(
            const Part& upper, const Part& lower, u64 upperRow, u64 lowerRow, int chunk, int quad, int width, int shift) {
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            const int k = (chunk + u * WARPS) * 128 + quad * 32;
            weights[u][0] = weights[u][1] = Vec4{0, 0, 0, 0};
            outer[u][0] = outer[u][1] = 0.f;
            code[u][0] = code[u][1] = 0;
            if (k < width) {
                const u64 one = upperRow * width + k, two = lowerRow * width + k;
                weights[u][0] = stream(upper.packed + one / 2);
                weights[u][1] = stream(lower.packed + two / 2);
                outer[u][0] = upper.outer(one >> shift);
                outer[u][1] = lower.outer(two >> shift);
                if (upper.codes) {
                    code[u][0] = upper.codes[one >> shift];
                    code[u][1] = lower.codes[two >> shift];
                }
            }
        }
    }
};

// One block multiplies 16 rows of weights by up to 4 · TILES rows of x; its warps divide the width among them in chunks of
// 128. A warp multiplies 16 x 16 weights at a time with 8 columns. The order of the width is free as long as both sides have
// the same: lane (group, quad) takes 32 weights in a row from rows group and group + 8, so the four lanes of a group cover two
// blocks of 64 with different scales. Therefore the columns stand twice: 0 to 3 hold rows of x for the first two lanes' part
// and zeros else, 4 to 7 the same rows for the last two lanes' part. Then every sum belongs to one block, and to the scale that
// its lane holds.
//
// gated: the upper eight rows are of one matrix and the lower eight of another; y = silu(upper) · lower. Otherwise the parts
// lie side by side in y.
template <int TILES, bool GATED>
__device__ __forceinline__ void rowsOnTensorCores(
        const bf16* x, bf16* y, int width, int rows, int stride, int add, int shift, const float* table,
        const Part& first, const Part& second, const Part& third) {
    constexpr int OUTPUTS = GATED ? 8 : 16;
    __shared__ alignas(16) u32 pairs[256 * 32];
    __shared__ float upperMap[256], lowerMap[256];
    __shared__ float sums[WARPS][16][4 * TILES];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, quad = lane % 4;
    int tile = blockIdx.x;
    int column = 0;
    Part upper = first;
    if (!GATED) {
        const int tiles = (first.out + 15) / 16;
        if (tile >= tiles) {
            tile -= tiles;
            column = first.out;
            upper = second;
            const int more = (second.out + 15) / 16;
            if (tile >= more) {
                tile -= more;
                column += second.out;
                upper = third;
            }
        }
    }
    const Part lower = GATED ? second : upper;
    const int start = tile * OUTPUTS;
    // Rows behind the last are read as the last and not written.
    const u64 upperRow = min(start + group, upper.out - 1);
    const u64 lowerRow = GATED ? upperRow : static_cast<u64>(min(start + group + 8, upper.out - 1));
    const int chunks = (width + 127) / 128;
    Ahead ahead;
    ahead.read(upper, lower, upperRow, lowerRow, warp, quad, width, shift);
    {
        // While those are on their way: the table, each thread one pair. The turn of the pieces keeps banks apart.
        const u32 pair = bf16x2(table[threadIdx.x >> 4], table[threadIdx.x & 15]);
        Vec4* to = reinterpret_cast<Vec4*>(pairs) + threadIdx.x * 8;
#pragma unroll
        for (int i = 0; i < 8; i++) to[(i + threadIdx.x) % 8] = Vec4{pair, pair, pair, pair};
        if (upper.codes) {
            upperMap[threadIdx.x] = upper.map[threadIdx.x];
            lowerMap[threadIdx.x] = lower.map[threadIdx.x];
        }
    }
    // The endings too: thread i has output i % OUTPUTS of row i / OUTPUTS.
    const int mine = threadIdx.x % OUTPUTS, m = threadIdx.x / OUTPUTS;
    const bool writes = m < rows && start + mine < upper.out;
    float ending = 0.f, endingLower = 0.f;
    if (writes) {
        ending = upper.ending<bf16>(m, start + mine);
        if (GATED) endingLower = lower.ending<bf16>(m, start + mine);
    }
    __syncthreads();
    float total[TILES][4] = {};
    const u32* mineOfTable = pairs + lane;
    for (int chunk = warp; chunk < chunks; chunk += WARPS * AHEAD) {
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            const int k = (chunk + u * WARPS) * 128 + quad * 32;
            if (chunk + u * WARPS < chunks) {
                Vec4 columns[TILES][4];
                float part[TILES][4] = {};
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    const int row = t * 4 + group % 4;
                    const bool there = row < rows && group / 4 == quad / 2 && k < width;
                    const Vec4* from = reinterpret_cast<const Vec4*>(x + static_cast<u64>(row) * width + k);
#pragma unroll
                    for (int i = 0; i < 4; i++) columns[t][i] = there ? from[i] : Vec4{0, 0, 0, 0};
                }
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const Vec4 one = ahead.weights[u][0], two = ahead.weights[u][1];
                    const u32 above = i == 0 ? one.x : i == 1 ? one.y : i == 2 ? one.z : one.w;
                    const u32 below = i == 0 ? two.x : i == 1 ? two.y : i == 2 ? two.z : two.w;
                    u32 a[4], b[4];
#pragma unroll
                    for (int byte = 0; byte < 4; byte++) {
                        a[byte] = mineOfTable[(above >> 8 * byte & 255) * 32];
                        b[byte] = mineOfTable[(below >> 8 * byte & 255) * 32];
                    }
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        multiply(part[t], a[0], b[0], a[1], b[1], columns[t][i].x, columns[t][i].y);
                        multiply(part[t], a[2], b[2], a[3], b[3], columns[t][i].z, columns[t][i].w);
                    }
                }
                float above = ahead.outer[u][0], below = ahead.outer[u][1];
                if (upper.codes) {
                    above = __fadd_rn(__fmul_rn(upperMap[ahead.code[u][0]], above), upper.offset);
                    below = __fadd_rn(__fmul_rn(lowerMap[ahead.code[u][1]], below), lower.offset);
                }
#pragma unroll
                for (int t = 0; t < TILES; t++) {
                    total[t][0] += part[t][0] * above;
                    total[t][1] += part[t][1] * above;
                    total[t][2] += part[t][2] * below;
                    total[t][3] += part[t][3] * below;
                }
            }
        }
        if (chunk + WARPS * AHEAD < chunks) {
            ahead.read(upper, lower, upperRow, lowerRow, chunk + WARPS * AHEAD, quad, width, shift);
        }
    }
#pragma unroll
    for (int t = 0; t < TILES; t++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float both = total[t][i] + __shfl_xor_sync(~0u, total[t][i], 2);
            if (quad < 2) sums[warp][group + i / 2 * 8][t * 4 + quad * 2 + i % 2] = both;
        }
    }
    __syncthreads();
    if (writes) {
        float value = ending, valueLower = endingLower;
        for (int w = 0; w < WARPS; w++) {
            value += sums[w][mine][m];
            if (GATED) valueLower += sums[w][mine + 8][m];
        }
        if (GATED) value = silu(value) * valueLower;
        bf16* to = y + static_cast<u64>(m) * stride + column + start + mine;
        *to = narrow<bf16>(add ? wide(*to) + value : value);
    }
}

// One warp for an output, exact in float: for float32, and for widths and blocks that the other kernel does not take. width: a
// multiple of 32, so that the 32 weights of a lane lie in one block.
template <class T>
__device__ __forceinline__ void dot(
        const Part& part, int row, const T* x, int width, int rows, int shift, const float* values, int lane, float* sums) {
#pragma unroll
    for (int m = 0; m < 8; m++) sums[m] = 0.f;
    for (int k = lane * 32; k < width; k += 1024) {
        const u64 at = static_cast<u64>(row) * width + k;
        const Vec4 weights = stream(part.packed + at / 2);
        float scale = part.outer(at >> shift);
        if (part.codes) scale = __fadd_rn(__fmul_rn(part.map[part.codes[at >> shift]], scale), part.offset);
        float some[8] = {};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const u32 word = i == 0 ? weights.x : i == 1 ? weights.y : i == 2 ? weights.z : weights.w;
#pragma unroll
            for (int byte = 0; byte < 4; byte++) {
                const float even = values[word >> (8 * byte + 4) & 15], odd = values[word >> 8 * byte & 15];
                const T* from = x + k + i * 8 + byte * 2;
#pragma unroll
                for (int m = 0; m < 8; m++) {
                    if (m < rows) some[m] += even * wide(from[static_cast<u64>(m) * width]) + odd * wide(from[static_cast<u64>(m) * width + 1]);
                }
            }
        }
#pragma unroll
        for (int m = 0; m < 8; m++) sums[m] += some[m] * scale;
    }
#pragma unroll
    for (int m = 0; m < 8; m++) {
        for (int d = 16; d > 0; d /= 2) sums[m] += __shfl_xor_sync(~0u, sums[m], d);
    }
}

template <class T, bool GATED>
__device__ __forceinline__ void rowsPlain(
        const T* x, T* y, int width, int rows, int stride, int add, int shift, const float* table, const Part& first,
        const Part& second, const Part& third) {
    __shared__ float values[16];
    if (threadIdx.x < 16) values[threadIdx.x] = table[threadIdx.x];
    __syncthreads();
    const int lane = threadIdx.x % 32;
    const int column = blockIdx.x * WARPS + threadIdx.x / 32;
    int row = column;
    Part part = first;
    if (!GATED && row >= first.out) {
        row -= first.out;
        part = second;
        if (row >= second.out) {
            row -= second.out;
            part = third;
        }
    }
    if (row >= part.out) return;
    float sums[8], gated[8];
    dot(part, row, x, width, rows, shift, values, lane, sums);
    if (GATED) dot(second, row, x, width, rows, shift, values, lane, gated);
#pragma unroll
    for (int m = 0; m < 8; m++) {
        if (m < rows && lane == m) {
            float value = sums[m] + part.ending<T>(m, row);
            if (GATED) value = silu(value) * (gated[m] + second.ending<T>(m, row));
            T* to = y + static_cast<u64>(m) * stride + column;
            *to = narrow<T>(add ? wide(*to) + value : value);
        }
    }
}

#define PART(P)                                                                                                        \
    const u8 *packed##P, const float *absmax##P, const u8 *codes##P, const float *map##P, float offset##P,             \
            const void *bias##P, const float *low##P, const float *b##P, int rank##P, int out##P
#define PART_OF(P)                                                                                                     \
    Part { packed##P, absmax##P, codes##P, map##P, offset##P, bias##P, low##P, b##P, rank##P, out##P }

#define KERNEL(NAME, T, BLOCKS, FUNCTION)                                                                              \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS) NAME(                                                    \
            const T* x, T* y, int width, int rows, int stride, int add, int shift, const float* table, PART(0),        \
            PART(1), PART(2)) {                                                                                        \
        FUNCTION(x, y, width, rows, stride, add, shift, table, PART_OF(0), PART_OF(1), PART_OF(2));                    \
    }

KERNEL(rows_tensor_4, bf16, 2, (rowsOnTensorCores<1, false>))
KERNEL(rows_tensor_8, bf16, 2, (rowsOnTensorCores<2, false>))
KERNEL(gated_tensor_4, bf16, 2, (rowsOnTensorCores<1, true>))
KERNEL(gated_tensor_8, bf16, 2, (rowsOnTensorCores<2, true>))
KERNEL(rows_plain_bf16, bf16, 2, (rowsPlain<bf16, false>))
KERNEL(gated_plain_bf16, bf16, 2, (rowsPlain<bf16, true>))
KERNEL(rows_plain_f32, float, 2, (rowsPlain<float, false>))
KERNEL(gated_plain_f32, float, 2, (rowsPlain<float, true>))
