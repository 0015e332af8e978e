// GEMV of 4-bit weights in the layout of bitsandbytes; see QuantizedTensor.
//
// A row of weights is read once for all rows of x, so the limit is the memory's speed: 4.4e12 weights a second at 2.2 TB/s,
// for which 132 multiprocessors have 6.5 instructions of a lane each. Decoding by arithmetic and multiplying on the ordinary
// units takes 5 for one row of x and one more for each further row. Here tensor cores multiply, which leaves 1.7: the byte
// with two weights is one look-up of two bfloat16 that are an operand as they are. The table of 256 pairs lies 32 times in
// shared memory, once in each bank, so that the lanes of a warp never wait for each other. The numbers of the codes are
// rounded to bfloat16 (relative 2^-9, as a dense bfloat16 weight is), the scale of a block is applied to float sums.

#include "numbers.cuh"
#include "activation.cuh"
#include "gemvparts.cuh"

// Weights are read once: they shall not push out what is read again.
__device__ __forceinline__ Vec4 stream(const u8* from) {
    Vec4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(from));
    return v;
}

// What a lane has read of its two rows of weights before it multiplies: 32 weights of each, and their scales as stored.
struct Slot {
    Vec4 upper, lower;
    float upperOuter, lowerOuter;
    u32 upperCode, lowerCode;
};

// Where a lane reads: the rows of a tile. index: of the row's first weight.
struct Rows {
    const Part *upper, *lower;
    u64 upperIndex, lowerIndex;

    __device__ __forceinline__ void read(Slot& slot, int k, int width, int shift) const {
        slot.upper = slot.lower = Vec4{0, 0, 0, 0};
        slot.upperOuter = slot.lowerOuter = 0.f;
        slot.upperCode = slot.lowerCode = 0;
        if (k < width) {
            const u64 one = upperIndex + k, two = lowerIndex + k;
            slot.upper = stream(upper->packed + one / 2);
            slot.lower = stream(lower->packed + two / 2);
            slot.upperOuter = upper->outer(one >> shift);
            slot.lowerOuter = lower->outer(two >> shift);
            if (upper->codes) {
                slot.upperCode = upper->codes[one >> shift];
                slot.lowerCode = lower->codes[two >> shift];
            }
        }
    }
};

// The pair of a byte of word in the lane's column of the table: a shift, one logical operation and a load.
__device__ __forceinline__ u32 pairOf(const u32* pairs, u32 word, int byte, u32 column) {
    const u32 moved = byte == 0 ? word << 7 : word >> (8 * byte - 7);
    return *reinterpret_cast<const u32*>(reinterpret_cast<const u8*>(pairs) + (moved & 255 << 7 | column));
}

// 16 rows of weights make a tile, which one block multiplies by up to 4 · TILES rows of x; its warps divide the width among
// them in chunks of 128. A block takes every gridDim.x-th tile. What a lane has multiplied makes room for what it needs
// AHEAD chunks later, be it of the next tile, so that reading never pauses; the first of it is read while the kernel before
// this one still runs, since weights do not depend on it.
//
// A warp multiplies 16 x 16 weights at a time with 8 columns. The order of the width is free as long as both sides have the
// same: lane (group, quad) takes 32 weights in a row from rows group and group + 8, so the four lanes of a group cover two
// blocks of 64 with different scales. Therefore the columns stand twice: 0 to 3 hold rows of x for the first two lanes' part
// and zeros else, 4 to 7 the same rows for the last two lanes' part. Then every sum belongs to one block, and to the scale
// that its lane holds.
//
// gated: the upper eight rows are of one matrix and the lower eight of another; y = act(upper) · lower. Otherwise the parts
// lie side by side in y. ending: the function, or whether the products are added to what y holds.
template <int TILES, bool GATED, int AHEAD>
__device__ __forceinline__ void rowsOnTensorCores(
        const bf16* x, bf16* y, int width, int rows, int stride, int ending, int shift, int tiles, const float* table,
        const Part* parts) {
    constexpr int OUTPUTS = GATED ? 8 : 16;
    __shared__ alignas(16) u32 pairs[256 * 32];
    __shared__ float maps[3][256];
    __shared__ float sums[2][WARPS][16][4 * TILES];
    nextMayStart();
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, quad = lane % 4;
    const int chunks = (width + 127) / 128;
    const int batches = (chunks + WARPS * AHEAD - 1) / (WARPS * AHEAD);
    const auto rowsOf = [&](int tile) {
        const Place at = GATED ? Place{0, tile * OUTPUTS, 0} : place<OUTPUTS>(tile, parts[0], parts[1]);
        const Part& upper = parts[at.part];
        // Rows behind the last are read as the last and not written.
        const u64 one = static_cast<u64>(min(at.start + group, upper.out - 1)) * width;
        const u64 two = GATED ? one : static_cast<u64>(min(at.start + group + 8, upper.out - 1)) * width;
        return Rows{&upper, GATED ? &parts[1] : &upper, one, two};
    };
    Slot slots[AHEAD];
    Rows from = rowsOf(blockIdx.x);
#pragma unroll
    for (int u = 0; u < AHEAD; u++) from.read(slots[u], (warp + u * WARPS) * 128 + quad * 32, width, shift);
    {
        // While those are on their way: the table, each thread one pair. The turn of the pieces keeps banks apart.
        const u32 pair = bf16x2(table[threadIdx.x >> 4], table[threadIdx.x & 15]);
        Vec4* to = reinterpret_cast<Vec4*>(pairs) + threadIdx.x * 8;
#pragma unroll
        for (int i = 0; i < 8; i++) to[(i + threadIdx.x) % 8] = Vec4{pair, pair, pair, pair};
#pragma unroll
        for (int p = 0; p < 3; p++) {
            if (parts[p].codes) maps[p][threadIdx.x] = parts[p].map[threadIdx.x];
        }
    }
    __syncthreads();
    waitForPrevious();
    const u32 column = lane * 4;
    int turn = 0;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, turn ^= 1) {
        const Place at = GATED ? Place{0, tile * OUTPUTS, 0} : place<OUTPUTS>(tile, parts[0], parts[1]);
        const Part& upper = parts[at.part];
        const Part& lower = GATED ? parts[1] : upper;
        // Thread i has output i % OUTPUTS of row i / OUTPUTS; what it adds is read early.
        const int mine = threadIdx.x % OUTPUTS, m = threadIdx.x / OUTPUTS;
        const bool writes = m < rows && at.start + mine < upper.out;
        bf16* to = y + static_cast<u64>(m) * stride + at.column + at.start + mine;
        float value = 0.f, valueLower = 0.f;
        if (writes) {
            if (upper.bias) value = wide(reinterpret_cast<const bf16*>(upper.bias)[at.start + mine]);
            if (GATED && lower.bias) valueLower = wide(reinterpret_cast<const bf16*>(lower.bias)[at.start + mine]);
            if (!GATED && ending) value += wide(*to);
        }
        float total[TILES][4] = {};
        for (int batch = 0; batch < batches; batch++) {
            const bool last = batch + 1 == batches;
            const bool more = !last || tile + gridDim.x < tiles;
            if (last && more) from = rowsOf(tile + gridDim.x);
#pragma unroll
            for (int u = 0; u < AHEAD; u++) {
                const int chunk = warp + (batch * AHEAD + u) * WARPS;
                if (chunk < chunks) {
                    const int k = chunk * 128 + quad * 32;
                    Vec4 columns[TILES][4];
                    float part[TILES][4] = {};
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        const int row = t * 4 + group % 4;
                        const bool there = row < rows && group / 4 == quad / 2 && k < width;
                        const Vec4* values = reinterpret_cast<const Vec4*>(x + static_cast<u64>(row) * width + k);
#pragma unroll
                        for (int i = 0; i < 4; i++) columns[t][i] = there ? values[i] : Vec4{0, 0, 0, 0};
                    }
#pragma unroll
                    for (int i = 0; i < 4; i++) {
                        const Vec4 one = slots[u].upper, two = slots[u].lower;
                        const u32 above = i == 0 ? one.x : i == 1 ? one.y : i == 2 ? one.z : one.w;
                        const u32 below = i == 0 ? two.x : i == 1 ? two.y : i == 2 ? two.z : two.w;
                        u32 a[4], b[4];
#pragma unroll
                        for (int byte = 0; byte < 4; byte++) {
                            a[byte] = pairOf(pairs, above, byte, column);
                            b[byte] = pairOf(pairs, below, byte, column);
                        }
#pragma unroll
                        for (int t = 0; t < TILES; t++) {
                            multiply(part[t], a[0], b[0], a[1], b[1], columns[t][i].x, columns[t][i].y);
                            multiply(part[t], a[2], b[2], a[3], b[3], columns[t][i].z, columns[t][i].w);
                        }
                    }
                    float above = slots[u].upperOuter, below = slots[u].lowerOuter;
                    if (upper.codes) {
                        above = __fadd_rn(__fmul_rn(maps[at.part][slots[u].upperCode], above), upper.offset);
                        below = __fadd_rn(__fmul_rn(maps[GATED ? 1 : at.part][slots[u].lowerCode], below), lower.offset);
                    }
#pragma unroll
                    for (int t = 0; t < TILES; t++) {
                        total[t][0] += part[t][0] * above;
                        total[t][1] += part[t][1] * above;
                        total[t][2] += part[t][2] * below;
                        total[t][3] += part[t][3] * below;
                    }
                }
                if (more) {
                    const int next = warp + (last ? u : (batch + 1) * AHEAD + u) * WARPS;
                    from.read(slots[u], next * 128 + quad * 32, width, shift);
                }
            }
        }
        // The narrow products of the low-rank additions, a sixteenth of them for each warp and half of a group.
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const Part& part = half == 0 ? upper : lower;
            const int row = min(at.start + group + (GATED ? 0 : half * 8), part.out - 1);
            for (int r = warp + quad / 2 * WARPS; r < part.rank; r += 2 * WARPS) {
                const float factor = part.b[static_cast<u64>(row) * part.rank + r];
#pragma unroll
                for (int i = 0; i < 2 * TILES; i++) {
                    const int of = i / 2 * 4 + quad % 2 * 2 + i % 2;
                    if (of < rows) total[i / 2][half * 2 + i % 2] += part.low[of * part.rank + r] * factor;
                }
            }
        }
#pragma unroll
        for (int t = 0; t < TILES; t++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float both = total[t][i] + __shfl_xor_sync(~0u, total[t][i], 2);
                if (quad < 2) sums[turn][warp][group + i / 2 * 8][t * 4 + quad * 2 + i % 2] = both;
            }
        }
        __syncthreads();
        if (writes) {
#pragma unroll
            for (int w = 0; w < WARPS; w++) {
                value += sums[turn][w][mine][m];
                if (GATED) valueLower += sums[turn][w][mine + 8][m];
            }
            *to = narrow<bf16>(GATED ? activated(ending, value) * valueLower : value);
        }
    }
}

// One warp for an output, exact in float: for float32, and for widths and blocks that the other kernel does not take. width: a
// multiple of 8, so that the eight weights of a lane lie in one block.
template <class T>
__device__ __forceinline__ void dot(
        const Part& part, int row, const T* x, int width, int rows, int shift, const float* values, int lane, float* sums) {
#pragma unroll
    for (int m = 0; m < 8; m++) sums[m] = 0.f;
#pragma unroll 2
    for (int k = lane * 8; k < width; k += 256) {
        const u64 at = static_cast<u64>(row) * width + k;
        const u32 weights = *reinterpret_cast<const u32*>(part.packed + at / 2);
        float scale = part.outer(at >> shift);
        if (part.codes) scale = __fadd_rn(__fmul_rn(part.map[part.codes[at >> shift]], scale), part.offset);
        float w[8];
#pragma unroll
        for (int byte = 0; byte < 4; byte++) {
            w[2 * byte] = values[weights >> (8 * byte + 4) & 15];
            w[2 * byte + 1] = values[weights >> 8 * byte & 15];
        }
#pragma unroll
        for (int m = 0; m < 8; m++) {
            if (m >= rows) continue;
            float v[8], some = 0.f;
            load(x + static_cast<u64>(m) * width + k, v);
#pragma unroll
            for (int i = 0; i < 8; i++) some += w[i] * v[i];
            sums[m] += some * scale;
        }
    }
#pragma unroll
    for (int m = 0; m < 8; m++) {
        for (int d = 16; d > 0; d /= 2) sums[m] += __shfl_xor_sync(~0u, sums[m], d);
    }
}

template <class T, bool GATED>
__device__ __forceinline__ void rowsPlain(
        const T* x, T* y, int width, int rows, int stride, int ending, int shift, const float* table, const Part* parts) {
    __shared__ float values[16];
    nextMayStart();
    waitForPrevious();
    if (threadIdx.x < 16) values[threadIdx.x] = table[threadIdx.x];
    __syncthreads();
    const int lane = threadIdx.x % 32;
    const int column = blockIdx.x * WARPS + threadIdx.x / 32;
    int row = column;
    const Part* at = parts;
    if (!GATED && row >= at->out) {
        row -= at->out;
        at++;
        if (row >= at->out) {
            row -= at->out;
            at++;
        }
    }
    const Part& part = *at;
    if (row >= part.out) return;
    float sums[8], gated[8];
    dot(part, row, x, width, rows, shift, values, lane, sums);
    if (GATED) dot(parts[1], row, x, width, rows, shift, values, lane, gated);
#pragma unroll
    for (int m = 0; m < 8; m++) {
        if (m < rows && lane == m) {
            float value = sums[m] + part.ending<T>(m, row);
            if (GATED) value = activated(ending, value) * (gated[m] + parts[1].ending<T>(m, row));
            T* to = y + static_cast<u64>(m) * stride + column;
            *to = narrow<T>(!GATED && ending ? wide(*to) + value : value);
        }
    }
}

#define KERNEL(NAME, T, BLOCKS, FUNCTION)                                                                              \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS) NAME(                                                    \
            const T* x, T* y, int width, int rows, int stride, int ending, int shift, int tiles, const float* table,   \
            const __grid_constant__ Parts parts) {                                                                     \
        FUNCTION;                                                                                                      \
    }

// NAME_2: two blocks of a multiprocessor read far ahead, for weights that give each block one tile. NAME_3: three blocks read
// less far ahead; where there are many tiles their number counts more.
#define TENSOR_OF(NAME, BLOCKS, TILES, GATED, AHEAD)                                                                   \
    KERNEL(                                                                                                            \
            NAME##_##BLOCKS, bf16, BLOCKS,                                                                             \
            (rowsOnTensorCores<TILES, GATED, AHEAD>(                                                                   \
                    x, y, width, rows, stride, ending, shift, tiles, table, parts.of)))
#define TENSOR(NAME, TILES, GATED)                                                                                     \
    TENSOR_OF(NAME, 2, TILES, GATED, 4)                                                                                \
    TENSOR_OF(NAME, 3, TILES, GATED, 2)
#define PLAIN(NAME, T, GATED)                                                                                          \
    KERNEL(NAME, T, 2, (rowsPlain<T, GATED>(x, y, width, rows, stride, ending, shift, table, parts.of)))

TENSOR(rows_tensor_4, 1, false)
TENSOR(rows_tensor_8, 2, false)
TENSOR(gated_tensor_4, 1, true)
TENSOR(gated_tensor_8, 2, true)
PLAIN(rows_plain_bf16, bf16, false)
PLAIN(gated_plain_bf16, bf16, true)
PLAIN(rows_plain_f32, float, false)
PLAIN(gated_plain_f32, float, true)
