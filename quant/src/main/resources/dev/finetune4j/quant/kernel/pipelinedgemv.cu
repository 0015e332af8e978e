// GEMV of 4-bit weights as in gemv.cu, for widths in whole steps of 256 with nested scales of blocks of 64, as the
// models have them. The two differ in how weights come in. Here the copies of a warp go to a ring in shared memory and take no
// registers, so that a lane need not be the one that multiplies what it has copied: a row's piece is a whole line of 128 bytes,
// and the four lanes of a group share a block of 64 weights with one scale. All eight columns of a product are rows of x; up to
// 16 rows of x take two products for each piece of the weights, which is looked up once.

#include "numbers.cuh"
#include "activation.cuh"
#include "norm.cuh"
#include "gemvparts.cuh"

constexpr int SLOTS = 2;                   // steps of a warp that are on their way while it multiplies another, in Room
constexpr int STEP = 256;                  // weights of a row in a step
constexpr int MAX_HELD = 3;               // tiles of a block that are multiplied side by side, so that x is read once for all
constexpr int VECTORS = STEP / 2 / 16;      // of 16 bytes

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
// (warp · SLOTS + slot) · 16 + row has it.
struct Entry {
    u32 pair[32];
    Vec4 weights[VECTORS];
};

// The scales of a step as stored: four codes of each row, and the float that scales them.
struct Scales {
    u32 codes[16];
    float outers[16];
};

// What a launch takes.
struct Call {
    Parts parts;
    Norm norm;                         // of x; none where x is taken as it is
};

// Behind it lies the row of x that the block normalises itself.
struct alignas(256) Room {
    Entry table[256];
    Scales scales[WARPS][SLOTS];
    float maps[3][256];
    float sums[MAX_HELD][WARPS][16][8];   // while a warp multiplies, its part of the first: the factors of a step's blocks
};
static_assert(WARPS * SLOTS * 16 == 256, "every entry has a row");
static_assert(sizeof(Entry) == 256, "see pairAt");
static_assert(sizeof(Room) == 82944 && sizeof(Room::table) + sizeof(Room::scales) == 67584, "the host knows the sizes");
static_assert(2 * (sizeof(Room) + 1024) <= 164 << 10, "an A100's multiprocessor holds two, with what the driver takes of each");

// How many bytes a slot's weights and its scales lie behind those of the first. A block that has a multiprocessor to itself has a second
// room behind the first, for as many steps more; it needs no more of it than its tables with their scales.
__device__ __forceinline__ int slotAt(int slot) {
    return slot % SLOTS * 16 * static_cast<int>(sizeof(Entry)) + slot / SLOTS * static_cast<int>(sizeof(Room));
}

__device__ __forceinline__ int scalesAt(int slot) {
    return slot % SLOTS * static_cast<int>(sizeof(Scales)) + slot / SLOTS * static_cast<int>(sizeof(Room));
}

template <int DEPTH> __device__ __forceinline__ int nextSlot(int slot) { return DEPTH == 2 ? slot ^ 1 : slot + 1 == DEPTH ? 0 : slot + 1; }

// Where a row keeps a piece, so that lanes which read together never meet in a bank.
__device__ __forceinline__ int turned(int row, int piece) { return piece ^ ((row & 1) << 2 | (row & 2)); }

// A byte moves to its entry's offset in one instruction, as entries are 256 bytes apart. column: in bytes.
__device__ __forceinline__ u32 pairAt(const Entry* table, u32 word, int byte, u32 column) {
    const u32 at = __byte_perm(word, column, 0x5504 | byte << 4);
    return *reinterpret_cast<const u32*>(reinterpret_cast<const u8*>(table) + at);
}

// Eight weights of each of two rows times eight columns for each of TILES.
template <int TILES>
__device__ __forceinline__ void multiplyWords(
        const Entry* table, float (&sums)[TILES][4], u32 upper, u32 lower, const Vec4 (&x)[TILES], u32 column) {
    u32 a[4], b[4];
#pragma unroll
    for (int byte = 0; byte < 4; byte++) {
        a[byte] = pairAt(table, upper, byte, column);
        b[byte] = pairAt(table, lower, byte, column);
    }
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        multiply(sums[t], a[0], b[0], a[1], b[1], x[t].x, x[t].y);
        multiply(sums[t], a[2], b[2], a[3], b[3], x[t].z, x[t].w);
    }
}

// How many of the tiles that a block has left it multiplies side by side.
template <int HELD> __device__ __forceinline__ int held(int left) { return HELD == 3 && left == 4 ? 2 : min(left, HELD); }

template <bool GATED> __device__ __forceinline__ Place placeOf(int tile, const Part* parts) {
    return GATED ? Place{0, tile * 8, 0} : place<16>(tile, parts[0], parts[1]);
}

// The copies of a warp: a step of 16 rows of each held tile, then the next step, through all tiles of the block.
template <bool GATED, int HELD, int DEPTH> struct Copies {
    const Part* parts;
    const u8 *packed, *secondPacked, *scales;
    u32 to, toScales;
    int width, steps, left, first, count, j, step, part, out, slot;

    __device__ __forceinline__ void begin(const Part* of, Room& room, int widthOf, int stepsOf, int leftOf) {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, row = lane / 8;
        parts = of, width = widthOf, steps = stepsOf, left = stepsOf > 0 ? leftOf : 0, first = blockIdx.x, count = held<HELD>(left);
        j = step = slot = 0, part = -1;
        to = sharedAddress(&room.table[warp * SLOTS * 16 + row].weights[turned(row, lane % 8)]);
        toScales = sharedAddress(&room.scales[warp][0].codes[lane]);
    }

    __device__ __forceinline__ void enter(int entered) {
        const int lane = threadIdx.x % 32;
        part = entered;
        const Part& of = parts[GATED ? lane % 16 / 8 : entered];
        packed = parts[entered].packed, out = parts[entered].out;
        if (GATED) secondPacked = parts[1].packed;
        scales = lane < 16 ? of.codes : reinterpret_cast<const u8*>(of.absmax);
    }

    __device__ __forceinline__ void next() {
        const u32 weightsTo = to + slotAt(slot), scalesTo = toScales + scalesAt(slot);
        if (count > 0) {
            const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, tile = first + j * static_cast<int>(gridDim.x);
            const Place at = placeOf<GATED>(tile, parts);
            if (at.part != part) enter(at.part);
            // Rows behind the last are read as the last and not written.
            const auto rowOf = [&](int row) { return static_cast<u32>(min(at.start + (GATED ? row % 8 : row), out - 1)); };
            const u32 column = warp * VECTORS + step * (WARPS * VECTORS) + lane % 8;
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const u8* from = GATED && i >= 2 ? secondPacked : packed;
                const u32 piece = rowOf(i * 4 + lane / 8) * (width / 32) + column;
                copy16(weightsTo + i * 4 * static_cast<int>(sizeof(Entry)), from + static_cast<u64>(piece) * 16);
            }
            const u32 weight = rowOf(lane % 16) * width + (warp + step * WARPS) * STEP;
            copy4(scalesTo, scales + (lane < 16 ? weight >> 6 : weight >> 14 << 2));
            advance(at.start);
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
        slot = nextSlot<DEPTH>(slot);
    }

    __device__ __forceinline__ void advance(int start) {
        if (step == 0) {
            const int lane = threadIdx.x % 32;
            const Part& of = parts[GATED ? lane % 16 / 8 : part];
            const int row = min(start + lane % (GATED ? 8 : 16), out - 1);
            // The warps spread over the row.
            const int r = of.rank / WARPS * (threadIdx.x / 32);
            if (of.rank) asm volatile("prefetch.global.L1 [%0];" ::"l"(of.b + static_cast<u64>(row) * of.rank + r));
        }
        if (++j < count) return;
        j = 0;
        if (++step < steps) return;
        step = 0;
        first += count * static_cast<int>(gridDim.x);
        left -= count;
        count = held<HELD>(left);
    }
};

// A warp's share of the low-rank additions to the held tiles. All that two of its ranks need is asked for before any of it is
// used, so that a rank of up to 16 waits only once.
template <bool GATED, int HELD, int TILES>
__device__ __forceinline__ void addLowRank(
        float (&totals)[HELD][TILES][4], const Part* parts, int first, int count, int rows) {
    constexpr int AT_ONCE = 2, MATRICES = GATED ? 2 : 1;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = lane % 4 * 2;
    Place at[HELD];
    int most = 0;
#pragma unroll
    for (int j = 0; j < HELD; j++) {
        at[j] = placeOf<GATED>(first + min(j, count - 1) * static_cast<int>(gridDim.x), parts);
#pragma unroll
        for (int i = 0; i < MATRICES; i++) most = max(most, parts[at[j].part + i].rank);
    }
    for (int start = warp; start < most; start += AT_ONCE * WARPS) {
        float factors[HELD][2][AT_ONCE], lows[HELD][MATRICES][AT_ONCE][TILES][2];
#pragma unroll
        for (int j = 0; j < HELD; j++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int matrix = GATED ? half : 0;
                const Part& part = parts[at[j].part + matrix];
                const int row = min(at[j].start + lane / 4 + (GATED ? 0 : half * 8), part.out - 1);
#pragma unroll
                for (int i = 0; i < AT_ONCE; i++) {
                    const int r = start + i * WARPS;
                    const bool counts = j < count && r < part.rank;
                    factors[j][half][i] = counts ? part.b[static_cast<u64>(row) * part.rank + r] : 0.f;
                    if (!GATED && half) continue;
#pragma unroll
                    for (int m = 0; m < 2 * TILES; m++) {
                        const int of = m / 2 * 8 + column + m % 2;
                        lows[j][matrix][i][m / 2][m % 2] = counts && of < rows ? part.low[of * part.rank + r] : 0.f;
                    }
                }
            }
        }
#pragma unroll
        for (int j = 0; j < HELD; j++) {
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
#pragma unroll
                for (int sum = 0; sum < 4 * TILES; sum++) {
                    const int half = sum % 4 / 2;
                    totals[j][sum / 4][sum % 4] += factors[j][half][i] * lows[j][GATED ? half : 0][i][sum / 4][sum % 2];
                }
            }
        }
    }
}

// The outputs of held tiles for up to eight rows of y, numbered by tiles and in them row by row: what is added to them, and their
// sums. y: where the first of the rows begins.
template <bool GATED> struct Outputs {
    static constexpr int EACH = GATED ? 8 : 16;  // of a row of y
    const Part* parts;
    bf16* y;
    int first, count, rows, stride, ending;

    struct Spot {
        const Part *upper, *lower;
        bf16* to;                          // null where there is no output
        int tile, mine, m, row;
    };

    __device__ __forceinline__ Spot at(int output) const {
        const int ofTile = EACH * rows, tile = output < ofTile ? 0 : output < 2 * ofTile ? 1 : 2, rest = output - tile * ofTile;
        const int index = first + tile * static_cast<int>(gridDim.x);
        const Place place = placeOf<GATED>(index, parts);
        Spot spot{parts + place.part, GATED ? parts + 1 : parts + place.part, nullptr, tile, rest % EACH, rest / EACH, 0};
        spot.row = place.start + spot.mine;
        if (output < count * ofTile && spot.row < spot.upper->out) {
            spot.to = y + static_cast<u64>(spot.m) * stride + place.column + spot.row;
        }
        return spot;
    }

    __device__ __forceinline__ float2 before(const Spot& spot) const {
        float2 value{0.f, 0.f};
        if (!spot.to) return value;
        if (spot.upper->bias) value.x = wide(reinterpret_cast<const bf16*>(spot.upper->bias)[spot.row]);
        if (GATED && spot.lower->bias) value.y = wide(reinterpret_cast<const bf16*>(spot.lower->bias)[spot.row]);
        if (!GATED && ending) value.x += wide(*spot.to);
        return value;
    }

    __device__ __forceinline__ void write(const Spot& spot, float2 value, const float (&sums)[MAX_HELD][WARPS][16][8]) const {
        if (!spot.to) return;
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            value.x += sums[spot.tile][w][spot.mine][spot.m];
            if (GATED) value.y += sums[spot.tile][w][spot.mine + 8][spot.m];
        }
        *spot.to = narrow<bf16>(GATED ? activated(ending, value.x) * value.y : value.x);
    }
};

// The norm of a row of x, in shared memory. A thread reads again what it has written itself.
__device__ __forceinline__ void normalizeRow(const bf16* x, bf16* to, float* sums, int width, const Norm& norm) {
    float sum = 0.f, v[8], w[8];
    for (int at = threadIdx.x * 8; at < width; at += WARPS * 32 * 8) {
        const Eight<bf16> values = *reinterpret_cast<const Eight<bf16>*>(x + at);
        *reinterpret_cast<Eight<bf16>*>(to + at) = values;
#pragma unroll
        for (int i = 0; i < 8; i++) sum += wide(values.v[i]) * wide(values.v[i]);
    }
#pragma unroll
    for (int other = 16; other > 0; other /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, other);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0.f;
#pragma unroll
    for (int w = 0; w < WARPS; w++) sum += sums[w];
    const float factor = rsqrtf(sum / width + norm.epsilon);
    for (int at = threadIdx.x * 8; at < width; at += WARPS * 32 * 8) {
        load(to + at, v);
        norm.weights<bf16>(at, w);
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = norm.scaled<bf16>(v[i], factor, w[i]);
        store(to + at, v);
    }
    __syncthreads();
}

// 16 rows of weights make a tile, which one block multiplies by up to 8 · TILES rows of x; its warps divide the width among them
// in steps. A block takes every gridDim.x-th tile, HELD of them side by side: what x has for a step is read once for them, and
// their sums are added up at once. The first steps are copied while the kernel before this one still runs,
// since weights do not depend on it.
//
// gated: the upper eight rows are of one matrix and the lower eight of another; y = act(upper) · lower. Otherwise the parts
// lie side by side in y. ending: the function, or whether the products are added to what y holds. norm: of one row of x, which each
// block makes for itself, in less time than a launch in front of this one would take.
template <bool GATED, int HELD, int TILES, int DEPTH>
__device__ __forceinline__ void rowsThroughRing(
        const bf16* x, bf16* y, int width, int rows, int stride, int ending, int tiles, const float* table, const Part* parts,
        const Norm& norm) {
    extern __shared__ __align__(256) u8 memory[];
    Room& room = *reinterpret_cast<Room*>(memory);
    nextMayStart();
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, group = lane / 4, quad = lane % 4;
    const int steps = (width / STEP - warp + WARPS - 1) / WARPS;  // of this warp in a tile
    int left = (tiles - static_cast<int>(blockIdx.x) + static_cast<int>(gridDim.x) - 1) / static_cast<int>(gridDim.x);
    Copies<GATED, HELD, DEPTH> copies;
    copies.begin(parts, room, width, steps, left);
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
    const bool normed = TILES == 1 && norm.values;
    bf16* inside = reinterpret_cast<bf16*>(memory + sizeof(Room));
    if (normed) {
        const int bytes = norm.isFloat ? 4 : 2;
        for (int at = threadIdx.x * 128; at < width * bytes; at += WARPS * 32 * 128) {
            asm volatile("prefetch.global.L1 [%0];" ::"l"(reinterpret_cast<const u8*>(norm.values) + at));
        }
    }
    __syncthreads();
    waitForPrevious();
    if (normed) normalizeRow(x, inside, room.sums[MAX_HELD - 1][0][0], width, norm);
#pragma unroll
    for (int p = 0; p < 3; p++) {
        const int at = threadIdx.x * 8;
        if (at < rows * parts[p].rank) asm volatile("prefetch.global.L1 [%0];" ::"l"(parts[p].low + at));
    }
    const u32 column = lane * 4;
    // Rows behind the last are read as the last; what comes of them is not written.
    const Vec4* own[TILES];
#pragma unroll
    for (int t = 0; t < TILES; t++) {
        own[t] = reinterpret_cast<const Vec4*>(
                x + static_cast<u64>(min(t * 8 + group, rows - 1)) * width + warp * STEP + quad * 16);
    }
    const Entry* entry = &room.table[warp * SLOTS * 16 + group];
    const uint2* pieces[4];
#pragma unroll
    for (int block = 0; block < 4; block++) {
        pieces[block] = reinterpret_cast<const uint2*>(&entry->weights[turned(group, block * 2 + quad / 2)]) + quad % 2;
    }
    float(*factors)[4] = reinterpret_cast<float(*)[4]>(room.sums[0][warp]);
    int slot = 0;
    for (int first = blockIdx.x; left > 0;) {
        const int count = held<HELD>(left);
        const Outputs<GATED> outputs{parts, y, first, count, min(rows, 8), stride, ending};
        const float2 before = outputs.before(outputs.at(threadIdx.x));
        float totals[HELD][TILES][4] = {};
        int values = 0;
        for (int step = 0; step < steps; step++, values += WARPS * STEP / 8) {
            Vec4 columns[8][TILES];
            if (normed) {
                const Vec4* from = reinterpret_cast<const Vec4*>(inside + warp * STEP + quad * 16) + values;
#pragma unroll
                for (int i = 0; i < 8; i++) columns[i][0] = from[i / 2 * 8 + i % 2];
            } else {
#pragma unroll
                for (int i = 0; i < 8; i++) {
#pragma unroll
                    for (int t = 0; t < TILES; t++) columns[i][t] = early(own[t] + values + i / 2 * 8 + i % 2);
                }
            }
#pragma unroll 1
            for (int j = 0; j < HELD; j++) {
                float total[TILES][4];
#pragma unroll
                for (int i = 0; i < 4 * TILES; i++) total[i / 4][i % 4] = totals[0][i / 4][i % 4];
                if (j < count) {
                    asm volatile("cp.async.wait_group %0;" ::"n"(DEPTH - 1) : "memory");
                    __syncwarp();
                    const Scales& scales = *reinterpret_cast<const Scales*>(reinterpret_cast<const u8*>(&room.scales[warp][0]) + scalesAt(slot));
                    const u32 codes = reinterpret_cast<const u16*>(scales.codes)[lane];
                    const float outer = scales.outers[lane / 2];
                    const int part = GATED ? lane / 16 : placeOf<GATED>(first + j * static_cast<int>(gridDim.x), parts).part;
                    uint2 words[2][4];
#pragma unroll
                    for (int block = 0; block < 4; block++) {
                        words[0][block] = pieces[block][slotAt(slot) / static_cast<int>(sizeof(uint2))];
                        words[1][block] = pieces[block][(slotAt(slot) + 8 * static_cast<int>(sizeof(Entry))) / static_cast<int>(sizeof(uint2))];
                    }
                    const float* map = room.maps[part];
                    const float offset = parts[part].offset;
                    reinterpret_cast<float2*>(factors)[lane] = float2{
                            __fadd_rn(__fmul_rn(map[codes & 255], outer), offset),
                            __fadd_rn(__fmul_rn(map[codes >> 8], outer), offset)};
                    // What has been read makes room for what is needed DEPTH steps later.
                    __syncwarp();
                    copies.next();
                    slot = nextSlot<DEPTH>(slot);
                    const float4 above4 = *reinterpret_cast<const float4*>(factors[group]);
                    const float4 below4 = *reinterpret_cast<const float4*>(factors[group + 8]);
                    const float above[] = {above4.x, above4.y, above4.z, above4.w};
                    const float below[] = {below4.x, below4.y, below4.z, below4.w};
#pragma unroll
                    for (int block = 0; block < 4; block++) {
                        float sums[TILES][4] = {};
                        multiplyWords<TILES>(
                                room.table, sums, words[0][block].x, words[1][block].x, columns[block * 2], column);
                        multiplyWords<TILES>(
                                room.table, sums, words[0][block].y, words[1][block].y, columns[block * 2 + 1], column);
#pragma unroll
                        for (int t = 0; t < TILES; t++) {
                            total[t][0] += sums[t][0] * above[block];
                            total[t][1] += sums[t][1] * above[block];
                            total[t][2] += sums[t][2] * below[block];
                            total[t][3] += sums[t][3] * below[block];
                        }
                    }
                }
                // The next tile's come to the front, which keeps all of them in registers.
#pragma unroll
                for (int i = 0; i < 4 * TILES; i++) {
#pragma unroll
                    for (int h = 1; h < HELD; h++) totals[h - 1][i / 4][i % 4] = totals[h][i / 4][i % 4];
                    totals[HELD - 1][i / 4][i % 4] = total[i / 4][i % 4];
                }
            }
        }
        addLowRank<GATED>(totals, parts, first, count, rows);
        __syncwarp();
#pragma unroll
        for (int t = 0; t < TILES; t++) {
            if (t > 0) __syncthreads();
#pragma unroll
            for (int j = 0; j < HELD; j++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    if (j < count) room.sums[j][warp][group + i / 2 * 8][quad * 2 + i % 2] = totals[j][t][i];
                }
            }
            __syncthreads();
            Outputs<GATED> some = outputs;
            some.y += static_cast<u64>(t) * 8 * stride;
            some.rows = min(rows - t * 8, 8);
            const auto spot = some.at(threadIdx.x);
            some.write(spot, t == 0 ? before : some.before(spot), room.sums);
            const int more = threadIdx.x + 256;
            if (more < count * Outputs<GATED>::EACH * some.rows) {
                const auto next = some.at(more);
                some.write(next, some.before(next), room.sums);
            }
        }
        first += count * static_cast<int>(gridDim.x);
        left -= count;
        if (left > 0) __syncthreads();
    }
}

// A block of two on a multiprocessor has SLOTS steps on their way, one alone twice as many.
#define RING(NAME, GATED, TILES, HELD, DEPTH, RESIDENT)                                                                \
    extern "C" __global__ void __launch_bounds__(256, RESIDENT) NAME(                                                  \
            const bf16* x, bf16* y, int width, int rows, int stride, int ending, int shift, int tiles,                 \
            const float* table, const __grid_constant__ Call call) {                                                   \
        rowsThroughRing<GATED, HELD, TILES, DEPTH>(                                                                    \
                x, y, width, rows, stride, ending, tiles, table, call.parts.of, call.norm);                            \
    }
// NAME_TILES_HELD
#define RINGS(TILES, HELD)                                                                                             \
    RING(rows_ring_##TILES##_##HELD, false, TILES, HELD, SLOTS, 2)                                                     \
    RING(gated_ring_##TILES##_##HELD, true, TILES, HELD, SLOTS, 2)

RINGS(1, 1)
RINGS(1, 2)
RINGS(1, 3)
RINGS(2, 1)
RINGS(2, 2)
RINGS(2, 3)
RING(rows_ring_deep, false, 1, 1, 2 * SLOTS, 1)
