// Products of many rows with low-rank factors in bfloat16, on tensor cores: each passes once over the one large operand, which
// is what it takes. Sums are in float32 and in a fixed order: a block adds up its warps' sums as a tree, and what several blocks
// have summed is added up by a kernel of its own.
//
// Letters: X (rows, width) is the large operand, L (rows, ranks) the low-rank product, F a factor. A has the ranks in its rows,
// (ranks, width); B in its columns, (width, ranks). Ranks come in tiles of 8, widths in segments of 32.
//
// A thread holds 8 numbers of a row that lie side by side, as one load brings them: thread t of four has the numbers from 8t on
// of a segment. Tensor cores want pairs of numbers 2t and 2t + 1; as a sum has no order, the four pairs of a thread are taken
// for four such pairs, and the numbers of the other operand are brought into the same order:
//
//     pair j of thread t: numbers 8t + 2j and 8t + 2j + 1        place s of pair j: number 8 (s / 2) + 2j + s % 2

constexpr int WARPS = 8;
constexpr int SEGMENT = 32;

// Tiles of 16 rows that a block takes when it makes L, as registers allow; LowRankLaunch.java counts with the same.
template <int NT> constexpr int ROW_TILES = NT <= 2 ? 4 : 2;
// Blocks on a multiprocessor at a time.
template <int NT> constexpr int RESIDENT = NT <= 4 ? 2 : 1;

struct alignas(16) Chunk { u32 v[4]; };
struct alignas(8) Pair { float x, y; };

// c += a b: 16 rows and 8 columns, sums over 16.
__device__ __forceinline__ void mma(float* c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// 8 by 8 numbers that lie in a warp as pairs of a row: the same as pairs of a column.
__device__ __forceinline__ u32 transposed(u32 pair) {
    u32 result;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(pair));
    return result;
}

__device__ __forceinline__ Chunk chunk(const bf16* from, bool there) {
    return there ? *reinterpret_cast<const Chunk*>(from) : Chunk{{0, 0, 0, 0}};
}

__device__ __forceinline__ u32 pairAt(const bf16* from, bool there) {
    return there ? *reinterpret_cast<const u32*>(from) : 0;
}

// What dropout leaves of the chunk whose place is `block`, without the factor on what stays.
__device__ __forceinline__ Chunk dropped(Chunk x, u32 block, const Draw& draw) {
    u32 words[4];
    philox(block, draw, words);
    const u32 threshold = draw.threshold << 16;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        if ((words[j] << 16) < threshold) x.v[j] &= 0xffff0000u;
        if (words[j] < threshold) x.v[j] &= 0x0000ffffu;
    }
    return x;
}

// The draws of up to three modules that share an input.
template <int MEMBERS>
struct Draws {
    u32 part, pass, key0, key1, threshold;
    u32 modules[3];
    __device__ __forceinline__ Draw of(int member) const {
        return Draw{part, modules[MEMBERS == 1 ? 0 : member], pass, key0, key1, threshold};
    }
};

// L = X Aᵀ; each member's ranks from what dropout leaves to it. A block takes MT · 16 rows; its warps take the segments in turn.
// splits > 1: each split of the width has sums of its own in `partial`, (splits, rows, ranks).
template <int MEMBERS, int TILES, bool DROP>
__device__ __forceinline__ void down(
        const bf16* x, i64 stride, const bf16* a, bf16* low, float* partial, int rows, int width, int splits, float scale0,
        float scale1, float scale2, const Draws<MEMBERS>& draws) {
    constexpr int NT = MEMBERS * TILES;
    constexpr int MT = ROW_TILES<NT>;
    constexpr int RANKS = NT * 8;
    __shared__ float sums[WARPS / 2][MT * NT * 4][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const int rowBlocks = (rows + MT * 16 - 1) / (MT * 16);
    const int split = blockIdx.x / rowBlocks;
    const int row0 = (blockIdx.x % rowBlocks) * MT * 16;
    const int segments = width / SEGMENT;
    const int each = (segments + splits - 1) / splits;
    const int end = min(segments, (split + 1) * each);
    float acc[MT][NT][4] = {};
    Chunk next[MT][2];
    Chunk factor[NT];
    int seg = split * each + warp;
    const auto fetch = [&](int from) {
#pragma unroll
        for (int m = 0; m < MT; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = row0 + m * 16 + half * 8 + g;
                next[m][half] = chunk(x + row * stride + from * SEGMENT + 8 * t, from < end && row < rows);
            }
        }
#pragma unroll
        for (int n = 0; n < NT; n++) {
            factor[n] = chunk(a + static_cast<i64>(n * 8 + g) * width + from * SEGMENT + 8 * t, from < end);
        }
    };
    fetch(seg);
    for (; seg < end; seg += WARPS) {
        Chunk now[MT][2], f[NT];
#pragma unroll
        for (int m = 0; m < MT; m++) now[m][0] = next[m][0], now[m][1] = next[m][1];
#pragma unroll
        for (int n = 0; n < NT; n++) f[n] = factor[n];
        fetch(seg + WARPS);
#pragma unroll
        for (int member = 0; member < MEMBERS; member++) {
            const Draw draw = draws.of(member);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                Chunk first = now[m][0], second = now[m][1];
                if (DROP) {
                    const u32 place = static_cast<u32>(row0 + m * 16 + g) * (width / 8) + seg * 4 + t;
                    first = dropped(first, place, draw);
                    second = dropped(second, place + width, draw);
                }
#pragma unroll
                for (int n = member * TILES; n < (member + 1) * TILES; n++) {
                    mma(acc[m][n], first.v[0], second.v[0], first.v[1], second.v[1], f[n].v[0], f[n].v[1]);
                    mma(acc[m][n], first.v[2], second.v[2], first.v[3], second.v[3], f[n].v[2], f[n].v[3]);
                }
            }
        }
    }
#pragma unroll
    for (int half = WARPS / 2; half > 0; half /= 2) {
        if (warp >= half && warp < 2 * half) {
#pragma unroll
            for (int i = 0; i < MT * NT * 4; i++) sums[warp - half][i][lane] = acc[i / (NT * 4)][i / 4 % NT][i % 4];
        }
        __syncthreads();
        if (warp < half) {
#pragma unroll
            for (int i = 0; i < MT * NT * 4; i++) acc[i / (NT * 4)][i / 4 % NT][i % 4] += sums[warp][i][lane];
        }
        __syncthreads();
    }
    if (warp > 0) return;
#pragma unroll
    for (int m = 0; m < MT; m++) {
#pragma unroll
        for (int n = 0; n < NT; n++) {
            const int member = n / TILES;
            const float scale = member == 0 ? scale0 : member == 1 ? scale1 : scale2;
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = row0 + m * 16 + half * 8 + g;
                if (row >= rows) continue;
                const float first = acc[m][n][2 * half], second = acc[m][n][2 * half + 1];
                const i64 at = static_cast<i64>(row) * RANKS + n * 8 + 2 * t;
                if (splits == 1) {
                    *reinterpret_cast<u32*>(low + at) = bf16x2(first * scale, second * scale);
                } else {
                    *reinterpret_cast<Pair*>(partial + static_cast<i64>(split) * rows * RANKS + at) = Pair{first, second};
                }
            }
        }
    }
}

// The gradient of a factor, Lᵀ X of a panel of rows, of which each panel has sums of its own in `partial`: (panels, ranks, width),
// or with IN_COLUMNS (panels, width, ranks). With IN_COLUMNS the same pass makes X B: the sums over the columns of a block are in
// `narrow`, (column blocks, rows, ranks).
// A warp takes SEGS segments of columns; CW warps lie side by side, the others behind one another in the rows.
template <int MEMBERS, int TILES, bool DROP, bool IN_COLUMNS>
__device__ __forceinline__ void gradient(
        const bf16* x, i64 stride, const bf16* low, int lowStride, const bf16* b, float* partial, float* narrow, int rows,
        int width, int panels, const Draws<MEMBERS>& draws) {
    constexpr int NT = MEMBERS * TILES;
    constexpr int RANKS = NT * 8;
    constexpr int SEGS = NT <= 4 ? 2 : 1;
    constexpr int CW = IN_COLUMNS ? WARPS : 2;
    constexpr int RW = WARPS / CW;
    constexpr int STEPS = NT <= 2 ? 2 : 1;
    constexpr int NARROW = STEPS * NT * 4;
    constexpr int BUFFERS = NT <= 4 ? 2 : 1;
    constexpr int SUMS = SEGS * 2 * NT * 4;
    __shared__ float sums[IN_COLUMNS ? BUFFERS * WARPS * NARROW : WARPS / 2 * SUMS][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const int columnBlocks = (width + CW * SEGS * SEGMENT - 1) / (CW * SEGS * SEGMENT);
    const int panel = blockIdx.x / columnBlocks, columnBlock = blockIdx.x % columnBlocks;
    const int column0 = (columnBlock * CW + warp % CW) * SEGS * SEGMENT;
    // Rows of a warp, a multiple of what it takes at a time.
    const int each = (rows + panels * RW * STEPS * 16 - 1) / (panels * RW * STEPS * 16) * STEPS * 16;
    const int first = (panel * RW + warp / CW) * each;
    const int end = min(rows, first + each);
    float acc[SEGS][2][NT][4] = {};
    u32 factor[SEGS][NT][4];
    if (IN_COLUMNS) {
#pragma unroll
        for (int s = 0; s < SEGS; s++) {
#pragma unroll
            for (int n = 0; n < NT; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const int column = column0 + s * SEGMENT + 8 * (g / 2) + 2 * j + g % 2;
                    factor[s][n][j] =
                            transposed(pairAt(b + static_cast<i64>(column) * RANKS + n * 8 + 2 * t, column < width));
                }
            }
        }
    }
    Chunk next[STEPS][SEGS][2];
    u32 nextLow[STEPS][NT][2];
    const auto fetch = [&](int from) {
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int row = from + step * 16 + half * 8 + g;
#pragma unroll
                for (int s = 0; s < SEGS; s++) {
                    const int column = column0 + s * SEGMENT + 8 * t;
                    next[step][s][half] = chunk(x + row * stride + column, row < end && column < width);
                }
#pragma unroll
                for (int n = 0; n < NT; n++) {
                    nextLow[step][n][half] = pairAt(low + static_cast<i64>(row) * lowStride + n * 8 + 2 * t, row < end);
                }
            }
        }
    };
    fetch(first);
    int buffer = 0;
    for (int row0 = first; row0 < end; row0 += STEPS * 16) {
        Chunk now[STEPS][SEGS][2];
        u32 l[STEPS][NT][2];
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
#pragma unroll
                for (int s = 0; s < SEGS; s++) now[step][s][half] = next[step][s][half];
#pragma unroll
                for (int n = 0; n < NT; n++) l[step][n][half] = transposed(nextLow[step][n][half]);
            }
        }
        fetch(row0 + STEPS * 16);
#pragma unroll
        for (int step = 0; step < STEPS; step++) {
#pragma unroll
            for (int s = 0; s < SEGS; s++) {
#pragma unroll
                for (int member = 0; member < MEMBERS; member++) {
                    Chunk upper = now[step][s][0], lower = now[step][s][1];
                    if (DROP) {
                        const Draw draw = draws.of(member);
                        const u32 place = static_cast<u32>(row0 + step * 16 + g) * (width / 8)
                                + (column0 + s * SEGMENT) / 8 + t;
                        upper = dropped(upper, place, draw);
                        lower = dropped(lower, place + width, draw);
                    }
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        upper.v[j] = transposed(upper.v[j]);
                        lower.v[j] = transposed(lower.v[j]);
                    }
#pragma unroll
                    for (int n = member * TILES; n < (member + 1) * TILES; n++) {
#pragma unroll
                        for (int p = 0; p < 2; p++) {
                            mma(acc[s][p][n], upper.v[2 * p], upper.v[2 * p + 1], lower.v[2 * p], lower.v[2 * p + 1],
                                l[step][n][0], l[step][n][1]);
                        }
                    }
                }
            }
        }
        if (IN_COLUMNS) {
            if (BUFFERS == 1) __syncthreads();
            float(*own)[32] = sums + (buffer * WARPS + warp) * NARROW;
#pragma unroll
            for (int step = 0; step < STEPS; step++) {
#pragma unroll
                for (int n = 0; n < NT; n++) {
                    float c[4] = {};
#pragma unroll
                    for (int s = 0; s < SEGS; s++) {
                        const Chunk upper = now[step][s][0], lower = now[step][s][1];
                        const u32* f = factor[s][n];
                        mma(c, upper.v[0], lower.v[0], upper.v[1], lower.v[1], f[0], f[1]);
                        mma(c, upper.v[2], lower.v[2], upper.v[3], lower.v[3], f[2], f[3]);
                    }
#pragma unroll
                    for (int i = 0; i < 4; i++) own[(step * NT + n) * 4 + i][lane] = c[i];
                }
            }
            __syncthreads();
            const float(*all)[32] = sums + buffer * WARPS * NARROW;
            for (int i = warp; i < NARROW; i += WARPS) {
                float sum = 0.f;
#pragma unroll
                for (int w = 0; w < WARPS; w++) sum += all[w * NARROW + i][lane];
                const int row = row0 + i / (NT * 4) * 16 + i % 4 / 2 * 8 + g;
                const int rank = i / 4 % NT * 8 + 2 * t + i % 2;
                if (row < end) narrow[(static_cast<i64>(columnBlock) * rows + row) * RANKS + rank] = sum;
            }
            buffer = (buffer + 1) % BUFFERS;
        }
    }
    if (RW > 1) {
#pragma unroll
        for (int half = RW / 2; half > 0; half /= 2) {
            const int group = warp / CW;
            if (group >= half && group < 2 * half) {
                float(*own)[32] = sums + ((group - half) * CW + warp % CW) * SUMS;
#pragma unroll
                for (int i = 0; i < SUMS; i++) own[i][lane] = acc[i / (8 * NT)][i / (4 * NT) % 2][i / 4 % NT][i % 4];
            }
            __syncthreads();
            if (group < half) {
                const float(*other)[32] = sums + (group * CW + warp % CW) * SUMS;
#pragma unroll
                for (int i = 0; i < SUMS; i++) acc[i / (8 * NT)][i / (4 * NT) % 2][i / 4 % NT][i % 4] += other[i][lane];
            }
            __syncthreads();
        }
        if (warp >= CW) return;
    }
    float* to = partial + static_cast<i64>(panel) * RANKS * width;
#pragma unroll
    for (int s = 0; s < SEGS; s++) {
#pragma unroll
        for (int p = 0; p < 2; p++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int column = column0 + s * SEGMENT + 8 * (g / 2) + 4 * p + 2 * half + g % 2;
                if (column >= width) continue;
#pragma unroll
                for (int n = 0; n < NT; n++) {
                    const int rank = n * 8 + 2 * t;
                    const float* c = acc[s][p][n] + 2 * half;
                    if (IN_COLUMNS) {
                        *reinterpret_cast<Pair*>(to + static_cast<i64>(column) * RANKS + rank) = Pair{c[0], c[1]};
                    } else {
                        to[static_cast<i64>(rank) * width + column] = c[0];
                        to[static_cast<i64>(rank + 1) * width + column] = c[1];
                    }
                }
            }
        }
    }
}

// Y = scale · L F, with F = A or, with IN_COLUMNS, Bᵀ; each member's part through its mask. A warp takes a segment of columns and
// a panel of rows.
template <int MEMBERS, int TILES, bool DROP, bool IN_COLUMNS>
__device__ __forceinline__ void up(
        const bf16* low, int lowStride, const bf16* factor, bf16* y, i64 stride, int rows, int width, int panels,
        float scale, const Draws<MEMBERS>& draws) {
    constexpr int NT = MEMBERS * TILES;
    constexpr int RANKS = NT * 8;
    constexpr int KT = (TILES + 1) / 2;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const int columnBlocks = (width + WARPS * SEGMENT - 1) / (WARPS * SEGMENT);
    const int column0 = (blockIdx.x % columnBlocks * WARPS + warp) * SEGMENT;
    const int each = (rows + panels * 16 - 1) / (panels * 16) * 16;
    const int first = blockIdx.x / columnBlocks * each;
    const int end = min(rows, first + each);
    if (column0 >= width) return;
    u32 f[MEMBERS][KT][4][2];
#pragma unroll
    for (int member = 0; member < MEMBERS; member++) {
#pragma unroll
        for (int k = 0; k < KT; k++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const bool there = 2 * k + half < TILES;
                const int rank = (member * TILES + 2 * k + half) * 8;
                if (IN_COLUMNS) {
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        const int column = column0 + 8 * (g / 2) + 2 * j + g % 2;
                        f[member][k][j][half] = pairAt(factor + static_cast<i64>(column) * RANKS + rank + 2 * t, there);
                    }
                } else {
                    const Chunk c = chunk(factor + static_cast<i64>(rank + g) * width + column0 + 8 * t, there);
#pragma unroll
                    for (int j = 0; j < 4; j++) f[member][k][j][half] = transposed(c.v[j]);
                }
            }
        }
    }
    u32 next[MEMBERS * KT][4];
    const auto fetch = [&](int from) {
#pragma unroll
        for (int i = 0; i < MEMBERS * KT; i++) {
#pragma unroll
            for (int part = 0; part < 4; part++) {
                const int row = from + part % 2 * 8 + g;
                const int tile = 2 * (i % KT) + part / 2;
                next[i][part] =
                        pairAt(low + static_cast<i64>(row) * lowStride + (i / KT * TILES + tile) * 8 + 2 * t,
                               row < end && tile < TILES);
            }
        }
    };
    fetch(first);
    for (int row0 = first; row0 < end; row0 += 16) {
        u32 l[MEMBERS * KT][4];
#pragma unroll
        for (int i = 0; i < MEMBERS * KT * 4; i++) l[i / 4][i % 4] = next[i / 4][i % 4];
        fetch(row0 + 16);
        float sum[4][4] = {};
#pragma unroll
        for (int member = 0; member < MEMBERS; member++) {
            u32 words[2][4];
            if (DROP) {
                const Draw draw = draws.of(member);
                const u32 place = static_cast<u32>(row0 + g) * (width / 8) + column0 / 8 + t;
                philox(place, draw, words[0]);
                philox(place + width, draw, words[1]);
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float c[4] = {};
#pragma unroll
                for (int k = 0; k < KT; k++) {
                    const u32* a = l[member * KT + k];
                    mma(c, a[0], a[1], a[2], a[3], f[member][k][j][0], f[member][k][j][1]);
                }
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    bool stays = true;
                    if (DROP) {
                        const u32 word = words[i / 2][j];
                        stays = (i % 2 == 0 ? word << 16 : word) >= draws.threshold << 16;
                    }
                    if (stays) sum[j][i] += c[i];
                }
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = row0 + half * 8 + g;
            if (row >= end) continue;
            Chunk out;
#pragma unroll
            for (int j = 0; j < 4; j++) out.v[j] = bf16x2(sum[j][2 * half] * scale, sum[j][2 * half + 1] * scale);
            *reinterpret_cast<Chunk*>(y + row * stride + column0 + 8 * t) = out;
        }
    }
}

// A gradient += scale · the sums of all panels.
extern "C" __global__ void __launch_bounds__(256) add_partial(
        const float* partial, float* sum, i64 count, int panels, float scale) {
    const i64 i = (static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x) * 4;
    if (i >= count) return;
    float total[4] = {};
    for (int p = 0; p < panels; p++) {
        struct alignas(16) Four { float v[4]; };
        const Four four = *reinterpret_cast<const Four*>(partial + p * count + i);
#pragma unroll
        for (int k = 0; k < 4; k++) total[k] += four.v[k];
    }
#pragma unroll
    for (int k = 0; k < 4; k++) sum[i + k] += total[k] * scale;
}

// L = scale · the sums of all splits, (splits, rows, ranks), into columns of a wider L. The scale is that of the member.
extern "C" __global__ void __launch_bounds__(256) narrow_partial(
        const float* partial, bf16* low, int lowStride, int rows, int ranks, int splits, int ranksOfMember, float scale0,
        float scale1, float scale2) {
    const i64 i = (static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x) * 2;
    const i64 count = static_cast<i64>(rows) * ranks;
    if (i >= count) return;
    float first = 0.f, second = 0.f;
    for (int s = 0; s < splits; s++) {
        const Pair pair = *reinterpret_cast<const Pair*>(partial + s * count + i);
        first += pair.x;
        second += pair.y;
    }
    const i64 row = i / ranks;
    const int rank = static_cast<int>(i - row * ranks);
    const int member = rank / ranksOfMember;
    const float scale = member == 0 ? scale0 : member == 1 ? scale1 : scale2;
    *reinterpret_cast<u32*>(low + row * lowStride + rank) = bf16x2(first * scale, second * scale);
}
