// One token of each row of a decoder, what is not a product with a weight. T is float or bfloat16; sums are in float. What
// changes from step to step lies in memory, so that a captured graph is right for every step: step, shape (rows, 4), has the
// position of a row, the positions that its keys and values have room for, its token and the token chosen last; memory, shape
// (layers, rows, 2), where its keys and values lie. A row at position -1 is idle: it writes neither.

#include "numbers.cuh"
#include "activation.cuh"
#include "norm.cuh"
#include "decodeparts.cuh"

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

    // start: of the weights
    __device__ __forceinline__ void normalize(const Norm& norm, int width, int start = 0) {
        float sum = 0.f;
        if (norm.form == CENTERED) {
            each(width, [&](int p, int) {
#pragma unroll
                for (int k = 0; k < 8; k++) sum += v[p][k];
            });
            const float mean = sumOfNormBlock(sum) / width;
            sum = 0.f;
            each(width, [&](int p, int) {
#pragma unroll
                for (int k = 0; k < 8; k++) v[p][k] -= mean;
            });
        }
        each(width, [&](int p, int) {
#pragma unroll
            for (int k = 0; k < 8; k++) sum += v[p][k] * v[p][k];
        });
        const float factor = rsqrtf(sumOfNormBlock(sum) / width + norm.epsilon);
        each(width, [&](int p, int at) {
            float w[8];
            norm.weights<T>(start + at, w);
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
// added to x first. Without one before the next half, y = x. width: a multiple of 8, at most 512 · 8 · PIECES.
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
    if (before.values) state.normalize(before, width);
    state.write(out, width);
}

// A block for each so many channels of a row's queries or keys, which are normalised together where they lie, with weights of their own.
template <class T>
__device__ __forceinline__ void normHeads(
        T* qkv, int stride, int queries, int keys, int ofQuery, int ofKey, const Norm& query, const Norm& key) {
    nextMayStart();
    const int first = queries / ofQuery, all = first + keys / ofKey, index = blockIdx.x % all;
    const bool second = index >= first;
    const Norm& norm = second ? key : query;
    const int width = second ? ofKey : ofQuery, start = (second ? index - first : index) * width;
    waitForPrevious();
    T* heads = qkv + static_cast<u64>(blockIdx.x / all) * stride + (second ? queries : 0) + start;
    Pieces<T> piece;
    piece.read(heads, width);
    piece.normalize(norm, width, start);
    piece.write(heads, width);
}

// A thread for each eight elements: y = act(gate) · up of both, shape (rows, 2 · width), gate first.
template <class T>
__device__ __forceinline__ void gate(const T* both, T* y, u64 count, int width, int activation) {
    nextMayStart();
    waitForPrevious();
    const u64 i = (static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x) * 8;
    if (i >= count) return;
    if (width % 8 != 0) {
        for (u64 k = i; k < min(i + 8, count); k++) {
            const T* from = both + k + k / width * width;
            y[k] = narrow<T>(activated(activation, wide(from[0])) * wide(from[width]));
        }
        return;
    }
    const T* from = both + i + i / width * width;
    float gates[8], ups[8];
    load(from, gates);
    load(from + width, ups);
#pragma unroll
    for (int k = 0; k < 8; k++) gates[k] = activated(activation, gates[k]) * ups[k];
    store(y + i, gates);
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
constexpr int ATTENTION_WARPS = 8;
constexpr int ATTENTION_THREADS = ATTENTION_WARPS * 32;

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
    const Angles angles(cosines, sines, share.length - 1, shape.rotary, half);
    waitForPrevious();
    float* q = reinterpret_cast<float*>(room + (4 * KEYS + 2) * tiles.stride) + warp * size;
    const T* of = qkv + static_cast<u64>(row) * (heads + 2 * kvHeads) * size;
    if (head < group) {
        rotate(
                of + (firstHead + head) * size, shape.query, angles, half, shape.interleaved, size,
                [&](int c, T v) { q[c] = wide(v) * shape.scale; });
    }
    if (hasNewest) {
        const u64 newest = static_cast<u64>(share.length - 1) * size;
        if (warp == ATTENTION_WARPS - 1) {
            T* to = reinterpret_cast<T*>(tiles.newest(0));
            rotate(
                    of + (heads + kvHead) * size, shape.key, angles, half, shape.interleaved, size,
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
        mixture.keep(partial + part * size, weights + part * 2, size);
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
    const Angles angles(cosines, sines, position, shape.rotary, half);
    T* to = reinterpret_cast<T*>(memory[row * 2]) + place;
    rotate(heads, shape.key, angles, half, shape.interleaved, size, [&](int c, T v) { to[c] = v; });
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
    extern "C" __global__ void __launch_bounds__(NORM_THREADS) norm_heads_##SUFFIX(                                    \
            T* qkv, int stride, int queries, int keys, int ofQuery, int ofKey, const __grid_constant__ Norms norms) {  \
        normHeads<T>(qkv, stride, queries, keys, ofQuery, ofKey, norms.after, norms.before);                           \
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
