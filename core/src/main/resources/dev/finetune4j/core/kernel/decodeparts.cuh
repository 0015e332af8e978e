// What the kernels of attention of decode steps share: a block's part of a sequence, the softmax of one sweep (Milakov and Gimelshein
// 2018) and its splits (Flash-Decoding, Dao et al. 2023), and the turned heads.

constexpr int COLUMNS = 4, TOKEN = 2, CHOSEN = 3;  // behind position and capacity

__device__ __forceinline__ float sumOfWarp(float x) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
    return x;
}

constexpr int MAX_SIZE = 256;
constexpr int TURNS = MAX_SIZE / 128;  // a lane has four channels in each
constexpr float NONE = -1e30f;

// A block's share of the sequence, of which a window shows only the last positions; 0: all of it is seen.
struct Share {
    int length, begin, end, active;  // active: splits that have a share at all

    // least: positions of a share, a multiple of 16, where the sequence has so many
    __device__ __forceinline__ Share(i64 position, int capacity, int window, int splits, int split, int least = 16) {
        length = static_cast<int>(min(position + 1, static_cast<i64>(capacity)));
        const int first = window > 0 ? max(0, length - window) : 0, seen = length - first;
        const int each = max(least, ((seen + splits - 1) / splits + 15) / 16 * 16);
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

    // One split's part of a head, for together().
    __device__ __forceinline__ void keep(float* partial, float* weights, int size) const {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int turn = 0; turn < TURNS; turn++) {
            const int channel = turn * 128 + lane * 4;
            if (channel < size) *reinterpret_cast<float4*>(partial + channel) = sums[turn];
        }
        if (lane == 0) *reinterpret_cast<float2*>(weights) = make_float2(largest, total);
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

// Of a position: a lane has those of each 32nd pair.
struct Angles {
    float cosines[MAX_SIZE / 64], sines[MAX_SIZE / 64];

    // row: of the tables, shape (positions, rotary); half: of the turned channels
    template <class T, class Row>
    __device__ __forceinline__ Angles(const T* allCosines, const T* allSines, Row row, int rotary, int half) {
#pragma unroll
        for (int i = 0; i < MAX_SIZE / 64; i++) {
            const int pair = i * 32 + threadIdx.x % 32;
            if (pair < half) {
                cosines[i] = wide(allCosines[row * rotary + pair]);
                sines[i] = wide(allSines[row * rotary + pair]);
            }
        }
    }
};

// A head, normalised if there is a norm, its first channels turned by the angles of the position, each time rounded as the
// models round it: one warp. half: of the turned channels; interleaved: whether neighbours turn with one another, not the halves.
// to(channel, value)
template <class T, class To>
__device__ __forceinline__ void rotate(
        const T* head, const Norm& norm, const Angles& angles, int half, int interleaved, int size, const To& to) {
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
            const int first = interleaved ? 2 * pair : pair, second = interleaved ? first + 1 : pair + half;
            const float a = value(first), b = value(second);
            to(first, narrow<T>(a * angles.cosines[i] - b * angles.sines[i]));
            to(second, narrow<T>(b * angles.cosines[i] + a * angles.sines[i]));
        }
    }
    for (int c = 2 * half + threadIdx.x % 32; c < size; c += 32) to(c, narrow<T>(value(c)));
}

// What the host says of a layer's attention. Every field has eight bytes, as the host lays out arguments.
struct Shape {
    alignas(8) int heads;
    alignas(8) int kvHeads;
    alignas(8) int size;
    alignas(8) int rotary;             // channels that are turned
    alignas(8) int interleaved;        // whether they turn with their neighbours
    alignas(8) int window;             // positions that are seen; 0: all
    alignas(8) int splits;
    alignas(8) int parts;              // of the query heads of a kv head, each of at most eight
    alignas(8) float scale;
    alignas(8) float cap;              // on the scores; 0: none
    alignas(8) int appended;           // whether the new keys and values are in the cache already
    Norm query;
    Norm key;
};
