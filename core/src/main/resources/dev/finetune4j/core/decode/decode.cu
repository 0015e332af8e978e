// One token of a decoder, what is not a product with a weight. T is float or bfloat16; sums are in float. The position and
// the tokens lie in memory (step: position, then one token for each row), so that a recorded graph serves every position.

#include "numbers.cuh"

__device__ __forceinline__ float sumOfWarp(float x) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
    return x;
}

// Rows of the embedding to the residual stream: one block for a row.
template <class T>
__device__ __forceinline__ void embed(const i64* step, const T* table, T* state, int width) {
    nextMayStart();
    waitForPrevious();
    const T* from = table + static_cast<u64>(step[1 + blockIdx.x]) * width;
    T* to = state + static_cast<u64>(blockIdx.x) * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) to[i] = from[i];
}

// One block for a row; the normalised value is rounded before it is scaled, as the published models do.
template <class T>
__device__ __forceinline__ void norm(const T* x, const T* weight, T* y, int width, float epsilon) {
    nextMayStart();
    waitForPrevious();
    __shared__ float parts[32];
    const T* row = x + static_cast<u64>(blockIdx.x) * width;
    T* out = y + static_cast<u64>(blockIdx.x) * width;
    float sum = 0.f;
    for (int i = threadIdx.x * 8; i < width; i += blockDim.x * 8) {
        float v[8];
        load(row + i, v);
#pragma unroll
        for (int k = 0; k < 8; k++) sum += v[k] * v[k];
    }
    sum = sumOfWarp(sum);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    float all = 0.f;
    for (int i = 0; i < blockDim.x / 32; i++) all += parts[i];
    const float scale = rsqrtf(all / width + epsilon);
    for (int i = threadIdx.x * 8; i < width; i += blockDim.x * 8) {
        float v[8], w[8];
        load(row + i, v);
        load(weight + i, w);
#pragma unroll
        for (int k = 0; k < 8; k++) v[k] = wide(narrow<T>(v[k] * scale)) * w[k];
        store(out + i, v);
    }
}

// Turns queries in place, and puts turned keys and the values of the new position where the cache has its place for them.
// qkv: shape (rows, (heads + 2 · kvHeads) · size); keys, values: shape (rows, kvHeads, capacity, size); cos, sin: shape
// (capacity, size). One block for a head of a row, one thread for a pair of channels.
template <class T>
__device__ __forceinline__ void ropeAppend(
        const i64* step, T* qkv, T* keys, T* values, const T* cosines, const T* sines, int heads, int kvHeads, int size,
        int capacity) {
    nextMayStart();
    waitForPrevious();
    const int all = heads + 2 * kvHeads;
    const int row = blockIdx.x / all;
    const int head = blockIdx.x % all;
    const int pair = threadIdx.x;
    const int half = size / 2;
    const i64 position = step[0];
    if (pair >= half || position >= capacity) return;
    T* from = qkv + (static_cast<u64>(row) * all + head) * size;
    float a = wide(from[pair]);
    float b = wide(from[pair + half]);
    if (head < heads + kvHeads) {
        const float c = wide(cosines[position * size + pair]);
        const float s = wide(sines[position * size + pair]);
        const float turned = a * c - b * s;
        b = b * c + a * s;
        a = turned;
    }
    T* to = from;
    if (head >= heads) {
        const bool isKey = head < heads + kvHeads;
        const int kvHead = head - heads - (isKey ? 0 : kvHeads);
        to = (isKey ? keys : values) + ((static_cast<u64>(row) * kvHeads + kvHead) * capacity + position) * size;
    }
    to[pair] = narrow<T>(a);
    to[pair + half] = narrow<T>(b);
}

// Attention of one new position to all that the cache holds, the softmax in one sweep (Milakov and Gimelshein 2018), the
// sequence in splits (Flash-Decoding, Dao et al. 2023). One block of 128 threads for a split of a kv head of a row; all the
// query heads that share it read a key once. At most 8 query heads for a kv head, at most 256 channels.
constexpr int TILE = 64;
constexpr int MOST_GROUP = 8;
constexpr int MOST_SIZE = 256;
constexpr int ATTENTION_THREADS = 128;
constexpr float NONE = -1e30f;

template <class T>
__device__ __forceinline__ void attend(
        const i64* step, const T* qkv, const T* keys, const T* values, float* partial, float* weights, int heads,
        int kvHeads, int size, int capacity, int splits, float scale) {
    nextMayStart();
    waitForPrevious();
    __shared__ alignas(16) float q[MOST_GROUP][MOST_SIZE];
    __shared__ float scores[MOST_GROUP][TILE];
    __shared__ float largest[MOST_GROUP], total[MOST_GROUP], shrink[MOST_GROUP];
    const int group = heads / kvHeads;
    const int split = blockIdx.x % splits;
    const int kvHead = blockIdx.x / splits % kvHeads;
    const int row = blockIdx.x / splits / kvHeads;
    const int length = static_cast<int>(min(step[0] + 1, static_cast<i64>(capacity)));
    const int share = ((length + splits - 1) / splits + 7) / 8 * 8;
    const int begin = min(length, split * share);
    const int end = min(length, begin + share);
    const T* queries = qkv + (static_cast<u64>(row) * (heads + 2 * kvHeads) + kvHead * group) * size;
    for (int i = threadIdx.x; i < group * size; i += ATTENTION_THREADS) q[i / size][i % size] = wide(queries[i]) * scale;
    if (threadIdx.x < MOST_GROUP) {
        largest[threadIdx.x] = NONE;
        total[threadIdx.x] = 0.f;
    }
    __syncthreads();
    const u64 base = (static_cast<u64>(row) * kvHeads + kvHead) * capacity;
    float sums[MOST_SIZE / ATTENTION_THREADS][MOST_GROUP] = {};
    for (int first = begin; first < end; first += TILE) {
        // Two threads for a key, each with half of its channels' pieces.
        const int at = threadIdx.x / 2;
        float dots[MOST_GROUP] = {};
        if (first + at < end) {
            const T* key = keys + (base + first + at) * size;
            for (int c = threadIdx.x % 2 * 8; c < size; c += 16) {
                float k[8];
                load(key + c, k);
#pragma unroll
                for (int h = 0; h < MOST_GROUP; h++) {
                    if (h < group) {
#pragma unroll
                        for (int i = 0; i < 8; i++) dots[h] += q[h][c + i] * k[i];
                    }
                }
            }
        }
#pragma unroll
        for (int h = 0; h < MOST_GROUP; h++) {
            dots[h] += __shfl_xor_sync(~0u, dots[h], 1);
            if (threadIdx.x % 2 == 0 && h < group) scores[h][at] = first + at < end ? dots[h] : NONE;
        }
        __syncthreads();
        for (int h = threadIdx.x / 32; h < group; h += ATTENTION_THREADS / 32) {
            const int lane = threadIdx.x % 32;
            const float one = scores[h][lane], two = scores[h][lane + 32];
            float most = fmaxf(one, two);
#pragma unroll
            for (int d = 16; d > 0; d /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, d));
            most = fmaxf(most, largest[h]);
            const float first1 = one == NONE ? 0.f : __expf(one - most);
            const float second = two == NONE ? 0.f : __expf(two - most);
            const float sum = sumOfWarp(first1 + second);
            scores[h][lane] = first1;
            scores[h][lane + 32] = second;
            __syncwarp();
            if (lane == 0) {
                shrink[h] = __expf(largest[h] - most);
                total[h] = total[h] * shrink[h] + sum;
                largest[h] = most;
            }
        }
        __syncthreads();
        const int count = min(TILE, end - first);
#pragma unroll
        for (int turn = 0; turn < MOST_SIZE / ATTENTION_THREADS; turn++) {
            const int channel = threadIdx.x + turn * ATTENTION_THREADS;
            if (channel < size) {
#pragma unroll
                for (int h = 0; h < MOST_GROUP; h++) {
                    if (h < group) sums[turn][h] *= shrink[h];
                }
                const T* value = values + (base + first) * size + channel;
#pragma unroll 8
                for (int p = 0; p < count; p++) {
                    const float v = wide(value[static_cast<u64>(p) * size]);
#pragma unroll
                    for (int h = 0; h < MOST_GROUP; h++) {
                        if (h < group) sums[turn][h] += scores[h][p] * v;
                    }
                }
            }
        }
        __syncthreads();
    }
    // partial: shape (rows, heads, splits, size); weights: shape (rows, heads, splits, 2), the largest score and the sum.
#pragma unroll
    for (int h = 0; h < MOST_GROUP; h++) {
        if (h < group) {
            const u64 place = (static_cast<u64>(row) * heads + kvHead * group + h) * splits + split;
#pragma unroll
            for (int turn = 0; turn < MOST_SIZE / ATTENTION_THREADS; turn++) {
                const int channel = threadIdx.x + turn * ATTENTION_THREADS;
                if (channel < size) partial[place * size + channel] = sums[turn][h];
            }
            if (threadIdx.x == 0) {
                weights[place * 2] = largest[h];
                weights[place * 2 + 1] = total[h];
            }
        }
    }
}

// Puts the splits together: one block for a head of a row.
template <class T>
__device__ __forceinline__ void combine(const float* partial, const float* weights, T* y, int size, int splits) {
    nextMayStart();
    waitForPrevious();
    const u64 place = static_cast<u64>(blockIdx.x) * splits;
    float most = NONE;
    for (int s = 0; s < splits; s++) most = fmaxf(most, weights[(place + s) * 2]);
    float total = 0.f;
    for (int s = 0; s < splits; s++) total += weights[(place + s) * 2 + 1] * __expf(weights[(place + s) * 2] - most);
    for (int c = threadIdx.x; c < size; c += blockDim.x) {
        float sum = 0.f;
        for (int s = 0; s < splits; s++) sum += partial[(place + s) * size + c] * __expf(weights[(place + s) * 2] - most);
        y[static_cast<u64>(blockIdx.x) * size + c] = narrow<T>(sum / total);
    }
}

// The likeliest token of each row, the first of equals, becomes the next one; -1 when a logit is not a number. chosen:
// shape (capacity, rows), the tokens by the position that they were chosen after. One block of 1024 threads for a row.
template <class T>
__device__ __forceinline__ void choose(const T* logits, i64* step, i64* chosen, int vocabulary, int rows, int capacity) {
    nextMayStart();
    waitForPrevious();
    __shared__ float values[32];
    __shared__ int places[32];
    __shared__ int broken;
    if (threadIdx.x == 0) broken = 0;
    __syncthreads();
    const T* row = logits + static_cast<u64>(blockIdx.x) * vocabulary;
    float best = -__int_as_float(0x7f800000);
    int place = 0x7fffffff;
    bool bad = false;
    for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        const float v = wide(row[i]);
        bad |= v != v;
        if (v > best || (v == best && i < place)) {
            best = v;
            place = i;
        }
    }
    if (bad) broken = 1;
    for (int turn = 0; turn < 2; turn++) {
        for (int d = 16; d > 0; d /= 2) {
            const float other = __shfl_xor_sync(~0u, best, d);
            const int where = __shfl_xor_sync(~0u, place, d);
            if (other > best || (other == best && where < place)) {
                best = other;
                place = where;
            }
        }
        if (turn == 0) {
            if (threadIdx.x % 32 == 0) {
                values[threadIdx.x / 32] = best;
                places[threadIdx.x / 32] = place;
            }
            __syncthreads();
            best = values[threadIdx.x % 32];
            place = places[threadIdx.x % 32];
        }
    }
    if (threadIdx.x == 0) {
        const i64 token = broken ? -1 : place;
        const i64 position = step[0];
        if (position < capacity) chosen[position * rows + blockIdx.x] = token;
        step[1 + blockIdx.x] = broken ? 0 : token;
    }
}

extern "C" __global__ void advance(i64* step) {
    nextMayStart();
    waitForPrevious();
    step[0]++;
}

#define DECODE(SUFFIX, T)                                                                                              \
    extern "C" __global__ void embed_##SUFFIX(const i64* step, const T* table, T* state, int width) {                  \
        embed<T>(step, table, state, width);                                                                           \
    }                                                                                                                  \
    extern "C" __global__ void norm_##SUFFIX(const T* x, const T* weight, T* y, int width, float epsilon) {            \
        norm<T>(x, weight, y, width, epsilon);                                                                         \
    }                                                                                                                  \
    extern "C" __global__ void rope_append_##SUFFIX(                                                                   \
            const i64* step, T* qkv, T* keys, T* values, const T* cosines, const T* sines, int heads, int kvHeads,     \
            int size, int capacity) {                                                                                  \
        ropeAppend<T>(step, qkv, keys, values, cosines, sines, heads, kvHeads, size, capacity);                        \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(ATTENTION_THREADS) attend_##SUFFIX(                                   \
            const i64* step, const T* qkv, const T* keys, const T* values, float* partial, float* weights, int heads,  \
            int kvHeads, int size, int capacity, int splits, float scale) {                                            \
        attend<T>(                                                                                                     \
                step, qkv, keys, values, partial, weights, heads, kvHeads, size, capacity, splits, scale);             \
    }                                                                                                                  \
    extern "C" __global__ void combine_##SUFFIX(                                                                       \
            const float* partial, const float* weights, T* y, int size, int splits) {                                  \
        combine<T>(partial, weights, y, size, splits);                                                                 \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(1024) choose_##SUFFIX(                                                \
            const T* logits, i64* step, i64* chosen, int vocabulary, int rows, int capacity) {                         \
        choose<T>(logits, step, chosen, vocabulary, rows, capacity);                                                   \
    }

DECODE(f32, float)
DECODE(bf16, bf16)
