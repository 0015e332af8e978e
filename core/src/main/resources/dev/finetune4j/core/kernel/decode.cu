// One token of each row of a decoder, what is not a product with a weight. T is float or bfloat16; sums are in float. What
// changes from step to step lies in memory, so that a captured graph is right for every step: step, shape (rows, 4), has the
// position of a row, the positions that its keys and values have room for, its token and the token chosen last; memory, shape
// (layers, rows, 2), where its keys and values lie. A row at position -1 is idle: it writes neither.

#include "numbers.cuh"
#include "activation.cuh"
#include "norm.cuh"

constexpr int COLUMNS = 4, TOKEN = 2, CHOSEN = 3;  // behind position and capacity

__device__ __forceinline__ float sumOfWarp(float x) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
    return x;
}

// Rows of the embedding to the residual stream: one block for a row.
template <class T>
__device__ __forceinline__ void embed(const i64* step, const T* table, T* state, int width, float scale) {
    nextMayStart();
    waitForPrevious();
    const T* from = table + static_cast<u64>(step[blockIdx.x * COLUMNS + TOKEN]) * width;
    T* to = state + static_cast<u64>(blockIdx.x) * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = narrow<T>(wide(from[i]) * scale);
}

struct Norms {
    Norm after, before;
};

constexpr int NORM_THREADS = 512;
constexpr int PIECES = 4;              // of eight numbers, that a thread has of a row

__device__ __forceinline__ float sumOfNormBlock(float x) {
    __shared__ float parts[NORM_THREADS / 32];
    x = sumOfWarp(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    float all = 0.f;
#pragma unroll
    for (int i = 0; i < NORM_THREADS / 32; i++) all += parts[i];
    return all;
}

// A thread's part of a row, which stays in registers.
template <class T> struct Pieces {
    float v[PIECES][8];

    template <class Work> static __device__ __forceinline__ void each(int width, const Work& work) {
#pragma unroll
        for (int p = 0; p < PIECES; p++) {
            const int at = (p * NORM_THREADS + threadIdx.x) * 8;
            if (at < width) work(p, at);
        }
    }

    __device__ __forceinline__ void read(const T* row, int width) {
        each(width, [&](int p, int at) { load(row + at, v[p]); });
    }

    __device__ __forceinline__ void normalize(const Norm& norm, int width) {
        float sum = 0.f;
        each(width, [&](int p, int) {
#pragma unroll
            for (int k = 0; k < 8; k++) sum += v[p][k] * v[p][k];
        });
        const float factor = rsqrtf(sumOfNormBlock(sum) / width + norm.epsilon);
        each(width, [&](int p, int at) {
            float w[8];
            norm.weights<T>(at, w);
#pragma unroll
            for (int k = 0; k < 8; k++) v[p][k] = norm.scaled<T>(v[p][k], factor, w[k]);
        });
    }

    __device__ __forceinline__ void write(T* row, int width) const {
        each(width, [&](int p, int at) { store(row + at, v[p]); });
    }
};

// The weights lie in no cache, as all others of the model were read since: they are fetched while the kernel before still runs.
template <class T> __device__ __forceinline__ void fetch(const Norm& norm, int width) {
    if (!norm.values) return;
    const int bytes = norm.isFloat ? 4 : static_cast<int>(sizeof(T));
    for (int at = threadIdx.x * 128; at < width * bytes; at += NORM_THREADS * 128) {
        asm volatile("prefetch.global.L1 [%0];" ::"l"(reinterpret_cast<const u8*>(norm.values) + at));
    }
}

// One block for a row: y = norm of x. With a norm after a half of a block, y holds the half, which is normalised by it and
// added to x first. width: a multiple of 8, at most 512 · 8 · PIECES.
template <class T>
__device__ __forceinline__ void norm(T* x, T* y, int width, const Norm& after, const Norm& before) {
    nextMayStart();
    fetch<T>(after, width);
    fetch<T>(before, width);
    waitForPrevious();
    T* row = x + static_cast<u64>(blockIdx.x) * width;
    T* out = y + static_cast<u64>(blockIdx.x) * width;
    Pieces<T> state;
    state.read(row, width);
    if (after.values) {
        Pieces<T> half;
        half.read(out, width);
        half.normalize(after, width);
        Pieces<T>::each(width, [&](int p, int) {
#pragma unroll
            for (int k = 0; k < 8; k++) state.v[p][k] = wide(narrow<T>(state.v[p][k] + half.v[p][k]));
        });
        state.write(row, width);
    }
    state.normalize(before, width);
    state.write(out, width);
}

// Element by element, a thread for each: y = act(gate) · up of both, shape (rows, 2 · width), gate first.
template <class T>
__device__ __forceinline__ void gate(const T* both, T* y, u64 count, int width, int activation) {
    nextMayStart();
    waitForPrevious();
    const u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const T* from = both + i + i / width * width;
    y[i] = narrow<T>(activated(activation, wide(from[0])) * wide(from[width]));
}

template <class T>
__device__ __forceinline__ void softCap(T* logits, u64 count, float cap) {
    nextMayStart();
    waitForPrevious();
    const u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < count) logits[i] = narrow<T>(cap * tanhf(wide(logits[i]) / cap));
}

// Attention of one new position to all that the cache holds, the softmax in one sweep (Milakov and Gimelshein 2018), the
// sequence in splits (Flash-Decoding, Dao et al. 2023). A block takes a split of a kv head of a row: a warp for each query head
// that shares the keys, or several where there are fewer than eight, which then divide the keys of a tile. More than eight query
// heads of a kv head are divided among several blocks, which read the same keys. At most 256 channels.
//
// The block of the last split turns the new position's key and puts it and its value into the cache; the block that is the last
// of its kv head to be done puts the splits together.
constexpr int MAX_SIZE = 256;
constexpr int ATTENTION_WARPS = 8;
constexpr int ATTENTION_THREADS = ATTENTION_WARPS * 32;
constexpr int TURNS = MAX_SIZE / 128;  // a lane has four channels in each
constexpr float NONE = -1e30f;

// A block's share of the sequence, of which a window shows only the last positions; 0: all of it is seen.
struct Share {
    int length, begin, end, active;  // active: splits that have a share at all

    __device__ __forceinline__ Share(i64 position, int capacity, int window, int splits, int split) {
        length = static_cast<int>(min(position + 1, static_cast<i64>(capacity)));
        const int first = window > 0 ? max(0, length - window) : 0, seen = length - first;
        const int each = ((seen + splits - 1) / splits + 15) / 16 * 16;
        active = (seen + each - 1) / each;
        begin = min(length, first + split * each);
        end = min(length, begin + each);
    }
};

__device__ __forceinline__ void copy16(u8* to, const u8* from) {
    const u32 address = static_cast<u32>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from) : "memory");
}

// What other multiprocessors wrote lies in the second cache.
__device__ __forceinline__ float4 fromOthers(const float4* from) {
    float4 v;
    asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w) : "l"(from) : "memory");
    return v;
}

__device__ __forceinline__ float2 fromOthers(const float2* from) {
    float2 v;
    asm volatile("ld.global.cg.v2.f32 {%0, %1}, [%2];" : "=f"(v.x), "=f"(v.y) : "l"(from) : "memory");
    return v;
}

// All that this block wrote before its last __syncthreads can be seen by whoever counts later.
__device__ __forceinline__ u32 countUp(u32* counter) {
    u32 before;
    asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;" : "=r"(before) : "l"(counter) : "memory");
    return before;
}

template <class T> struct alignas(4 * sizeof(T)) Four { T v[4]; };

__device__ __forceinline__ float largestOfWarp(float x) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, d));
    return x;
}

// Sums of values with weights that are relative to the largest score, as one softmax needs them: a lane has four channels of
// each turn.
struct Mixture {
    float4 sums[TURNS];
    float largest, total;

    __device__ __forceinline__ Mixture() : largest(NONE), total(0.f) {
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) sums[turn] = make_float4(0.f, 0.f, 0.f, 0.f);
    }

    __device__ __forceinline__ void rise(float most) {
        const float factor = __expf(largest - most);
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) {
            sums[turn].x *= factor, sums[turn].y *= factor, sums[turn].z *= factor, sums[turn].w *= factor;
        }
        total *= factor;
        largest = most;
    }

    __device__ __forceinline__ void add(int turn, const float4& v, float weight) {
        sums[turn].x += v.x * weight;
        sums[turn].y += v.y * weight;
        sums[turn].z += v.z * weight;
        sums[turn].w += v.w * weight;
    }

    template <class T> __device__ __forceinline__ void write(T* y, int size) const {
        const float scale = 1.f / total;
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) {
            const int channel = turn * 128 + threadIdx.x % 32 * 4;
            if (channel < size) {
                Four<T> out;
                out.v[0] = narrow<T>(sums[turn].x * scale), out.v[1] = narrow<T>(sums[turn].y * scale);
                out.v[2] = narrow<T>(sums[turn].z * scale), out.v[3] = narrow<T>(sums[turn].w * scale);
                *reinterpret_cast<Four<T>*>(y + channel) = out;
            }
        }
    }
};

// One head's splits, put together by a warp.
__device__ __forceinline__ Mixture together(const float* partial, const float* weights, int size, int active) {
    constexpr int AHEAD = 8;
    const int lane = threadIdx.x % 32;
    const float2* scores = reinterpret_cast<const float2*>(weights);
    // The first sums are on their way together with the weights.
    float4 ahead[AHEAD];
#pragma unroll
    for (int s = 0; s < AHEAD; s++) {
        ahead[s] = make_float4(0.f, 0.f, 0.f, 0.f);
        if (s < active && lane * 4 < size) ahead[s] = fromOthers(reinterpret_cast<const float4*>(partial + s * size) + lane);
    }
    float most = NONE;
    for (int s = lane; s < active; s += 32) most = fmaxf(most, fromOthers(scores + s).x);
    Mixture all;
    all.largest = largestOfWarp(most);
    for (int first = 0; first < active; first += 32) {
        float factor = 0.f, total = 0.f;
        if (first + lane < active) {
            const float2 score = fromOthers(scores + first + lane);
            factor = __expf(score.x - all.largest);
            total = score.y * factor;
        }
        all.total += sumOfWarp(total);
        const int count = min(32, active - first);
        for (int s = 0; s < count; s += AHEAD) {
#pragma unroll
            for (int turn = 0; turn < TURNS; turn++) {
                if (turn * 128 >= size) continue;
                const int place = turn * 32 + lane;
                if (turn > 0 || first + s > 0) {
#pragma unroll
                    for (int i = 0; i < AHEAD; i++) {
                        ahead[i] = make_float4(0.f, 0.f, 0.f, 0.f);
                        if (s + i < count && place * 4 < size) {
                            ahead[i] = fromOthers(reinterpret_cast<const float4*>(partial + (first + s + i) * size) + place);
                        }
                    }
                }
#pragma unroll
                for (int i = 0; i < AHEAD; i++) all.add(turn, ahead[i], __shfl_sync(~0u, factor, s + i));
            }
        }
    }
    return all;
}

// The tiles of keys and values that a block goes through, two at a time in shared memory. What the cache holds was written in
// earlier steps, which a step never overlaps: it is copied while the kernel before this one still runs. The new position's
// own key and value have rows of their own.
template <class T> struct Tiles {
    static constexpr int KEYS = 32 / sizeof(T);
    const u8 *keys, *values;
    u8* memory;
    int bytes, stride, begin, end;  // end: without the new position

    // Of a key (0) or value (1) of the tile in one of the two slots.
    __device__ __forceinline__ u8* row(int slot, int kind, int key) const {
        return memory + ((slot * 2 + kind) * KEYS + key) * stride;
    }

    __device__ __forceinline__ u8* newest(int kind) const { return memory + (4 * KEYS + kind) * stride; }

    __device__ __forceinline__ void copy(int tile) {
        const int first = begin + tile * KEYS;
        const int pieces = bytes / 16, all = min(KEYS, end - first) * pieces;
        for (int i = threadIdx.x; i < all; i += ATTENTION_THREADS) {
            const int key = i / pieces, at = i % pieces * 16;
            const u64 from = static_cast<u64>(first + key) * bytes + at;
            copy16(row(tile % 2, 0, key) + at, keys + from);
            copy16(row(tile % 2, 1, key) + at, values + from);
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
    }
};

// A head, normalised if there is a norm, its first channels turned by the angles of the position, each time rounded as the
// models round it: one warp. half: of the turned channels. to(channel, value)
template <class T, class To>
__device__ __forceinline__ void rotate(
        const T* head, const Norm& norm, const float* cosines, const float* sines, int half, int size, const To& to) {
    float factor = 1.f;
    if (norm.values) {
        float sum = 0.f;
        for (int c = threadIdx.x % 32; c < size; c += 32) sum += wide(head[c]) * wide(head[c]);
        factor = rsqrtf(sumOfWarp(sum) / size + norm.epsilon);
    }
    const auto value = [&](int c) {
        return norm.values ? norm.scaled<T>(wide(head[c]), factor, norm.weight<T>(c)) : wide(head[c]);
    };
#pragma unroll
    for (int i = 0; i < MAX_SIZE / 64; i++) {
        const int pair = i * 32 + threadIdx.x % 32;
        if (pair < half) {
            const float a = value(pair), b = value(pair + half);
            to(pair, narrow<T>(a * cosines[i] - b * sines[i]));
            to(pair + half, narrow<T>(b * cosines[i] + a * sines[i]));
        }
    }
    for (int c = 2 * half + threadIdx.x % 32; c < size; c += 32) to(c, narrow<T>(value(c)));
}

// The keys of a tile, or a subset's part of them, for one query head: one warp.
template <class T>
__device__ __forceinline__ void sweep(
        Mixture& mixture, const Tiles<T>& tiles, int tile, int subset, int subsets, int end, int newest, const float* q,
        int size, float cap) {
    constexpr int KEYS = Tiles<T>::KEYS;
    const int lane = threadIdx.x % 32;
    const int keys = KEYS / subsets, lanesOfKey = 32 / keys;
    const int first = tiles.begin + tile * KEYS + subset * keys;
    const int mine = lane / lanesOfKey;
    const auto rowOf = [&](int kind, int key) {
        return reinterpret_cast<const T*>(
                first + key == newest ? tiles.newest(kind) : tiles.row(tile % 2, kind, subset * keys + key));
    };
    float score = 0.f;
    if (first + mine < end) {
        const T* key = rowOf(0, mine);
#pragma unroll 4
        for (int c = lane % lanesOfKey * 8; c < size; c += lanesOfKey * 8) {
            float k[8], x[8];
            load(key + c, k);
            load(q + c, x);
#pragma unroll
            for (int i = 0; i < 8; i++) score += x[i] * k[i];
        }
    }
    for (int d = lanesOfKey / 2; d > 0; d /= 2) score += __shfl_xor_sync(~0u, score, d);
    if (cap > 0.f) score = cap * (1.f - 2.f / (__expf(score * (2.f / cap)) + 1.f));
    if (first + mine >= end) score = NONE;
    mixture.rise(fmaxf(mixture.largest, largestOfWarp(score)));
    const float weight = score == NONE ? 0.f : __expf(score - mixture.largest);
    mixture.total += sumOfWarp(lane % lanesOfKey == 0 ? weight : 0.f);
    const int count = min(keys, end - first);
#pragma unroll 8
    for (int key = 0; key < count; key++) {
        const float factor = __shfl_sync(~0u, weight, key * lanesOfKey);
        const Four<T>* value = reinterpret_cast<const Four<T>*>(rowOf(1, key));
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) {
            if (turn * 128 + lane * 4 < size) {
                const Four<T> v = value[turn * 32 + lane];
                mixture.add(turn, make_float4(wide(v.v[0]), wide(v.v[1]), wide(v.v[2]), wide(v.v[3])), factor);
            }
        }
    }
}

// What several warps have of one head, put together by the first of them. room: shape (warps, size + 4), the sums, the largest
// score and the total.
__device__ __forceinline__ void gather(Mixture& mixture, float* room, int subset, int subsets, int size) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    __syncthreads();
    float* mine = room + warp * (size + 4);
#pragma unroll
    for (int turn = 0; turn < TURNS; turn++) {
        const int channel = turn * 128 + lane * 4;
        if (channel < size) *reinterpret_cast<float4*>(mine + channel) = mixture.sums[turn];
    }
    if (lane == 0) mine[size] = mixture.largest, mine[size + 1] = mixture.total;
    __syncthreads();
    for (int other = 1; subset == 0 && other < subsets; other++) {
        const float* more = mine + other * (size + 4);
        mixture.rise(fmaxf(mixture.largest, more[size]));
        const float factor = __expf(more[size] - mixture.largest);
        mixture.total += more[size + 1] * factor;
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) {
            const int channel = turn * 128 + lane * 4;
            if (channel < size) mixture.add(turn, *reinterpret_cast<const float4*>(more + channel), factor);
        }
    }
}

// What the host says of a layer's attention. Every field has eight bytes, as the host lays out arguments.
struct Shape {
    alignas(8) int heads;
    alignas(8) int kvHeads;
    alignas(8) int size;
    alignas(8) int rotary;             // channels that are turned
    alignas(8) int window;             // positions that are seen; 0: all
    alignas(8) int splits;
    alignas(8) int parts;              // of the query heads of a kv head, each of at most eight
    alignas(8) float scale;
    alignas(8) float cap;              // on the scores; 0: none
    alignas(8) int appended;           // whether the new keys and values are in the cache already
    Norm query;
    Norm key;
};

// qkv: shape (rows, (heads + 2 · kvHeads) · size); memory: shape (rows, 2), the addresses of keys
// and values of each row, shape (kvHeads, capacity of the row, size); cosines, sines: shape (positions, rotary);
// partial: shape (rows, heads, splits, size); weights: shape (rows, heads, splits, 2), the largest score and
// the sum; done: shape (rows, kvHeads, parts), zeros before and after; y: shape (rows, heads · size). The host knows the shared
// memory.
template <class T>
__device__ __forceinline__ void attend(
        const i64* step, const i64* memory, const T* qkv, const T* cosines, const T* sines, float* partial, float* weights,
        u32* done, T* y, const Shape& shape) {
    extern __shared__ __align__(16) u8 room[];
    __shared__ bool last;
    nextMayStart();
    const int heads = shape.heads, kvHeads = shape.kvHeads, size = shape.size, half = shape.rotary / 2;
    const int splits = shape.splits, split = blockIdx.x % splits;
    const int work = blockIdx.x / splits, part = work % shape.parts;
    const int kvHead = work / shape.parts % kvHeads, row = work / shape.parts / kvHeads;
    const int all = heads / kvHeads, most = (all + shape.parts - 1) / shape.parts;
    const int group = min(most, all - part * most), firstHead = kvHead * all + part * most;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int subsets = most > 4 ? 1 : most > 2 ? 2 : most > 1 ? 4 : 8;
    const int head = warp / subsets, subset = warp % subsets;
    const longlong2 place = *reinterpret_cast<const longlong2*>(step + row * COLUMNS);
    const longlong2 caches = *reinterpret_cast<const longlong2*>(memory + row * 2);
    const i64 position = place.x;
    const int capacity = static_cast<int>(place.y);
    if (position < 0) return;
    const Share share(position, capacity, shape.window, splits, split);
    if (share.begin >= share.end) return;
    const bool hasNewest = !shape.appended && share.end == share.length && position < capacity;
    const u64 base = static_cast<u64>(kvHead) * capacity * size;
    T* keys = reinterpret_cast<T*>(caches.x) + base;
    T* values = reinterpret_cast<T*>(caches.y) + base;
    const int bytes = size * static_cast<int>(sizeof(T));
    Tiles<T> tiles{
            reinterpret_cast<const u8*>(keys), reinterpret_cast<const u8*>(values), room, bytes, bytes + 32, share.begin,
            hasNewest ? share.end - 1 : share.end};
    constexpr int KEYS = Tiles<T>::KEYS;
    if (shape.appended) waitForPrevious();
    tiles.copy(0);
    tiles.copy(1);
    float cosine[MAX_SIZE / 64], sine[MAX_SIZE / 64];
#pragma unroll
    for (int i = 0; i < MAX_SIZE / 64; i++) {
        const int pair = i * 32 + lane;
        if (pair < half) {
            cosine[i] = wide(cosines[(share.length - 1) * shape.rotary + pair]);
            sine[i] = wide(sines[(share.length - 1) * shape.rotary + pair]);
        }
    }
    waitForPrevious();
    float* q = reinterpret_cast<float*>(room + (4 * KEYS + 2) * tiles.stride) + warp * size;
    const T* of = qkv + static_cast<u64>(row) * (heads + 2 * kvHeads) * size;
    if (head < group) {
        rotate(
                of + (firstHead + head) * size, shape.query, cosine, sine, half, size,
                [&](int c, T v) { q[c] = wide(v) * shape.scale; });
    }
    if (hasNewest) {
        const u64 newest = static_cast<u64>(share.length - 1) * size;
        if (warp == ATTENTION_WARPS - 1) {
            T* to = reinterpret_cast<T*>(tiles.newest(0));
            rotate(
                    of + (heads + kvHead) * size, shape.key, cosine, sine, half, size,
                    [&](int c, T v) { to[c] = v, keys[newest + c] = v; });
        } else if (warp == ATTENTION_WARPS - 2) {
            const T* from = of + (heads + kvHeads + kvHead) * size;
            T* to = reinterpret_cast<T*>(tiles.newest(1));
            for (int c = lane; c < size; c += 32) to[c] = values[newest + c] = from[c];
        }
    }
    Mixture mixture;
    const int count = (share.end - share.begin + KEYS - 1) / KEYS;
    for (int tile = 0; tile < count; tile++) {
        asm volatile("cp.async.wait_group 1;" ::: "memory");
        __syncthreads();
        if (head < group) {
            sweep<T>(mixture, tiles, tile, subset, subsets, share.end, hasNewest ? share.length - 1 : -1, q, size, shape.cap);
        }
        if (tile + 1 < count) {
            __syncthreads();
            tiles.copy(tile + 2);
        }
    }
    if (subsets > 1) gather(mixture, reinterpret_cast<float*>(room), subset, subsets, size);
    const u64 first = static_cast<u64>(row) * heads + firstHead;
    const bool writes = head < group && subset == 0;
    if (share.active == 1) {
        if (writes) mixture.write<T>(y + (first + head) * size, size);
        return;
    }
    if (writes) {
        const u64 part = (first + head) * splits + split;
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) {
            const int channel = turn * 128 + lane * 4;
            if (channel < size) *reinterpret_cast<float4*>(partial + part * size + channel) = mixture.sums[turn];
        }
        if (lane == 0) *reinterpret_cast<float2*>(weights + part * 2) = make_float2(mixture.largest, mixture.total);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        u32* counter = done + work;
        last = countUp(counter) == share.active - 1;
        if (last) *counter = 0;
    }
    __syncthreads();
    if (last && writes) {
        const u64 parts = (first + head) * splits;
        together(partial + parts * size, weights + parts * 2, size, share.active).write<T>(y + (first + head) * size, size);
    }
}

// The new keys and values of rows that see each other's: one block of two warps for a kv head of a row. Arguments are those of
// attend.
template <class T>
__device__ __forceinline__ void append(
        const i64* step, const i64* memory, const T* qkv, const T* cosines, const T* sines, const Shape& shape) {
    nextMayStart();
    waitForPrevious();
    const int kvHead = blockIdx.x % shape.kvHeads, row = blockIdx.x / shape.kvHeads, lane = threadIdx.x % 32;
    const int size = shape.size, half = shape.rotary / 2;
    const i64 position = step[row * COLUMNS], capacity = step[row * COLUMNS + 1];
    if (position < 0 || position >= capacity) return;
    const u64 place = (static_cast<u64>(kvHead) * capacity + position) * size;
    const T* heads = qkv + (static_cast<u64>(row) * (shape.heads + 2 * shape.kvHeads) + shape.heads + kvHead) * size;
    if (threadIdx.x >= 32) {
        T* to = reinterpret_cast<T*>(memory[row * 2 + 1]) + place;
        for (int c = lane; c < size; c += 32) to[c] = heads[static_cast<u64>(shape.kvHeads) * size + c];
        return;
    }
    float cosine[MAX_SIZE / 64], sine[MAX_SIZE / 64];
#pragma unroll
    for (int i = 0; i < MAX_SIZE / 64; i++) {
        const int pair = i * 32 + lane;
        if (pair < half) {
            cosine[i] = wide(cosines[position * shape.rotary + pair]);
            sine[i] = wide(sines[position * shape.rotary + pair]);
        }
    }
    T* to = reinterpret_cast<T*>(memory[row * 2]) + place;
    rotate(heads, shape.key, cosine, sine, half, size, [&](int c, T v) { to[c] = v; });
}

// The likeliest token of each row, the first of equals, becomes the next one; -1 when a logit is NaN or the largest is infinite. chosen:
// shape (capacity, rows), the tokens by the position that they were chosen after. One block of 1024 threads for a row, which
// moves the row on by a position.
struct Best {
    float value;
    int place;
    bool broken;

    __device__ __forceinline__ void look(float v, int at) {
        broken |= !(v < __int_as_float(0x7f800000));
        if (v > value || (v == value && at < place)) {
            value = v;
            place = at;
        }
    }

    __device__ __forceinline__ void ofWarp() {
#pragma unroll
        for (int d = 16; d > 0; d /= 2) {
            const float other = __shfl_xor_sync(~0u, value, d);
            look(other, __shfl_xor_sync(~0u, place, d));
        }
        broken = __any_sync(~0u, broken);
    }
};

template <class T>
__device__ __forceinline__ void choose(
        const T* logits, i64* step, i64* chosen, int vocabulary, int rows, int capacity) {
    nextMayStart();
    waitForPrevious();
    __shared__ Best bests[32];
    const T* row = logits + static_cast<u64>(blockIdx.x) * vocabulary;
    Best best{-__int_as_float(0x7f800000), 0x7fffffff, false};
    // Rows begin at multiples of 16 bytes if their length is one of eight numbers.
    const int pieces = vocabulary % 8 == 0 ? vocabulary : 0;
#pragma unroll 4
    for (int i = threadIdx.x * 8; i < pieces; i += blockDim.x * 8) {
        float v[8];
        load(row + i, v);
#pragma unroll
        for (int k = 0; k < 8; k++) best.look(v[k], i + k);
    }
    for (int i = pieces + threadIdx.x; i < vocabulary; i += blockDim.x) best.look(wide(row[i]), i);
    best.ofWarp();
    if (threadIdx.x % 32 == 0) bests[threadIdx.x / 32] = best;
    __syncthreads();
    if (threadIdx.x >= 32) return;
    best = bests[threadIdx.x];
    best.ofWarp();
    if (threadIdx.x == 0) {
        i64* mine = step + blockIdx.x * COLUMNS;
        const i64 position = *mine;
        if (position < 0) return;
        const bool broken = best.broken || best.value == -__int_as_float(0x7f800000);
        if (position < capacity) chosen[position * rows + blockIdx.x] = broken ? -1 : best.place;
        *mine = position + 1;
        mine[TOKEN] = broken ? 0 : best.place;
        mine[CHOSEN] = broken ? -1 : best.place;
    }
}

#define DECODE(SUFFIX, T)                                                                                              \
    extern "C" __global__ void embed_##SUFFIX(const i64* step, const T* table, T* state, int width, float scale) {     \
        embed<T>(step, table, state, width, scale);                                                                    \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(NORM_THREADS) norm_##SUFFIX(                                          \
            T* x, T* y, int width, const __grid_constant__ Norms norms) {                                              \
        norm<T>(x, y, width, norms.after, norms.before);                                                               \
    }                                                                                                                  \
    extern "C" __global__ void gate_##SUFFIX(const T* both, T* y, u64 count, int width, int activation) {              \
        gate<T>(both, y, count, width, activation);                                                                    \
    }                                                                                                                  \
    extern "C" __global__ void soft_cap_##SUFFIX(T* logits, u64 count, float cap) { softCap<T>(logits, count, cap); }  \
    extern "C" __global__ void __launch_bounds__(ATTENTION_THREADS) attend_##SUFFIX(                                   \
            const i64* step, const i64* memory, const T* qkv, const T* cosines, const T* sines, float* partial,        \
            float* weights, u32* done, T* y, const __grid_constant__ Shape shape) {                                    \
        attend<T>(step, memory, qkv, cosines, sines, partial, weights, done, y, shape);                                \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(64) append_##SUFFIX(                                                  \
            const i64* step, const i64* memory, const T* qkv, const T* cosines, const T* sines,                        \
            const __grid_constant__ Shape shape) {                                                                     \
        append<T>(step, memory, qkv, cosines, sines, shape);                                                           \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(1024) choose_##SUFFIX(                                                \
            const T* logits, i64* step, i64* chosen, int vocabulary, int rows, int capacity) {                         \
        choose<T>(logits, step, chosen, vocabulary, rows, capacity);                                                   \
    }

DECODE(f32, float)
DECODE(bf16, bf16)
