// Causal attention with soft-capped scores, windows and fewer heads of keys and values than of queries, over sequences of any
// lengths, forward and backward: scores are made tile by tile and never kept (FlashAttention-2, Dao 2023). Queries, keys and
// values of a token lie behind one another. Nothing depends on the order in which blocks run. HEAD is the number of channels that
// a tile has room for, 64, 128 or 256; a head may have fewer, a multiple of 8, and its tile is filled with zeros.

constexpr int CHUNKS = HEAD / 8;                  // of 16 bytes in a row
constexpr int TOKENS = 64;                        // queries or keys that a block is for
constexpr int TILE = TOKENS * HEAD * 2;           // bytes
constexpr int NARROW = HEAD == 256 ? 32 : 64;     // keys at a time in the backward pass of queries
constexpr float LOG2E = 1.44269504f;
constexpr float NOTHING = -1e30f;                 // the score of a key that is not seen

// What all kernels are told.
struct Heads {
    int heads, kvHeads, size;
    float scale, cap;  // cap: bound of the scores, 0 for none
    int window;        // positions that a token sees, itself included; 0 for all

    __device__ i64 stride() const { return static_cast<i64>(heads + 2 * kvHeads) * size; }
    __device__ bool sees(int query, int key) const { return key <= query && (window == 0 || key > query - window); }
    // The first key that any query from this one on sees.
    __device__ int firstKey(int query) const { return window == 0 ? 0 : max(0, query - window + 1); }
    // Behind the last query that sees a key up to this one.
    __device__ int endOfQueries(int key, int length) const {
        return window == 0 ? length : static_cast<int>(min(static_cast<i64>(length), static_cast<i64>(key) + window));
    }
};

// Tokens [first, first + TOKENS) of a sequence that begins at row `start`.
struct Tile {
    int start, length, first;
    __device__ int rows() const { return length - first; }
};

// The index-th tile. starts: first row of each sequence and the end of the last; null for sequences of `tokens` rows.
__device__ __forceinline__ Tile tileOf(int index, const int* starts, int sequences, int tokens, bool longestFirst) {
    if (!starts) {
        const int tiles = (tokens + TOKENS - 1) / TOKENS, place = index / sequences;
        return Tile{index % sequences * tokens, tokens, (longestFirst ? tiles - 1 - place : place) * TOKENS};
    }
    for (int i = 0; i < sequences; i++) {
        const int start = starts[i], length = starts[i + 1] - start, tiles = (length + TOKENS - 1) / TOKENS;
        if (index < tiles) return Tile{start, length, (longestFirst ? tiles - 1 - index : index) * TOKENS};
        index -= tiles;
    }
    return Tile{0, 0, 0};
}

// Where a chunk of a row of a matrix lies that has 64 numbers in a row: eight rows of one chunk are in different banks.
__device__ __forceinline__ u32 cellOf(u32 matrix, int row, int chunk) {
    return matrix + 16 * (row * 8 + (chunk ^ (row & 7)));
}

// The same in a tile of so many rows, which consists of such matrices.
template <int ROWS>
__device__ __forceinline__ u32 placeOf(u32 tile, int row, int chunk) {
    return cellOf(tile + chunk / 8 * (ROWS * 128), row, chunk % 8);
}

// Rows of `size` numbers, of which so many are there, to a tile.
template <int ROWS>
__device__ __forceinline__ void fetchTile(u32 tile, const bf16* from, i64 stride, int rows, int size) {
    for (int i = threadIdx.x; i < ROWS * CHUNKS; i += blockDim.x) {
        const int row = i / CHUNKS, chunk = i % CHUNKS;
        const bool there = row < rows && chunk * 8 < size;
        fetch16(placeOf<ROWS>(tile, row, chunk), there ? from + row * stride + chunk * 8 : from, there);
    }
}

#if WARPGROUPS

// sums (64 x 8 n, 16 rows of each warp) += a tile a times the transposed rows [row, row + 8 n) of a tile b of ROWS.
template <int ROWS, int N>
__device__ __forceinline__ void multiplyRows(float (&sums)[N][4], u32 a, int, u32 b, int row) {
    beginProducts();
#pragma unroll
    for (int k = 0; k < CHUNKS / 2; k++) {
        const int block = k / 4, inside = k % 4 * 32;
        Products<8 * N>::rows(
                sums, matrixAt(a + block * (TOKENS * 128) + inside, 0),
                matrixAt(b + block * (ROWS * 128) + row * 128 + inside, 0));
    }
    endProducts();
}

// sums (64 x 8 n) += left (64 x 16 m, 16 rows of each warp, by pieces of 16 columns) times rows [0, 16 m) of a tile b of ROWS.
template <int ROWS, int M, int N>
__device__ __forceinline__ void multiplyColumns(float (&sums)[N][4], const u32 (&left)[M][4], u32 b) {
    constexpr int WIDTH = N > 16 ? 16 : N;
    beginProducts();
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int n = 0; n < N; n += WIDTH) {
            Products<8 * WIDTH>::columns(
                    *reinterpret_cast<float(*)[WIDTH][4]>(sums + n), left[m],
                    matrixAt(b + n / 8 * (ROWS * 128) + m * 16 * 128, ROWS * 128));
        }
    }
    endProducts();
}

// sums (64 x 8 n) += a matrix (64 x 64) times a tile b from a chunk on.
template <int N>
__device__ __forceinline__ void multiplyMatrix(float (&sums)[N][4], u32 matrix, int, u32 b, int chunk) {
    beginProducts();
#pragma unroll
    for (int m = 0; m < TOKENS / 16; m++) {
        Products<8 * N>::columns(
                sums, matrixAt(matrix + m * 32, 0),
                matrixAt(b + chunk / 8 * (TOKENS * 128) + chunk % 8 * 16 + m * 16 * 128, TOKENS * 128));
    }
    endProducts();
}

#else

// Operands are asked for so many steps before they are used.
constexpr int AHEAD = 2;

// sums (16 x 8 n) += rows [rowA, rowA + 16) of a tile a times the transposed rows [rowB, rowB + 8 n) of a tile b of ROWS.
template <int ROWS, int N>
__device__ __forceinline__ void multiplyRows(float (&sums)[N][4], u32 a, int rowA, u32 b, int rowB) {
    constexpr int PAIRS = N / 2, STEPS = CHUNKS / 2 * PAIRS;
    const int lane = threadIdx.x % 32;
    u32 left[2][4], right[AHEAD + 1][4];
    const auto ask = [&](int step) {
        const int k = step / PAIRS * 2, n = step % PAIRS * 16;
        if (step % PAIRS == 0) loadMatrices(left[k / 2 % 2], placeOf<TOKENS>(a, rowA + lane % 16, k + lane / 16));
        loadMatrices(
                right[step % (AHEAD + 1)],
                placeOf<ROWS>(b, rowB + n + lane % 8 + lane / 16 * 8, k + lane / 8 % 2));
    };
#pragma unroll
    for (int step = 0; step < AHEAD; step++) ask(step);
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        if (step + AHEAD < STEPS) ask(step + AHEAD);
        const u32(&l)[4] = left[step / PAIRS % 2];
        const u32(&r)[4] = right[step % (AHEAD + 1)];
        multiplyAdd(sums[step % PAIRS * 2], l, r[0], r[1]);
        multiplyAdd(sums[step % PAIRS * 2 + 1], l, r[2], r[3]);
    }
}

// sums (16 x 8 n) += left (16 x 16 m, by pieces of 16 columns) times rows [0, 16 m) of a tile b of ROWS from a chunk on.
template <int ROWS, int M, int N>
__device__ __forceinline__ void multiplyColumns(
        float (&sums)[N][4], const u32 (&left)[M][4], u32 b, int chunk = 0) {
    constexpr int PAIRS = N / 2, STEPS = M * PAIRS;
    const int lane = threadIdx.x % 32;
    u32 right[AHEAD + 1][4];
    const auto ask = [&](int step) {
        const int row = step / PAIRS * 16, n = step % PAIRS * 2;
        loadTransposed(right[step % (AHEAD + 1)], placeOf<ROWS>(b, row + lane % 16, chunk + n + lane / 16));
    };
#pragma unroll
    for (int step = 0; step < AHEAD; step++) ask(step);
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        if (step + AHEAD < STEPS) ask(step + AHEAD);
        const u32(&r)[4] = right[step % (AHEAD + 1)];
        multiplyAdd(sums[step % PAIRS * 2], left[step / PAIRS], r[0], r[1]);
        multiplyAdd(sums[step % PAIRS * 2 + 1], left[step / PAIRS], r[2], r[3]);
    }
}

// sums (16 x 8 n) += rows [row, row + 16) of a matrix (64 x 64) times a tile b from a chunk on.
template <int N>
__device__ __forceinline__ void multiplyMatrix(float (&sums)[N][4], u32 matrix, int row, u32 b, int chunk) {
    const int lane = threadIdx.x % 32;
    u32 left[TOKENS / 16][4];
#pragma unroll
    for (int m = 0; m < TOKENS / 16; m++) loadMatrices(left[m], cellOf(matrix, row + lane % 16, 2 * m + lane / 16));
    multiplyColumns<TOKENS>(sums, left, b, chunk);
}

#endif

// Products (16 x 16 m) as left operands.
template <int M>
__device__ __forceinline__ void pack(const float (&from)[2 * M][4], u32 (&to)[M][4]) {
#pragma unroll
    for (int i = 0; i < M; i++) {
        to[i][0] = bf16x2(from[2 * i][0], from[2 * i][1]);
        to[i][1] = bf16x2(from[2 * i][2], from[2 * i][3]);
        to[i][2] = bf16x2(from[2 * i + 1][0], from[2 * i + 1][1]);
        to[i][3] = bf16x2(from[2 * i + 1][2], from[2 * i + 1][3]);
    }
}

// A dot product becomes its score times log2 e; slope gets the derivative of the bound.
__device__ __forceinline__ float scoreOf(float dot, const Heads& of, float& slope) {
    if (of.cap == 0.f) {
        slope = 1.f;
        return dot * (of.scale * LOG2E);
    }
    const float bent = tanhOf(dot * (of.scale / of.cap));
    slope = 1.f - bent * bent;
    return bent * (of.cap * LOG2E);
}

// The sum over the four lanes that share a row of a product.
__device__ __forceinline__ float sumOfRow(float x) {
    x += __shfl_xor_sync(~0u, x, 1);
    return x + __shfl_xor_sync(~0u, x, 2);
}

__device__ __forceinline__ float peakOfRow(float x) {
    x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
    return fmaxf(x, __shfl_xor_sync(~0u, x, 2));
}

// Writes products (16 x 8 n) times a factor for each half to rows of `size` numbers from a chunk on.
template <int N>
__device__ __forceinline__ void putRows(
        const float (&sums)[N][4], float upper, float lower, bf16* to, i64 stride, int row, int rows, int chunk, int size) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int at = row + lane / 4 + 8 * half;
        if (at >= rows) continue;
        const float factor = half ? lower : upper;
#pragma unroll
        for (int n = 0; n < N; n++) {
            if ((chunk + n) * 8 >= size) continue;
            *reinterpret_cast<u32*>(to + at * stride + (chunk + n) * 8 + lane % 4 * 2) =
                    bf16x2(sums[n][2 * half] * factor, sums[n][2 * half + 1] * factor);
        }
    }
}

// y: shape (rows, heads, size); logs: shape (heads, rows), log2 of the sum of a query's weights. One block of four warps for a
// tile of queries and a head; shared memory for three tiles.
extern "C" __global__ void __launch_bounds__(128) attend_forward(
        const bf16* qkv, bf16* y, float* logs, const int* starts, int sequences, int tokens, int total, int heads,
        int kvHeads, int size, float scale, float cap, int window) {
    extern __shared__ __align__(1024) u8 room[];
    const Heads of{heads, kvHeads, size, scale, cap, window};
    const int head = blockIdx.x % heads;
    const Tile tile = tileOf(blockIdx.x / heads, starts, sequences, tokens, true);
    if (tile.rows() <= 0) return;
    const i64 stride = of.stride();
    const bf16* sequence = qkv + tile.start * stride;
    const bf16* keys = sequence + (heads + head / (heads / kvHeads)) * size;
    const bf16* values = keys + kvHeads * size;
    const u32 q = addressOf(room), k = q + TILE, v = k + TILE;
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;
    const int end = min(tile.first + TOKENS, tile.length);
    float sums[HEAD / 8][4] = {};
    float peaks[2] = {NOTHING, NOTHING}, all[2] = {0.f, 0.f};

    int key = of.firstKey(tile.first) / TOKENS * TOKENS;
    fetchTile<TOKENS>(q, sequence + tile.first * stride + head * size, stride, tile.rows(), size);
    fetchTile<TOKENS>(k, keys + key * stride, stride, tile.length - key, size);
    for (; key < end; key += TOKENS) {
        waitForFetches();
        publish();
        __syncthreads();
        fetchTile<TOKENS>(v, values + key * stride, stride, tile.length - key, size);
        float scores[TOKENS / 8][4] = {};
        multiplyRows<TOKENS>(scores, q, row, k, 0);
        waitForFetches();
        publish();
        __syncthreads();
        if (key + TOKENS < end) {
            fetchTile<TOKENS>(k, keys + (key + TOKENS) * stride, stride, tile.length - key - TOKENS, size);
        }
        const bool masked = key + TOKENS > tile.first + row || of.firstKey(tile.first + row + 15) > key;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int query = tile.first + row + lane / 4 + 8 * half;
            float peak = peaks[half];
#pragma unroll
            for (int n = 0; n < TOKENS / 8; n++) {
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    float slope, &score = scores[n][2 * half + i];
                    score = scoreOf(score, of, slope);
                    if (masked && !of.sees(query, key + n * 8 + lane % 4 * 2 + i)) score = NOTHING;
                    peak = fmaxf(peak, score);
                }
            }
            peak = peakOfRow(peak);
            const float origin = peak == NOTHING ? 0.f : peak, shrink = exp2Of(peaks[half] - origin);
            peaks[half] = peak;
            float sum = 0.f;
#pragma unroll
            for (int n = 0; n < TOKENS / 8; n++) {
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    float& score = scores[n][2 * half + i];
                    score = exp2Of(score - origin);
                    sum += score;
                }
            }
            all[half] = all[half] * shrink + sum;
            // Peaks seldom move after the first keys.
            if (__any_sync(~0u, shrink != 1.f)) {
#pragma unroll
                for (int n = 0; n < HEAD / 8; n++) {
                    sums[n][2 * half] *= shrink;
                    sums[n][2 * half + 1] *= shrink;
                }
            }
        }
        u32 weights[TOKENS / 16][4];
        pack(scores, weights);
        multiplyColumns<TOKENS>(sums, weights, v);
    }
    all[0] = sumOfRow(all[0]);
    all[1] = sumOfRow(all[1]);
    const i64 width = static_cast<i64>(heads) * size;
    putRows(sums, 1.f / all[0], 1.f / all[1], y + (tile.start + tile.first) * width + head * size, width, row,
            tile.rows(), 0, size);
    for (int half = 0; half < 2; half++) {
        const int at = row + lane / 4 + 8 * half;
        if (lane % 4 == 0 && at < tile.rows()) {
            logs[static_cast<i64>(head) * total + tile.start + tile.first + at] = peaks[half] + log2f(all[half]);
        }
    }
}

// The dot product of an output and its gradient, shape (heads, rows), is written for the other kernel, which runs after this one.
// Gradients of queries, in rows like those of qkv. One block of four warps for a tile of queries and a head; shared memory for
// two tiles and two narrow ones.
extern "C" __global__ void __launch_bounds__(128) attend_backward_queries(
        const bf16* qkv, const bf16* y, const bf16* dy, const float* logs, float* inner, bf16* gradients,
        const int* starts, int sequences, int tokens, int total, int heads, int kvHeads, int size, float scale,
        float cap, int window) {
    extern __shared__ __align__(1024) u8 room[];
    const Heads of{heads, kvHeads, size, scale, cap, window};
    const int head = blockIdx.x % heads;
    const Tile tile = tileOf(blockIdx.x / heads, starts, sequences, tokens, true);
    if (tile.rows() <= 0) return;
    const i64 stride = of.stride(), width = static_cast<i64>(heads) * size;
    const bf16* sequence = qkv + tile.start * stride;
    const bf16* keys = sequence + (heads + head / (heads / kvHeads)) * size;
    const bf16* values = keys + kvHeads * size;
    const i64 place = (tile.start + tile.first) * width + head * size;
    const u32 q = addressOf(room), d = q + TILE, k = d + TILE, v = k + TILE / TOKENS * NARROW;
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16;
    const int end = min(tile.first + TOKENS, tile.length);
    int key = of.firstKey(tile.first) / NARROW * NARROW;
    fetchTile<TOKENS>(q, sequence + tile.first * stride + head * size, stride, tile.rows(), size);
    fetchTile<TOKENS>(d, dy + place, width, tile.rows(), size);
    fetchTile<NARROW>(k, keys + key * stride, stride, tile.length - key, size);
    fetchTile<NARROW>(v, values + key * stride, stride, tile.length - key, size);

    float less[2], log[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int at = row + lane / 4 + 8 * half;
        const i64 number = static_cast<i64>(head) * total + tile.start + tile.first + at;
        const bool there = at < tile.rows();
        float sum = 0.f;
        for (int channel = lane % 4 * 8; there && channel < size; channel += 32) {
            float a[8], b[8];
            load(y + place + at * width + channel, a);
            load(dy + place + at * width + channel, b);
#pragma unroll
            for (int i = 0; i < 8; i++) sum += a[i] * b[i];
        }
        less[half] = sumOfRow(sum);
        log[half] = there ? logs[number] : 0.f;
        if (there && lane % 4 == 0) inner[number] = less[half];
    }
    float sums[HEAD / 8][4] = {};
    for (; key < end; key += NARROW) {
        waitForFetches();
        publish();
        __syncthreads();
        float scores[NARROW / 8][4] = {}, slopes[NARROW / 8][4] = {};
        multiplyRows<NARROW>(slopes, d, row, v, 0);
        multiplyRows<NARROW>(scores, q, row, k, 0);
        __syncthreads();
        if (key + NARROW < end) {
            fetchTile<NARROW>(v, values + (key + NARROW) * stride, stride, tile.length - key - NARROW, size);
        }
        const bool masked = key + NARROW > tile.first + row || of.firstKey(tile.first + row + 15) > key;
#pragma unroll
        for (int n = 0; n < NARROW / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int half = i / 2, query = tile.first + row + lane / 4 + 8 * half;
                float bend;
                const float weight = exp2Of(scoreOf(scores[n][i], of, bend) - log[half]);
                const bool seen = !masked || of.sees(query, key + n * 8 + lane % 4 * 2 + i % 2);
                slopes[n][i] = seen ? weight * (slopes[n][i] - less[half]) * bend : 0.f;
            }
        }
        u32 left[NARROW / 16][4];
        pack(slopes, left);
        multiplyColumns<NARROW>(sums, left, k);
        __syncthreads();
        if (key + NARROW < end) {
            fetchTile<NARROW>(k, keys + (key + NARROW) * stride, stride, tile.length - key - NARROW, size);
        }
    }
    putRows(sums, scale, scale, gradients + (tile.start + tile.first) * stride + head * size, stride, row, tile.rows(),
            0, size);
}

// Gradients of keys and values. One block of eight warps for a tile of keys and a head of keys: a warp weighs 16 keys with 32
// queries, and then adds up half of the channels of 16 keys. Shared memory for six tiles, two matrices of 64 x 64 and 4 x 64 floats.
extern "C" __global__ void __launch_bounds__(256) attend_backward_keys(
        const bf16* qkv, const bf16* dy, const float* logs, const float* inner, bf16* gradients, const int* starts,
        int sequences, int tokens, int total, int heads, int kvHeads, int size, float scale, float cap, int window) {
    extern __shared__ __align__(1024) u8 room[];
    const Heads of{heads, kvHeads, size, scale, cap, window};
    const int kvHead = blockIdx.x % kvHeads, group = heads / kvHeads;
    const Tile tile = tileOf(blockIdx.x / kvHeads, starts, sequences, tokens, false);
    if (tile.rows() <= 0) return;
    const i64 stride = of.stride(), width = static_cast<i64>(heads) * size;
    const bf16* sequence = qkv + tile.start * stride;
    const bf16* keys = sequence + tile.first * stride + (heads + kvHead) * size;
    const u32 k = addressOf(room), v = k + TILE, q = v + TILE, d = q + 2 * TILE, p = d + 2 * TILE, s = p + 8192;
    const u32 numbers = s + 8192;
    const int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16, half = threadIdx.x / 128;
    const int end = of.endOfQueries(tile.first + TOKENS - 1, tile.length);
    const int steps = (end - tile.first + TOKENS - 1) / TOKENS, all = steps * group;

    // Queries of one step, their gradients, logarithms and inner products, to one of two places.
    const auto fetchQueries = [&](int step) {
        const int head = kvHead * group + step / steps, query = tile.first + step % steps * TOKENS;
        const int rows = tile.length - query;
        const u32 place = step % 2;
        fetchTile<TOKENS>(q + place * TILE, sequence + query * stride + head * size, stride, rows, size);
        fetchTile<TOKENS>(d + place * TILE, dy + (tile.start + query) * width + head * size, width, rows, size);
        if (threadIdx.x < 2 * TOKENS) {
            const int at = threadIdx.x % TOKENS;
            const float* from = threadIdx.x < TOKENS ? logs : inner;
            const bool there = at < rows;
            fetch4(numbers + 4 * (place * 2 * TOKENS + threadIdx.x),
                   from + static_cast<i64>(head) * total + tile.start + query + (there ? at : 0), there);
        }
    };
    fetchTile<TOKENS>(k, keys, stride, tile.rows(), size);
    fetchTile<TOKENS>(v, keys + kvHeads * size, stride, tile.rows(), size);
    fetchQueries(0);
    float keySums[HEAD / 16][4] = {}, valueSums[HEAD / 16][4] = {};
    for (int step = 0; step < all; step++) {
        const int query = tile.first + step % steps * TOKENS + 32 * half;
        const u32 place = step % 2, queries = q + place * TILE, outer = d + place * TILE;
        waitForFetches();
        publish();
        __syncthreads();
        float scores[4][4] = {}, slopes[4][4] = {};
        multiplyRows<TOKENS>(scores, k, row, queries, 32 * half);
        multiplyRows<TOKENS>(slopes, v, row, outer, 32 * half);
        const int first = tile.first + row;
        const bool masked = query < first + 16 || of.firstKey(query + 31) > first || query + 32 > tile.length;
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const int column = 32 * half + n * 8 + lane % 4 * 2;
            const u32 number = numbers + 4 * (place * 2 * TOKENS + column);
            const float log[2] = {sharedFloat(number), sharedFloat(number + 4)};
            const float less[2] = {sharedFloat(number + 4 * TOKENS), sharedFloat(number + 4 * TOKENS + 4)};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int at = query + n * 8 + lane % 4 * 2 + i % 2, key = first + lane / 4 + i / 2 * 8;
                float bend;
                float weight = exp2Of(scoreOf(scores[n][i], of, bend) - log[i % 2]);
                if (masked && (at >= tile.length || !of.sees(at, key))) weight = 0.f;
                slopes[n][i] = weight * (slopes[n][i] - less[i % 2]) * bend;
                scores[n][i] = weight;
            }
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const u32 at = cellOf(0, row + lane / 4 + 8 * i, half * 4 + n) + lane % 4 * 4;
                putShared(p + at, bf16x2(scores[n][2 * i], scores[n][2 * i + 1]));
                putShared(s + at, bf16x2(slopes[n][2 * i], slopes[n][2 * i + 1]));
            }
        }
        publish();
        __syncthreads();
        if (step + 1 < all) fetchQueries(step + 1);
        multiplyMatrix(valueSums, p, row, outer, half * CHUNKS / 2);
        multiplyMatrix(keySums, s, row, queries, half * CHUNKS / 2);
    }
    bf16* to = gradients + (tile.start + tile.first) * stride + (heads + kvHead) * size;
    putRows(keySums, scale, scale, to, stride, row, tile.rows(), half * CHUNKS / 2, size);
    putRows(valueSums, 1.f, 1.f, to + kvHeads * size, stride, row, tile.rows(), half * CHUNKS / 2, size);
}
