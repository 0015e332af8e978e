// Many rows times 4-bit weights with the products of pairs of bfloat16 numbers that AVX-512 BF16 has, forward and backward.
// A panel of the weight is decoded into the order in which it is multiplied and stays in the second cache while all rows of
// the input pass; sums are float32 and rounded once. Included inside the level's namespace.

constexpr int TILE_ROWS = 12;
constexpr int TILE_COLUMNS = 32;
constexpr int64_t PANEL_COLUMNS = 128;
constexpr int64_t PANEL_DEPTH = 1024;  // terms of the sums that a panel holds

/// sums[r][0..32) += the products of a row of pairs with a panel of pairs, for R rows.
template <int R>
inline void tile(const bf16 *a, int64_t stride, const bf16 *panel, int64_t pairs, float *sums, int64_t sum_stride) {
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

using Tile = void (*)(const bf16 *, int64_t, const bf16 *, int64_t, float *, int64_t);

inline Tile tile_of(int64_t rows) {
    static constexpr Tile tiles[] = {tile<1>, tile<2>, tile<3>, tile<4>,  tile<5>,  tile<6>,
                                     tile<7>, tile<8>, tile<9>, tile<10>, tile<11>, tile<12>};
    return tiles[rows - 1];
}

/// Adds the products of all rows with a panel of up to PANEL_COLUMNS columns.
inline void multiply_panel(
    const bf16 *a, int64_t rows, int64_t stride, const bf16 *panel, int64_t columns, int64_t pairs, float *sums) {
    for (int64_t row = 0; row < rows;) {
        // The last tiles share what is left, so that none is much smaller than the others.
        int64_t rest = rows - row;
        int64_t tiles = (rest + TILE_ROWS - 1) / TILE_ROWS;
        int64_t some = tiles > 2 ? TILE_ROWS : (rest + tiles - 1) / tiles;
        Tile run = tile_of(some);
        for (int64_t column = 0; column < columns; column += TILE_COLUMNS) {
            run(a + row * stride, stride, panel + 2 * column * pairs, pairs, sums + row * PANEL_COLUMNS + column,
                PANEL_COLUMNS);
        }
        row += some;
    }
}

/// Rows of sums become numbers of the result.
inline void put_sums(
    const float *sums, int64_t rows, int64_t columns, const bf16 *bias, bf16 *y, int64_t stride, bool add) {
    for (int64_t row = 0; row < rows; row++) {
        const float *from = sums + row * PANEL_COLUMNS;
        bf16 *to = y + row * stride;
        int64_t column = 0;
        for (; column + LANES <= columns; column += LANES) {
            Floats value = load(from + column);
            if (bias != nullptr) {
                value = value + load(bias + column);
            }
            if (add) {
                value = value + load(to + column);
            }
            store(to + column, value);
        }
        for (; column < columns; column++) {
            put(from[column] + (bias == nullptr ? 0.0f : widen(bias[column])), add, to + column);
        }
    }
}

inline void transpose(__m512i v[16]) {
    __m512i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        v[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        v[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        v[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    // Now v[4 g + c] holds in quarter q the column 4 q + c of rows 4 g to 4 g + 3.
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        __m512i a = _mm512_shuffle_i32x4(v[c], v[4 + c], 0x88);
        __m512i b = _mm512_shuffle_i32x4(v[c], v[4 + c], 0xdd);
        __m512i d = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0x88);
        __m512i e = _mm512_shuffle_i32x4(v[8 + c], v[12 + c], 0xdd);
        t[c] = _mm512_shuffle_i32x4(a, d, 0x88);
        t[8 + c] = _mm512_shuffle_i32x4(a, d, 0xdd);
        t[4 + c] = _mm512_shuffle_i32x4(b, e, 0x88);
        t[12 + c] = _mm512_shuffle_i32x4(b, e, 0xdd);
    }
    for (int i = 0; i < 16; i++) {
        v[i] = t[i];
    }
}

inline __m512i block_table(const Codes &codes, __m512 table, int64_t weight) {
    float scale = codes.scale(weight >> codes.shift);
    return _mm512_broadcast_i64x4((__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(table, _mm512_set1_ps(scale))));
}

/// Pairs along the rows of the weight, its rows as columns of the panel; missing rows are zero.
inline void pack_rows(
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
inline void pack_columns(
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

/// Memory of a thread for panels and sums.
struct PanelRoom {
    std::vector<uint8_t> bytes;
    bf16 *panel;
    float *sums;

    explicit PanelRoom(int64_t rows)
        : bytes(static_cast<size_t>(
              64 + PANEL_COLUMNS * PANEL_DEPTH * sizeof(bf16) + rows * PANEL_COLUMNS * sizeof(float))) {
        uintptr_t start = (reinterpret_cast<uintptr_t>(bytes.data()) + 63) & ~uintptr_t{63};
        panel = reinterpret_cast<bf16 *>(start);
        sums = reinterpret_cast<float *>(panel + PANEL_COLUMNS * PANEL_DEPTH);
    }
};

/// y = x Wᵀ + bias, or that added to y.
inline void multiply_panels(
    const Codes &codes, int64_t in, int64_t out, const bf16 *x, int64_t x_stride, int64_t tokens, const bf16 *bias,
    bf16 *y, int64_t y_stride, bool add, int threads) {
    __m512 table = _mm512_loadu_ps(codes.table);
    parallel(threads, out, TILE_COLUMNS, [&](int64_t begin, int64_t end) {
        PanelRoom room(tokens);
        for (int64_t row = begin; row < end; row += PANEL_COLUMNS) {
            int64_t rows = std::min(PANEL_COLUMNS, end - row);
            int64_t columns = (rows + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
            std::memset(room.sums, 0, static_cast<size_t>(tokens * PANEL_COLUMNS) * sizeof(float));
            for (int64_t at = 0; at < in; at += PANEL_DEPTH) {
                int64_t depth = std::min(PANEL_DEPTH, in - at);
                pack_rows(codes, table, in, row, rows, at, depth, room.panel);
                multiply_panel(x + at, tokens, x_stride, room.panel, columns, depth / 2, room.sums);
            }
            put_sums(room.sums, tokens, rows, bias == nullptr ? nullptr : bias + row, y + row, y_stride, add);
        }
    });
}

/// dx = dy W, or that added to dx.
inline void multiply_panels_back(
    const Codes &codes, int64_t in, int64_t out, const bf16 *dy, int64_t dy_stride, int64_t tokens, bf16 *dx,
    int64_t dx_stride, bool add, int threads) {
    __m512 table = _mm512_loadu_ps(codes.table);
    parallel(threads, in, PAIR_BLOCK, [&](int64_t begin, int64_t end) {
        PanelRoom room(tokens);
        for (int64_t column = begin; column < end; column += PANEL_COLUMNS) {
            int64_t width = std::min(PANEL_COLUMNS, end - column);
            std::memset(room.sums, 0, static_cast<size_t>(tokens * PANEL_COLUMNS) * sizeof(float));
            for (int64_t at = 0; at < out; at += PANEL_DEPTH) {
                int64_t depth = std::min(PANEL_DEPTH, out - at);
                pack_columns(codes, table, in, at, depth, column, width, room.panel);
                multiply_panel(dy + at, tokens, dy_stride, room.panel, width, depth / 2, room.sums);
            }
            put_sums(room.sums, tokens, width, nullptr, dx + column, dx_stride, add);
        }
    });
}
