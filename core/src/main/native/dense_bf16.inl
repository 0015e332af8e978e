// Products of dense bfloat16 matrices on the panels of gemm_bf16.inl, for shapes that libraries are slow at: one of the sides
// is a rank of sixteen or so. Included inside the level's namespace.

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

/// Rows [first, last) times columns [begin, end): a has pairs along its rows; pack makes a panel, put takes sums away.
template <typename Pack, typename Put>
inline void dense_part(
    const bf16 *a, int64_t stride, int64_t first, int64_t last, int64_t begin, int64_t end, int64_t depth,
    PanelRoom &room, const Pack &pack, const Put &put) {
    int64_t rows = last - first;
    for (int64_t column = begin; column < end; column += PANEL_COLUMNS) {
        int64_t width = std::min(PANEL_COLUMNS, end - column);
        int64_t columns = (width + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
        std::memset(room.sums, 0, static_cast<size_t>(rows * PANEL_COLUMNS) * sizeof(float));
        for (int64_t at = 0; at < depth; at += PANEL_DEPTH) {
            int64_t some = std::min(PANEL_DEPTH, depth - at);
            pack(column, width, at, some, room.panel);
            multiply_panel(a + first * stride + at, rows, stride, room.panel, columns, (some + 1) / 2, room.sums);
        }
        put(first, rows, column, width, room.sums);
    }
}

template <typename Pack, typename Put>
inline void dense_product(
    const bf16 *a, int64_t stride, int64_t rows, int64_t columns, int64_t depth, int threads, const Pack &pack,
    const Put &put) {
    if (columns >= rows) {
        parallel(threads, columns, TILE_COLUMNS, [&](int64_t begin, int64_t end) {
            PanelRoom room(rows);
            dense_part(a, stride, 0, rows, begin, end, depth, room, pack, put);
        });
    } else {
        parallel(threads, rows, TILE_ROWS, [&](int64_t begin, int64_t end) {
            PanelRoom room(end - begin);
            dense_part(a, stride, begin, end, 0, columns, depth, room, pack, put);
        });
    }
}

/// Where sums become bfloat16 numbers.
struct PutScaled {
    bf16 *c;
    int64_t stride;
    float scale;

    void operator()(int64_t row, int64_t rows, int64_t column, int64_t width, const float *sums) const {
        Floats factor = spread(scale);
        for (int64_t i = 0; i < rows; i++) {
            const float *from = sums + i * PANEL_COLUMNS;
            bf16 *to = c + (row + i) * stride + column;
            int64_t k = 0;
            for (; k + LANES <= width; k += LANES) {
                store(to + k, load(from + k) * factor);
            }
            for (; k < width; k++) {
                narrow(from[k] * scale, to[k]);
            }
        }
    }
};

/// c = scale · a bᵀ: a (rows, depth), b (columns, depth), the depth even.
inline void rows_by_rows(
    const bf16 *a, int64_t a_stride, const bf16 *b, int64_t b_stride, bf16 *c, int64_t c_stride, int64_t rows,
    int64_t columns, int64_t depth, float scale, int threads) {
    auto pack = [&](int64_t column, int64_t width, int64_t at, int64_t some, bf16 *panel) {
        pack_dense_rows(b, b_stride, column, width, at, some, panel);
    };
    dense_product(a, a_stride, rows, columns, depth, threads, pack, PutScaled{c, c_stride, scale});
}

/// c = scale · a b: a (rows, depth), b (depth, columns), the depth even.
inline void rows_by_columns(
    const bf16 *a, int64_t a_stride, const bf16 *b, int64_t b_stride, bf16 *c, int64_t c_stride, int64_t rows,
    int64_t columns, int64_t depth, float scale, int threads) {
    auto pack = [&](int64_t column, int64_t width, int64_t at, int64_t some, bf16 *panel) {
        pack_dense_columns(b, b_stride, column, width, at, some, panel);
    };
    dense_product(a, a_stride, rows, columns, depth, threads, pack, PutScaled{c, c_stride, scale});
}

/// c += aᵀ b in float32: a (depth, rows) with few columns, b (depth, columns); c is (rows, columns), or turned over
/// (columns, rows).
inline void add_columns_by_columns(
    const bf16 *a, int64_t a_stride, const bf16 *b, int64_t b_stride, float *c, int64_t c_stride, int64_t rows,
    int64_t columns, int64_t depth, bool turned, int threads) {
    int64_t even = (depth + 1) / 2 * 2;
    std::vector<bf16> left(static_cast<size_t>(rows * even), bf16{0});
    for (int64_t k = 0; k < depth; k++) {
        for (int64_t row = 0; row < rows; row++) {
            left[static_cast<size_t>(row * even + k)] = a[k * a_stride + row];
        }
    }
    auto pack = [&](int64_t column, int64_t width, int64_t at, int64_t some, bf16 *panel) {
        pack_dense_columns(b, b_stride, column, width, at, std::min(some, depth - at), panel);
    };
    auto put = [&](int64_t row, int64_t some, int64_t column, int64_t width, const float *sums) {
        for (int64_t i = 0; i < some; i++) {
            const float *from = sums + i * PANEL_COLUMNS;
            for (int64_t k = 0; k < width; k++) {
                c[turned ? (column + k) * c_stride + row + i : (row + i) * c_stride + column + k] += from[k];
            }
        }
    };
    dense_product(left.data(), even, rows, columns, even, threads, pack, put);
}
