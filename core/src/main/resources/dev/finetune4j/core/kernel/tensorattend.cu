// Attention of decode steps in bfloat16: as attend in decode.cu, but products by tensor cores. With many rows the instructions of a
// product channel by channel take longer than keys and values take to come from memory; with one row a block has its whole share of a
// short sequence on the way before the queries are there, and few shares are left to be put together. SIZE: channels of a head. WARPS:
// of a block. The host defines both: steps of few rows have blocks of more warps, one to a multiprocessor.
//
// Query heads that share keys are the columns of the products: keys times queries, shape (16 keys, 8 heads), and values times weights,
// shape (SIZE, 8 heads). A warp takes every WARPS-th tile of 16 keys of the block's share, with sums and a ring of copies of its own,
// so that warps meet only at the end.

#include "numbers.cuh"
#include "norm.cuh"
#include "decodeparts.cuh"
#include "tensorcores.cuh"

constexpr int THREADS = WARPS * 32;
constexpr int HEADS = 8;               // of a block, at most
constexpr int KEYS = 16;               // of a tile
constexpr int STAGES = 2;              // tiles of a warp in shared memory
constexpr int PARTS = SIZE / 16;       // steps of a product with keys, and tiles of one with values
constexpr int BYTES = SIZE * 2;
constexpr int STRIDE = BYTES + 16;     // neighbours lie in different banks
constexpr int TILE = KEYS * STRIDE;
constexpr int LEAST = 256;             // positions of a share
constexpr int MOST = 1024;             // where there are splits enough
constexpr int WAVE = 132 * (8 / WARPS);  // blocks that run at once on a large GPU

struct alignas(16) Room {
    u8 tiles[WARPS][STAGES][2][TILE];  // at last the warps' sums
    u8 queries[HEADS * STRIDE];
    u8 newest[2][STRIDE];
    float largest[WARPS][HEADS], total[WARPS][HEADS];
};
static_assert(SIZE % 16 == 0 && SIZE <= MAX_SIZE, "the host knows");
static_assert(WARPS * HEADS * SIZE * 4 <= sizeof(Room::tiles), "the sums fit");

// The copies of a warp.
struct Copies {
    const u8 *keys, *values;
    u32 to;                            // of the warp's tiles
    int begin, end;                    // of the share, without the new position

    // Rows behind the last become zeros.
    __device__ __forceinline__ void ask(int tile, int stage) const {
        constexpr int PIECES = BYTES / 16;
        const int first = begin + tile * KEYS;
        const u32 at = to + stage * 2 * TILE;
#pragma unroll
        for (int i = threadIdx.x % 32; i < KEYS * PIECES; i += 32) {
            const int key = i / PIECES, piece = i % PIECES * 16;
            const bool there = first + key < end;
            const u64 from = there ? static_cast<u64>(first + key) * BYTES + piece : 0;
            fetch16(at + key * STRIDE + piece, keys + from, there);
            fetch16(at + TILE + key * STRIDE + piece, values + from, there);
        }
    }
};

__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Transposes a matrix of 8 x 8 bfloat16 that the lanes hold row by row.
__device__ __forceinline__ u32 transposed(u32 pair) {
    u32 to;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(to) : "r"(pair));
    return to;
}

// What a warp has of up to eight heads: lane's columns are the heads lane % 4 * 2 and the next.
struct Sums {
    float values[PARTS][4];
    float largest[2], total[2];        // total: of the lane's keys alone

    __device__ __forceinline__ Sums() {
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
#pragma unroll
            for (int i = 0; i < 4; i++) values[part][i] = 0.f;
        }
        largest[0] = largest[1] = NONE;
        total[0] = total[1] = 0.f;
    }

    // scores: of keys lane / 4 and 8 more with the lane's two heads; become weights.
    __device__ __forceinline__ void weigh(float (&scores)[4]) {
        float factors[2];
#pragma unroll
        for (int head = 0; head < 2; head++) {
            float most = fmaxf(scores[head], scores[head + 2]);
#pragma unroll
            for (int d = 4; d < 32; d *= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, d));
            most = fmaxf(most, largest[head]);
            factors[head] = __expf(largest[head] - most);
            largest[head] = most;
            scores[head] = __expf(scores[head] - most);
            scores[head + 2] = __expf(scores[head + 2] - most);
            total[head] = total[head] * factors[head] + scores[head] + scores[head + 2];
        }
        if (__any_sync(~0u, factors[0] != 1.f || factors[1] != 1.f)) {
#pragma unroll
            for (int part = 0; part < PARTS; part++) {
#pragma unroll
                for (int i = 0; i < 4; i++) values[part][i] *= factors[i % 2];
            }
        }
    }

    // Room for what the warps have of each head, (warps, heads, SIZE).
    __device__ __forceinline__ void write(Room& room) const {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, head = lane % 4 * 2, channel = lane / 4;
        float* to = reinterpret_cast<float*>(room.tiles) + warp * HEADS * SIZE;
#pragma unroll
        for (int part = 0; part < PARTS; part++) {
#pragma unroll
            for (int i = 0; i < 4; i++) to[(head + i % 2) * SIZE + part * 16 + i / 2 * 8 + channel] = values[part][i];
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float all = total[i];
#pragma unroll
            for (int d = 4; d < 32; d *= 2) all += __shfl_xor_sync(~0u, all, d);
            if (lane < 4) room.largest[warp][head + i] = largest[i], room.total[warp][head + i] = all;
        }
    }
};

// One head of the block, what its warps have put together, as a warp of decode.cu has it.
__device__ __forceinline__ Mixture gathered(const Room& room, int head) {
    const int lane = threadIdx.x % 32;
    Mixture all;
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) all.largest = fmaxf(all.largest, room.largest[warp][head]);
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) {
        const float factor = __expf(room.largest[warp][head] - all.largest);
        all.total += room.total[warp][head] * factor;
        const float* from = reinterpret_cast<const float*>(room.tiles) + (warp * HEADS + head) * SIZE;
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) {
            const int channel = turn * 128 + lane * 4;
            if (channel < SIZE) all.add(turn, *reinterpret_cast<const float4*>(from + channel), factor);
        }
    }
    return all;
}

// As many shares as one wave of blocks has room for, more of a long sequence.
__device__ __forceinline__ Share shareOf(i64 position, int capacity, int window, int splits, int split, int works) {
    const int length = static_cast<int>(min(position + 1, static_cast<i64>(capacity)));
    const int seen = window > 0 ? min(window, length) : length;
    const int shares = min(splits, max(max(1, WAVE / works), (seen + MOST - 1) / MOST));
    return Share(position, capacity, window, shares, split, LEAST);
}

// Arguments are those of attend in decode.cu.
extern "C" __global__ void __launch_bounds__(THREADS) attend_tensor(
        const i64* step, const i64* memory, const bf16* qkv, const bf16* cosines, const bf16* sines, float* partial,
        float* weights, u32* done, bf16* y, const __grid_constant__ Shape shape) {
    extern __shared__ __align__(16) u8 bytes[];
    Room& room = *reinterpret_cast<Room*>(bytes);
    __shared__ bool last;
    nextMayStart();
    const int heads = shape.heads, kvHeads = shape.kvHeads, half = shape.rotary / 2;
    // Shares that a sequence does not have come last.
    const int splits = shape.splits, works = gridDim.x / splits, split = blockIdx.x / works;
    const int work = blockIdx.x % works, part = work % shape.parts;
    const int kvHead = work / shape.parts % kvHeads, row = work / shape.parts / kvHeads;
    const int all = heads / kvHeads, most = (all + shape.parts - 1) / shape.parts;
    const int group = min(most, all - part * most), firstHead = kvHead * all + part * most;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const longlong2 place = *reinterpret_cast<const longlong2*>(step + row * COLUMNS);
    const longlong2 caches = *reinterpret_cast<const longlong2*>(memory + row * 2);
    const i64 position = place.x;
    const int capacity = static_cast<int>(place.y);
    if (position < 0) return;
    const Share share = shareOf(position, capacity, shape.window, splits, split, works);
    if (share.begin >= share.end) return;
    const bool hasNewest = !shape.appended && share.end == share.length && position < capacity;
    const u64 base = static_cast<u64>(kvHead) * capacity * SIZE;
    bf16* keys = reinterpret_cast<bf16*>(caches.x) + base;
    bf16* values = reinterpret_cast<bf16*>(caches.y) + base;
    const Copies copies{
            reinterpret_cast<const u8*>(keys), reinterpret_cast<const u8*>(values), addressOf(room.tiles[warp]), share.begin,
            hasNewest ? share.end - 1 : share.end};
    const int count = (share.end - share.begin + KEYS - 1) / KEYS;
    if (shape.appended) waitForPrevious();
#pragma unroll
    for (int stage = 0; stage < STAGES; stage++) {
        if (warp + stage * WARPS < count) copies.ask(warp + stage * WARPS, stage);
        commit();
    }
    const Angles angles(cosines, sines, share.length - 1, shape.rotary, half);
    waitForPrevious();
    const bf16* of = qkv + static_cast<u64>(row) * (heads + 2 * kvHeads) * SIZE;
    for (int head = warp; head < HEADS; head += WARPS) {
        bf16* to = reinterpret_cast<bf16*>(room.queries + head * STRIDE);
        if (head < group) {
            rotate(of + (firstHead + head) * SIZE, shape.query, angles, half, shape.interleaved, SIZE, [&](int c, bf16 v) { to[c] = v; });
        } else {
            for (int c = lane; c < SIZE; c += 32) to[c] = bf16{0};
        }
    }
    if (hasNewest) {
        const u64 newest = static_cast<u64>(share.length - 1) * SIZE;
        if (warp == WARPS - 1) {
            bf16* to = reinterpret_cast<bf16*>(room.newest[0]);
            rotate(
                    of + (heads + kvHead) * SIZE, shape.key, angles, half, shape.interleaved, SIZE,
                    [&](int c, bf16 v) { to[c] = v, keys[newest + c] = v; });
        } else if (warp == WARPS - 2) {
            const bf16* from = of + (heads + kvHeads + kvHead) * SIZE;
            bf16* to = reinterpret_cast<bf16*>(room.newest[1]);
            for (int c = lane; c < SIZE; c += 32) to[c] = values[newest + c] = from[c];
        }
    }
    __syncthreads();
    u32 queries[PARTS][2];
#pragma unroll
    for (int i = 0; i < PARTS; i++) {
        const u32* from = reinterpret_cast<const u32*>(room.queries + lane / 4 * STRIDE + i * 32 + lane % 4 * 4);
        queries[i][0] = from[0];
        queries[i][1] = from[4];
    }
    // Where this lane's row of an operand begins in a tile: of keys as they are, of values turned around.
    const u32 keyAt = (lane % 16) * STRIDE + lane / 16 * 16, valueAt = (lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 16;
    Sums sums;
    int stage = 0;
    for (int tile = warp; tile < count; tile += WARPS) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 1) : "memory");
        __syncwarp();
        const int first = share.begin + tile * KEYS, row16 = share.length - 1 - first;
        if (hasNewest && row16 < KEYS) {
            for (int c = lane; c < 2 * BYTES / 4; c += 32) {
                const int kind = c >= BYTES / 4, word = c % (BYTES / 4);
                u8* to = room.tiles[warp][stage][kind] + row16 * STRIDE;
                reinterpret_cast<u32*>(to)[word] = reinterpret_cast<const u32*>(room.newest[kind])[word];
            }
            __syncwarp();
        }
        const u32 at = addressOf(room.tiles[warp][stage][0]);
        float scores[4] = {};
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            u32 a[4];
            loadMatrices(a, at + keyAt + i * 32);
            multiplyAdd(scores, a, queries[i][0], queries[i][1]);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float score = scores[i] * shape.scale;
            if (shape.cap > 0.f) score = shape.cap * (1.f - 2.f / (__expf(score * (2.f / shape.cap)) + 1.f));
            scores[i] = first + lane / 4 + i / 2 * 8 < share.end ? score : NONE;
        }
        sums.weigh(scores);
        const u32 low = transposed(bf16x2(scores[0], scores[1])), high = transposed(bf16x2(scores[2], scores[3]));
#pragma unroll
        for (int i = 0; i < PARTS; i++) {
            u32 a[4];
            loadTransposed(a, at + TILE + valueAt + i * 32);
            multiplyAdd(sums.values[i], a, low, high);
        }
        __syncwarp();
        if (tile + STAGES * WARPS < count) copies.ask(tile + STAGES * WARPS, stage);
        commit();
        stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
    waitForFetches();
    __syncthreads();
    sums.write(room);
    __syncthreads();
    const u64 firstOf = static_cast<u64>(row) * heads + firstHead;
    for (int head = warp; head < group; head += WARPS) {
        const Mixture own = gathered(room, head);
        if (share.active == 1) {
            own.write<bf16>(y + (firstOf + head) * SIZE, SIZE);
            continue;
        }
        const u64 at = (firstOf + head) * splits + split;
        own.keep(partial + at * SIZE, weights + at * 2, SIZE);
    }
    if (share.active == 1) return;
    __syncthreads();
    if (threadIdx.x == 0) {
        u32* counter = done + work;
        last = countUp(counter) == share.active - 1;
        if (last) *counter = 0;
    }
    __syncthreads();
    for (int head = warp; last && head < group; head += WARPS) {
        const u64 at = (firstOf + head) * splits;
        together(partial + at * SIZE, weights + at * 2, SIZE, share.active).write<bf16>(y + (firstOf + head) * SIZE, SIZE);
    }
}
