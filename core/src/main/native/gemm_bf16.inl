// The products of gemm.inl with the products of pairs of bfloat16 numbers that AVX-512 BF16 has. Included inside the level's
// namespace.

using PairTile = void (*)(const bf16 *, int64_t, const bf16 *, int64_t, float *, int64_t);

/// sums[r][0..32) += the products of a row of pairs with a panel of pairs, for R rows.
template <int R>
inline void tile_of_pairs(const bf16 *a, int64_t stride, const bf16 *panel, int64_t pairs, float *sums, int64_t sum_stride) {
    __m512 low[R];
    __m512 high[R];
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
        low[r] = _mm512_loadu_ps(sums + r * sum_stride);
        high[r] = _mm512_loadu_ps(sums + r * sum_stride + 16);
    }
    for (int64_t pair = 0; pair < pairs; pair++) {
        __m512bh first = (__m512bh)_mm512_load_si512(panel + 64 * pair);
        __m512bh second = (__m512bh)_mm512_load_si512(panel + 64 * pair + 32);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
            int32_t both;
            std::memcpy(&both, a + r * stride + 2 * pair, sizeof both);
            __m512bh row = (__m512bh)_mm512_set1_epi32(both);
            low[r] = _mm512_dpbf16_ps(low[r], row, first);
            high[r] = _mm512_dpbf16_ps(high[r], row, second);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
        _mm512_storeu_ps(sums + r * sum_stride, low[r]);
        _mm512_storeu_ps(sums + r * sum_stride + 16, high[r]);
    }
}

template <int... R>
inline PairTile pair_tile(int64_t rows, std::integer_sequence<int, R...>) {
    static constexpr PairTile tiles[] = {tile_of_pairs<R + 1>...};
    return tiles[rows - 1];
}

/// Panels of bfloat16 numbers: a tile's columns side by side, pair after pair of terms.
struct PairPanels {
    using Number = bf16;
    static constexpr int64_t ROWS = 12;
    static constexpr int64_t COLUMNS = 32;
    static constexpr int64_t DEPTH = 1024;

    static auto tile_of(int64_t rows) { return pair_tile(rows, std::make_integer_sequence<int, 12>()); }
    static int64_t steps(int64_t depth) { return (depth + 1) / 2; }
    static int64_t numbers_of_tile(int64_t depth) { return 2 * COLUMNS * steps(depth); }
};

constexpr int64_t TILE_COLUMNS = PairPanels::COLUMNS;

inline __m512i block_table(const Codes &codes, __m512 table, int64_t weight) {
    float scale = codes.scale(weight >> codes.shift);
    return _mm512_broadcast_i64x4((__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(table, _mm512_set1_ps(scale))));
}

/// Pairs along the rows of the weight, its rows as columns of the panel; missing rows are zero.
inline void pack_code_rows(
    const Codes &codes, __m512 table, int64_t in, int64_t row, int64_t rows, int64_t column, int64_t width,
    bf16 *panel) {
    int64_t pairs = width / 2;
    for (int64_t group = 0; group < rows; group += 16) {
        // Two groups of 16 make the columns of a tile.
        bf16 *to = panel + group / TILE_COLUMNS * TILE_COLUMNS * width + (group & 16) * 2;
        for (int64_t at = 0; at < width; at += PAIR_BLOCK) {
            __m512i tables[16];
            for (int i = 0; i < 16; i++) {
                tables[i] = group + i < rows ? block_table(codes, table, (row + group + i) * in + column + at)
                                             : _mm512_setzero_si512();
            }
            for (int half = 0; half < PAIR_BLOCK; half += 32) {
                __m512i numbers[16];
                for (int i = 0; i < 16; i++) {
                    int64_t weight = (row + std::min<int64_t>(group + i, rows - 1)) * in + column + at + half;
                    numbers[i] = expanded(tables[i], codes.packed + (weight >> 1));
                }
                transpose(numbers);
                for (int i = 0; i < 16; i++) {
                    _mm512_store_si512(to + 64 * ((at + half) / 2 + i), numbers[i]);
                }
            }
        }
        if (group + 16 >= rows && (group & 16) == 0) {
            for (int64_t pair = 0; pair < pairs; pair++) {
                _mm512_store_si512(to + 32 + 64 * pair, _mm512_setzero_si512());
            }
        }
    }
}

/// Numbers of two rows in turn: the first sixteen of each.
inline __m512i interleave_low() {
    return _mm512_set_epi16(
        47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1,
        32, 0);
}

/// Pairs of neighbouring rows of the weight; its columns are the panel's.
inline void pack_code_columns(
    const Codes &codes, __m512 table, int64_t in, int64_t row, int64_t rows, int64_t column, int64_t width,
    bf16 *panel) {
    const __m512i low = interleave_low();
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    int64_t pairs = rows / 2;
    for (int64_t pair = 0; pair < pairs; pair++) {
        int64_t upper = (row + 2 * pair) * in + column;
        int64_t lower = upper + in;
        for (int64_t at = 0; at < width; at += TILE_COLUMNS) {
            __m512i a = expanded(block_table(codes, table, upper + at), codes.packed + ((upper + at) >> 1));
            __m512i b = expanded(block_table(codes, table, lower + at), codes.packed + ((lower + at) >> 1));
            bf16 *to = panel + 2 * at * pairs + 64 * pair;
            _mm512_store_si512(to, _mm512_permutex2var_epi16(a, low, b));
            _mm512_store_si512(to + 32, _mm512_permutex2var_epi16(a, high, b));
        }
    }
}

/// Rows of b, which has the depth along its rows, become columns of the panel; what is missing is zero.
inline void pack_dense_rows(
    const bf16 *b, int64_t stride, int64_t row, int64_t rows, int64_t at, int64_t depth, bf16 *panel) {
    int64_t pairs = (depth + 1) / 2;
    int64_t columns = (rows + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
    for (int64_t group = 0; group < columns; group += 16) {
        bf16 *to = panel + 2 * (group / TILE_COLUMNS * TILE_COLUMNS) * pairs + (group & 16) * 2;
        for (int64_t k = 0; k < depth; k += 32) {
            int64_t some = std::min<int64_t>(32, depth - k);
            __mmask32 mask = some == 32 ? ~__mmask32{0} : (__mmask32{1} << some) - 1;
            __m512i numbers[16];
            for (int i = 0; i < 16; i++) {
                numbers[i] = group + i < rows
                                 ? _mm512_maskz_loadu_epi16(mask, b + (row + group + i) * stride + at + k)
                                 : _mm512_setzero_si512();
            }
            transpose(numbers);
            for (int i = 0; i < (some + 1) / 2; i++) {
                _mm512_store_si512(to + 64 * (k / 2 + i), numbers[i]);
            }
        }
    }
}

/// Columns of b, which has the depth along its columns.
inline void pack_dense_columns(
    const bf16 *b, int64_t stride, int64_t column, int64_t width, int64_t at, int64_t depth, bf16 *panel) {
    const __m512i low = interleave_low();
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    int64_t pairs = (depth + 1) / 2;
    for (int64_t pair = 0; pair < pairs; pair++) {
        const bf16 *upper = b + (at + 2 * pair) * stride + column;
        bool both = 2 * pair + 1 < depth;
        for (int64_t i = 0; i < width; i += TILE_COLUMNS) {
            int64_t some = std::min<int64_t>(TILE_COLUMNS, width - i);
            __mmask32 mask = some == 32 ? ~__mmask32{0} : (__mmask32{1} << some) - 1;
            __m512i first = _mm512_maskz_loadu_epi16(mask, upper + i);
            __m512i second = both ? _mm512_maskz_loadu_epi16(mask, upper + stride + i) : _mm512_setzero_si512();
            bf16 *to = panel + 2 * i * pairs + 64 * pair;
            _mm512_store_si512(to, _mm512_permutex2var_epi16(first, low, second));
            _mm512_store_si512(to + 32, _mm512_permutex2var_epi16(first, high, second));
        }
    }
}

/// A left side whose rows are the columns of a matrix; a pair that lacks its second number gets a zero.
struct TurnedPairs {
    static constexpr bool COPIED = true;
    const bf16 *a;
    int64_t stride;

    void copy(int64_t row, int64_t rows, int64_t at, int64_t depth, bf16 *to, int64_t to_stride) const {
        const __m512i low = interleave_low();
        for (int64_t column = 0; column < rows; column += 16) {
            int64_t count = std::min<int64_t>(16, rows - column);
            __mmask32 mask = (__mmask32{1} << count) - 1;
            for (int64_t k = 0; k < depth; k += 32) {
                __m512i pairs[16];
                for (int i = 0; i < 16; i++) {
                    const bf16 *upper = a + (at + k + 2 * i) * stride + row + column;
                    int64_t rest = depth - k - 2 * i;
                    __m512i first = rest > 0 ? _mm512_maskz_loadu_epi16(mask, upper) : _mm512_setzero_si512();
                    __m512i second = rest > 1 ? _mm512_maskz_loadu_epi16(mask, upper + stride) : _mm512_setzero_si512();
                    pairs[i] = _mm512_permutex2var_epi16(first, low, second);
                }
                transpose(pairs);
                for (int64_t i = 0; i < count; i++) {
                    _mm512_storeu_si512(to + (column + i) * to_stride + k, pairs[i]);
                }
            }
        }
    }
};

/// Terms that come in pairs are multiplied as such, others one by one.
inline void pairs_by_rows(
    const bf16 *a, int64_t a_stride, const bf16 *b, int64_t b_stride, const bf16 *bias, bf16 *c, int64_t c_stride,
    int64_t rows, int64_t columns, int64_t depth, float scale, bool add, int threads) {
    if (depth % 2 != 0 || rows <= DOT_ROWS) {
        float_by_rows(a, a_stride, b, b_stride, bias, c, c_stride, rows, columns, depth, scale, add, threads);
        return;
    }
    auto pack = [&](int64_t column, int64_t width, int64_t at, int64_t terms, bf16 *panel) {
        pack_dense_rows(b, b_stride, column, width, at, terms, panel);
    };
    product<PairPanels>(
        InPlace<bf16>{a, a_stride}, rows, columns, depth, threads, pack,
        PutNumbers<bf16>{c, c_stride, bias, scale, add});
}

inline void pairs_by_columns(
    const bf16 *a, int64_t a_stride, const bf16 *b, int64_t b_stride, bf16 *c, int64_t c_stride, int64_t rows,
    int64_t columns, int64_t depth, float scale, bool add, int threads) {
    if (depth % 2 != 0) {
        float_by_columns(a, a_stride, b, b_stride, c, c_stride, rows, columns, depth, scale, add, threads);
        return;
    }
    auto pack = [&](int64_t column, int64_t width, int64_t at, int64_t terms, bf16 *panel) {
        pack_dense_columns(b, b_stride, column, width, at, terms, panel);
    };
    product<PairPanels>(
        InPlace<bf16>{a, a_stride}, rows, columns, depth, threads, pack,
        PutNumbers<bf16>{c, c_stride, nullptr, scale, add});
}

inline void pairs_add_columns(
    const bf16 *a, int64_t a_stride, const bf16 *b, int64_t b_stride, float *c, int64_t c_stride, int64_t rows,
    int64_t columns, int64_t depth, bool turned, int threads) {
    auto pack = [&](int64_t column, int64_t width, int64_t at, int64_t terms, bf16 *panel) {
        pack_dense_columns(b, b_stride, column, width, at, terms, panel);
    };
    product<PairPanels>(
        TurnedPairs{a, a_stride}, rows, columns, depth, threads, pack, AddSums{c, c_stride, turned});
}

/// Whole blocks of at least 64 weights that make a row are decoded as pairs.
inline void pairs_forward(
    const Codes &codes, int64_t in, int64_t out, const bf16 *x, int64_t x_stride, int64_t tokens, const bf16 *bias,
    bf16 *y, int64_t y_stride, bool add, int threads) {
    if (!pairs_fit(codes, in)) {
        float_forward(codes, in, out, x, x_stride, tokens, bias, y, y_stride, add, threads);
        return;
    }
    __m512 table = _mm512_loadu_ps(codes.table);
    auto pack = [&](int64_t row, int64_t rows, int64_t at, int64_t terms, bf16 *panel) {
        pack_code_rows(codes, table, in, row, rows, at, terms, panel);
    };
    product<PairPanels>(
        InPlace<bf16>{x, x_stride}, tokens, out, in, threads, pack, PutNumbers<bf16>{y, y_stride, bias, 1.0f, add});
}

inline void pairs_backward(
    const Codes &codes, int64_t in, int64_t out, const bf16 *dy, int64_t dy_stride, int64_t tokens, bf16 *dx,
    int64_t dx_stride, bool add, int threads) {
    if (!pairs_fit(codes, in) || out % 2 != 0) {
        float_backward(codes, in, out, dy, dy_stride, tokens, dx, dx_stride, add, threads);
        return;
    }
    __m512 table = _mm512_loadu_ps(codes.table);
    auto pack = [&](int64_t column, int64_t width, int64_t at, int64_t terms, bf16 *panel) {
        pack_code_columns(codes, table, in, at, terms, column, width, panel);
    };
    product<PairPanels>(
        InPlace<bf16>{dy, dy_stride}, tokens, in, out, threads, pack,
        PutNumbers<bf16>{dx, dx_stride, nullptr, 1.0f, add});
}
