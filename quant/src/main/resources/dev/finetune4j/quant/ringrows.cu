// Few rows times 4-bit weights as in fewrows.cu, for widths in whole steps of 256 with nested scales of blocks of 64, as the
// models have them. The two differ in how weights come in. Here the copies of a warp go to a ring in shared memory and take no
// registers, so that a lane need not be the one that multiplies what it has copied: a row's piece is a whole line of 128 bytes,
// and the four lanes of a group share a block of 64 weights with one scale. All eight columns of the product are rows of x.

#include "numbers.cuh"
#include "rowparts.cuh"

constexpr int DEPTH = 2;                   // steps of a warp that are on their way while it multiplies another
constexpr int STEP = 256;                  // weights of a row in a step
constexpr int PIECES = STEP / 2 / 16;      // of 16 bytes

__device__ __forceinline__ u32 sharedAddress(const void* p) { return static_cast<u32>(__cvta_generic_to_shared(p)); }

__device__ __forceinline__ void copy16(u32 to, const void* from) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

__device__ __forceinline__ void copy4(u32 to, const void* from) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(from) : "memory");
}

// Stays in front of the wait for copies, so that both are on their way at once.
__device__ __forceinline__ Vec4 early(const Vec4* from) {
    Vec4 v;
    asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
    return v;
}

// The two bfloat16 of a byte 32 times, once for each bank. Between the entries there is room for a row of a step: entry
// (warp · DEPTH + slot) · 16 + row has it.
struct Entry {
    u32 pair[32];
    Vec4 weights[PIECES];
};

// The scales of a step as stored: four codes of each row, and the float that scales them.
struct Scales {
    u32 codes[16];
    float outers[16];
};

struct alignas(256) Room {
    Entry table[256];
    Scales scales[WARPS][DEPTH];
    float maps[3][256];
    float sums[2][WARPS][16][8];
};
static_assert(WARPS * DEPTH * 16 == 256, "every entry has a row");
static_assert(sizeof(Entry) == 256, "see pairAt");
static_assert(sizeof(Room) == 78848, "the host knows the size");

// Where a row keeps a piece, so that lanes which read together never meet in a bank.
__device__ __forceinline__ int turned(int row, int piece) { return piece ^ ((row & 1) << 2 | (row & 2)); }

// A byte moves to its entry's offset in one instruction, as entries are 256 bytes apart. column: in bytes.
__device__ __forceinline__ u32 pairAt(const Entry* table, u32 word, int byte, u32 column) {
    const u32 at = __byte_perm(word, column, 0x5504 | byte << 4);
    return *reinterpret_cast<const u32*>(reinterpret_cast<const u8*>(table) + at);
}

// Eight weights of each of two rows times eight columns.
__device__ __forceinline__ void multiplyWords(
        const Entry* table, float* sums, u32 upper, u32 lower, const Vec4& x, u32 column) {
    u32 a[4], b[4];
#pragma unroll
    for (int byte = 0; byte < 4; byte++) {
        a[byte] = pairAt(table, upper, byte, column);
        b[byte] = pairAt(table, lower, byte, column);
    }
    multiply(sums, a[0], b[0], a[1], b[1], x.x, x.y);
    multiply(sums, a[2], b[2], a[3], b[3], x.z, x.w);
}

// The copies of a warp: a step of 16 rows, then the next, through all tiles of the block.
template <bool GATED> struct Copies {
    const Part* parts;
    const u8 *packed, *secondPacked, *scales;
    u32 piece[4];                          // this lane's of rows 4 apart, counted from the matrix's begin
    u32 first;                             // the first of the weights whose scales it copies
    u32 to, toScales;
    int width, steps, left, tile, tiles, slot;

    __device__ __forceinline__ void begin(const Part* of, Room& room, int widthOf, int stepsOf, int tilesOf) {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = lane / 8;
        parts = of, width = widthOf, steps = stepsOf, left = 0, tile = blockIdx.x, tiles = tilesOf, slot = 0;
        to = sharedAddress(&room.table[warp * DEPTH * 16 + row].weights[turned(row, lane % 8)]);
        toScales = sharedAddress(&room.scales[warp][0].codes[lane]);
    }

    __device__ __forceinline__ void enter() {
        const int lane = threadIdx.x % 32, start = threadIdx.x / 32 * STEP;
        const Place at = GATED ? Place{0, tile * 8, 0} : place<16>(tile, parts[0], parts[1]);
        const Part& part = parts[at.part];
        packed = part.packed;
        if (GATED) secondPacked = parts[1].packed;
        // Rows behind the last are read as the last and not written.
        const auto rowOf = [&](int row) { return static_cast<u32>(min(at.start + (GATED ? row % 8 : row), part.out - 1)); };
#pragma unroll
        for (int i = 0; i < 4; i++) piece[i] = (rowOf(i * 4 + lane / 8) * width + start) / 32 + lane % 8;
        const Part& of = GATED ? parts[lane % 16 / 8] : part;
        first = rowOf(lane % 16) * width + start;
        scales = lane < 16 ? of.codes : reinterpret_cast<const u8*>(of.absmax);
        if (of.rank) asm volatile("prefetch.global.L2 [%0];" ::"l"(of.b + static_cast<u64>(rowOf(lane % 16)) * of.rank));
        left = steps;
        tile += gridDim.x;
    }

    __device__ __forceinline__ void next() {
        if (left == 0 && steps > 0 && tile < tiles) enter();
        if (left > 0) {
            left--;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const u8* from = GATED && i >= 2 ? secondPacked : packed;
                copy16(to + i * 4 * static_cast<int>(sizeof(Entry)), from + static_cast<u64>(piece[i]) * 16);
                piece[i] += WARPS * PIECES;
            }
            copy4(toScales, scales + (threadIdx.x % 32 < 16 ? first >> 6 : first >> 14 << 2));
            first += WARPS * STEP;
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
        slot ^= 1;
        to += slot ? 16 * sizeof(Entry) : -16 * sizeof(Entry);
        toScales += slot ? sizeof(Scales) : -sizeof(Scales);
    }
};

// A lane's share of the low-rank addition to one of its rows and two columns: the first factor and its narrow products are
// read long before they are needed.
struct Addition {
    const float *low, *b;
    int rank;
    float factor, lows[2];

    __device__ __forceinline__ void begin(const Part& part, int row, int column, int rows) {
        rank = part.rank;
        low = part.low + column * rank;
        b = part.b + static_cast<u64>(min(row, part.out - 1)) * rank;
        factor = lows[0] = lows[1] = 0.f;
        const int start = threadIdx.x / 32;
        if (start < rank) {
            factor = b[start];
            if (column < rows) lows[0] = low[start];
            if (column + 1 < rows) lows[1] = low[rank + start];
        }
    }

    __device__ __forceinline__ void addTo(float* sums, int column, int rows) const {
        sums[0] += lows[0] * factor;
        sums[1] += lows[1] * factor;
        for (int r = threadIdx.x / 32 + WARPS; r < rank; r += WARPS) {
            const float more = b[r];
            if (column < rows) sums[0] += low[r] * more;
            if (column + 1 < rows) sums[1] += low[rank + r] * more;
        }
    }
};

// 16 rows of weights make a tile, which one block multiplies by up to eight rows of x; its warps divide the width among them
// in steps. A block takes every gridDim.x-th tile. The first steps are copied while the kernel before this one still runs,
// since weights do not depend on it.
//
// gated: the upper eight rows are of one matrix and the lower eight of another; y = silu(upper) · lower. Otherwise the parts
// lie side by side in y.
template <bool GATED>
__device__ __forceinline__ void rowsThroughRing(
        const bf16* x, bf16* y, int width, int rows, int stride, int add, int tiles, const float* table, const Part* parts) {
    constexpr int OUTPUTS = GATED ? 8 : 16;
    extern __shared__ __align__(256) u8 memory[];
    Room& room = *reinterpret_cast<Room*>(memory);
    nextMayStart();
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, quad = lane % 4;
    const int steps = (width / STEP - warp + WARPS - 1) / WARPS;  // of this warp in a tile
    Copies<GATED> copies;
    copies.begin(parts, room, width, steps, tiles);
#pragma unroll
    for (int i = 0; i < DEPTH; i++) copies.next();
    {
        // While those are on their way: the table, each thread one pair. The turn of the pieces keeps banks apart.
        const u32 pair = bf16x2(table[threadIdx.x >> 4], table[threadIdx.x & 15]);
        Vec4* to = reinterpret_cast<Vec4*>(room.table[threadIdx.x].pair);
#pragma unroll
        for (int i = 0; i < 8; i++) to[(i + threadIdx.x) % 8] = Vec4{pair, pair, pair, pair};
#pragma unroll
        for (int p = 0; p < 3; p++) {
            if (parts[p].codes) room.maps[p][threadIdx.x] = parts[p].map[threadIdx.x];
        }
    }
    __syncthreads();
    waitForPrevious();
    const u32 column = lane * 4;
    int slot = 0, turn = 0;
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, turn ^= 1) {
        const Place at = GATED ? Place{0, tile * 8, 0} : place<16>(tile, parts[0], parts[1]);
        const Part& upper = parts[at.part];
        const Part& lower = GATED ? parts[1] : upper;
        const float* mapUpper = room.maps[at.part];
        const float* mapLower = room.maps[GATED ? 1 : at.part];
        // Thread i has output i % OUTPUTS of row i / OUTPUTS; what it adds is read early.
        const int mine = threadIdx.x % OUTPUTS, m = threadIdx.x / OUTPUTS;
        const bool writes = m < rows && at.start + mine < upper.out;
        bf16* to = y + static_cast<u64>(m) * stride + at.column + at.start + mine;
        float value = 0.f, valueLower = 0.f;
        if (writes) {
            if (upper.bias) value = wide(reinterpret_cast<const bf16*>(upper.bias)[at.start + mine]);
            if (GATED && lower.bias) valueLower = wide(reinterpret_cast<const bf16*>(lower.bias)[at.start + mine]);
            if (add) value += wide(*to);
        }
        Addition upperAddition, lowerAddition;
        upperAddition.begin(upper, at.start + group, quad * 2, rows);
        lowerAddition.begin(lower, at.start + group + (GATED ? 0 : 8), quad * 2, rows);
        float total[4] = {};
        for (int step = 0; step < steps; step++) {
            const int k = (warp + step * WARPS) * STEP;
            const Vec4* values = reinterpret_cast<const Vec4*>(x + static_cast<u64>(group) * width + k);
            Vec4 columns[8];
#pragma unroll
            for (int i = 0; i < 8; i++) {
                columns[i] = Vec4{0, 0, 0, 0};
                if (group < rows) columns[i] = early(values + i / 2 * 8 + quad * 2 + i % 2);
            }
            asm volatile("cp.async.wait_group %0;" ::"n"(DEPTH - 1) : "memory");
            __syncwarp();
            const Scales& scales = room.scales[warp][slot];
            const u32 codesUpper = scales.codes[group], codesLower = scales.codes[group + 8];
            const float outerUpper = scales.outers[group], outerLower = scales.outers[group + 8];
            const Entry* row = &room.table[(warp * DEPTH + slot) * 16 + group];
            uint2 words[2][4];
#pragma unroll
            for (int block = 0; block < 4; block++) {
                const int piece = turned(group, block * 2 + quad / 2);
                words[0][block] = reinterpret_cast<const uint2*>(&row[0].weights[piece])[quad % 2];
                words[1][block] = reinterpret_cast<const uint2*>(&row[8].weights[piece])[quad % 2];
            }
            // What has been read makes room for what is needed DEPTH steps later.
            __syncwarp();
            copies.next();
            slot ^= 1;
#pragma unroll
            for (int block = 0; block < 4; block++) {
                const float above =
                        __fadd_rn(__fmul_rn(mapUpper[codesUpper >> 8 * block & 255], outerUpper), upper.offset);
                const float below =
                        __fadd_rn(__fmul_rn(mapLower[codesLower >> 8 * block & 255], outerLower), lower.offset);
                float sums[4] = {};
                multiplyWords(room.table, sums, words[0][block].x, words[1][block].x, columns[block * 2], column);
                multiplyWords(room.table, sums, words[0][block].y, words[1][block].y, columns[block * 2 + 1], column);
                total[0] += sums[0] * above;
                total[1] += sums[1] * above;
                total[2] += sums[2] * below;
                total[3] += sums[3] * below;
            }
        }
        upperAddition.addTo(total, quad * 2, rows);
        lowerAddition.addTo(total + 2, quad * 2, rows);
#pragma unroll
        for (int i = 0; i < 4; i++) room.sums[turn][warp][group + i / 2 * 8][quad * 2 + i % 2] = total[i];
        __syncthreads();
        if (writes) {
#pragma unroll
            for (int w = 0; w < WARPS; w++) {
                value += room.sums[turn][w][mine][m];
                if (GATED) valueLower += room.sums[turn][w][mine + 8][m];
            }
            *to = narrow<bf16>(GATED ? silu(value) * valueLower : value);
        }
    }
}

#define RING(NAME, GATED)                                                                                              \
    extern "C" __global__ void __launch_bounds__(256, 2) NAME(                                                         \
            const bf16* x, bf16* y, int width, int rows, int stride, int add, int shift, int tiles, const float* table, \
            const __grid_constant__ Parts parts) {                                                                     \
        rowsThroughRing<GATED>(x, y, width, rows, stride, add, tiles, table, parts.of);                                \
    }

RING(rows_ring, false)
RING(gated_ring, true)
