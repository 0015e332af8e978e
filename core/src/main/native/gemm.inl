// Products of matrices, forward and backward. A panel of the right side, up to PANEL_COLUMNS columns and so many terms as a kind
// of panel says, is brought into the order in which it is multiplied and stays in the second cache while rows of the left side
// pass; sums are float32 and rounded once. Each number of a result is one sum in one order, however many threads there are.
// Included inside the level's namespace.

constexpr int64_t PANEL_COLUMNS = 128;
constexpr int64_t BLOCK_ROWS = 512;       // of the left side that pass a panel
constexpr int64_t COPIED_ROWS = 48;       // of the left side that are copied at a time, where they must be
constexpr int64_t PART_TERMS = 1 << 19;   // that a part of the work has at least

using Tile = void (*)(const float *, int64_t, const float *, int64_t, float *, int64_t);

/// sums[r][0..2 LANES) += the products of a row with a panel, for R rows.
template <int R>
inline void tile_of_floats(
    const float *a, int64_t stride, const float *panel, int64_t depth, float *sums, int64_t sum_stride) {
    Floats low[R];
    Floats high[R];
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
        low[r] = load(sums + r * sum_stride);
        high[r] = load(sums + r * sum_stride + LANES);
    }
    for (int64_t k = 0; k < depth; k++) {
        Floats first = load(panel + 2 * LANES * k);
        Floats second = load(panel + 2 * LANES * k + LANES);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
            Floats row = spread(a[r * stride + k]);
            low[r] = fused(row, first, low[r]);
            high[r] = fused(row, second, high[r]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
        store(sums + r * sum_stride, low[r]);
        store(sums + r * sum_stride + LANES, high[r]);
    }
}

template <int... R>
inline Tile float_tile(int64_t rows, std::integer_sequence<int, R...>) {
    static constexpr Tile tiles[] = {tile_of_floats<R + 1>...};
    return tiles[rows - 1];
}

/// Panels of float32 numbers: a tile's columns side by side, term after term.
struct FloatPanels {
    using Number = float;
    static constexpr int64_t ROWS = TILE_OF_FLOATS;
    static constexpr int64_t COLUMNS = 2 * LANES;
    static constexpr int64_t DEPTH = 512;

    static auto tile_of(int64_t rows) { return float_tile(rows, std::make_integer_sequence<int, TILE_OF_FLOATS>()); }
    static int64_t steps(int64_t depth) { return depth; }
    static int64_t numbers_of_tile(int64_t depth) { return COLUMNS * depth; }
};

/// Adds the products of all rows with a panel of so many columns.
template <typename Panels>
inline void multiply_panel(
    const typename Panels::Number *a, int64_t rows, int64_t stride, const typename Panels::Number *panel,
    int64_t columns, int64_t depth, float *sums) {
    int64_t steps = Panels::steps(depth);
    int64_t tile_numbers = Panels::numbers_of_tile(depth);
    for (int64_t row = 0; row < rows;) {
        // The last tiles share what is left, so that none is much smaller than the others.
        int64_t rest = rows - row;
        int64_t tiles = (rest + Panels::ROWS - 1) / Panels::ROWS;
        int64_t some = tiles > 2 ? Panels::ROWS : (rest + tiles - 1) / tiles;
        auto run = Panels::tile_of(some);
        for (int64_t column = 0; column < columns; column += Panels::COLUMNS) {
            run(a + row * stride, stride, panel + column / Panels::COLUMNS * tile_numbers, steps,
                sums + row * PANEL_COLUMNS + column, PANEL_COLUMNS);
        }
        row += some;
    }
}

/// A left side that is multiplied where it is.
template <typename Number>
struct InPlace {
    static constexpr bool COPIED = false;
    const Number *a;
    int64_t stride;
};

/// A left side of another type of numbers.
template <typename T>
struct Widened {
    static constexpr bool COPIED = true;
    const T *a;
    int64_t stride;

    void copy(int64_t row, int64_t rows, int64_t at, int64_t depth, float *to, int64_t to_stride) const {
        for (int64_t i = 0; i < rows; i++) {
            const T *from = a + (row + i) * stride + at;
            in_vectors(depth, [&](int64_t k, int64_t n) { put_some(to + i * to_stride + k, some(from + k, n), n); });
        }
    }
};

/// Transposes LANES lines of so many numbers, of which the lines from count on are zero, into vectors behind one another.
template <typename T>
inline void transpose_lines(
    const T *from, int64_t stride, int64_t count, int64_t length, float *to, int64_t to_stride) {
    for (int64_t k = 0; k < length; k += LANES) {
        int64_t n = std::min<int64_t>(LANES, length - k);
        Floats block[LANES];
        for (int i = 0; i < LANES; i++) {
            block[i] = i < count ? some(from + i * stride + k, n) : spread(0);
        }
        transpose(block);
        for (int64_t i = 0; i < n; i++) {
            store(to + (k + i) * to_stride, block[i]);
        }
    }
}

/// A left side whose rows are the columns of a matrix.
template <typename T>
struct Turned {
    static constexpr bool COPIED = true;
    const T *a;
    int64_t stride;

    void copy(int64_t row, int64_t rows, int64_t at, int64_t depth, float *to, int64_t to_stride) const {
        // A vector of terms for each row: the last one of a row may be longer than the depth, as to_stride is.
        for (int64_t k = 0; k < depth; k += LANES) {
            transpose_lines(
                a + (at + k) * stride + row, stride, std::min<int64_t>(LANES, depth - k), rows, to + k, to_stride);
        }
    }
};

/// Rows of b, which has the terms along its rows, become columns of the panel; what is missing is zero.
template <typename T>
inline void pack_rows(const T *b, int64_t stride, int64_t rows, int64_t depth, float *panel) {
    constexpr int64_t WIDTH = FloatPanels::COLUMNS;
    int64_t columns = (rows + WIDTH - 1) / WIDTH * WIDTH;
    for (int64_t row = 0; row < columns; row += LANES) {
        float *to = panel + row / WIDTH * WIDTH * depth + row % WIDTH;
        const T *from = b + std::min(row, rows) * stride;
        transpose_lines(from, stride, rows - row, depth, to, WIDTH);
    }
}

/// A row of b, which has the terms along its columns, becomes the panel's numbers of one term.
template <typename T>
inline void pack_term(const T *b, int64_t width, int64_t term, int64_t depth, float *panel) {
    constexpr int64_t WIDTH = FloatPanels::COLUMNS;
    int64_t columns = (width + WIDTH - 1) / WIDTH * WIDTH;
    for (int64_t column = 0; column < columns; column += LANES) {
        float *to = panel + column / WIDTH * WIDTH * depth + WIDTH * term + column % WIDTH;
        int64_t n = std::max<int64_t>(0, std::min<int64_t>(LANES, width - column));
        store(to, n == 0 ? spread(0) : some(b + column, n));
    }
}

/// Rows [first, first + rows) and columns [column, column + width) of a product of so many terms.
template <typename Panels, typename Left, typename Pack, typename Put>
inline void product_part(
    const Left &left, int64_t first, int64_t rows, int64_t column, int64_t width, int64_t depth, const Pack &pack,
    const Put &put) {
    using Number = typename Panels::Number;
    constexpr int64_t COPY_STRIDE = Panels::DEPTH + 64 / static_cast<int64_t>(sizeof(Number));
    constexpr size_t PANEL_BYTES = static_cast<size_t>(PANEL_COLUMNS * Panels::DEPTH) * sizeof(Number);
    constexpr size_t COPY_BYTES =
        Left::COPIED ? static_cast<size_t>((COPIED_ROWS + 1) * COPY_STRIDE) * sizeof(Number) : 0;
    unsigned char *room =
        room_of_thread(PANEL_BYTES + COPY_BYTES + static_cast<size_t>(rows * PANEL_COLUMNS) * sizeof(float));
    Number *panel = reinterpret_cast<Number *>(room);
    float *sums = reinterpret_cast<float *>(room + PANEL_BYTES + COPY_BYTES);
    std::fill(sums, sums + rows * PANEL_COLUMNS, 0.0f);
    int64_t columns = (width + Panels::COLUMNS - 1) / Panels::COLUMNS * Panels::COLUMNS;
    for (int64_t at = 0; at < depth; at += Panels::DEPTH) {
        int64_t terms = std::min(Panels::DEPTH, depth - at);
        pack(column, width, at, terms, panel);
        if constexpr (Left::COPIED) {
            Number *copy = reinterpret_cast<Number *>(room + PANEL_BYTES);
            for (int64_t row = 0; row < rows; row += COPIED_ROWS) {
                int64_t count = std::min(COPIED_ROWS, rows - row);
                left.copy(first + row, count, at, terms, copy, COPY_STRIDE);
                multiply_panel<Panels>(copy, count, COPY_STRIDE, panel, columns, terms, sums + row * PANEL_COLUMNS);
            }
        } else {
            multiply_panel<Panels>(
                left.a + first * left.stride + at, rows, left.stride, panel, columns, terms, sums);
        }
    }
    put(first, rows, column, width, sums);
}

/// Cuts a product into strips of columns and blocks of rows. pack(column, width, at, depth, panel) makes a panel,
/// put(row, rows, column, width, sums) takes sums away.
template <typename Panels, typename Left, typename Pack, typename Put>
inline void product(
    const Left &left, int64_t rows, int64_t columns, int64_t depth, int threads, const Pack &pack, const Put &put) {
    if (rows == 0 || columns == 0) {
        return;
    }
    int64_t tiles = (columns + Panels::COLUMNS - 1) / Panels::COLUMNS;
    int64_t bands = (rows + Panels::ROWS - 1) / Panels::ROWS;
    int64_t strips = (columns + PANEL_COLUMNS - 1) / PANEL_COLUMNS;
    int64_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    double terms = static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(depth);
    int64_t parts = static_cast<int64_t>(std::min(terms / PART_TERMS, 4.0 * threads));
    if (threads > 1 && strips * blocks < parts) {
        strips = std::min(tiles, (std::max(strips, parts / blocks) + threads - 1) / threads * threads);
        blocks = std::max(blocks, std::min((bands + 3) / 4, parts / strips));
    }
    parallel_parts(threads, strips * blocks, [&](int64_t part) {
        int64_t strip = part % strips;
        int64_t block = part / strips;
        int64_t column = tiles * strip / strips * Panels::COLUMNS;
        int64_t end = std::min(columns, tiles * (strip + 1) / strips * Panels::COLUMNS);
        int64_t row = bands * block / blocks * Panels::ROWS;
        int64_t last = std::min(rows, bands * (block + 1) / blocks * Panels::ROWS);
        if (row < last && column < end) {
            product_part<Panels>(left, row, last - row, column, end - column, depth, pack, put);
        }
    });
}

/// Sums times a factor with a bias become numbers of c, or are added to them.
template <typename T>
struct PutNumbers {
    T *c;
    int64_t stride;
    const T *bias;
    float scale;
    bool add;

    void operator()(int64_t row, int64_t rows, int64_t column, int64_t width, const float *sums) const {
        Floats factor = spread(scale);
        for (int64_t i = 0; i < rows; i++) {
            const float *from = sums + i * PANEL_COLUMNS;
            T *to = c + (row + i) * stride + column;
            in_vectors(width, [&](int64_t k, int64_t n) {
                Floats value = load(from + k) * factor;
                if (bias != nullptr) {
                    value = value + some(bias + column + k, n);
                }
                if (add) {
                    value = value + some(to + k, n);
                }
                put_some(to + k, value, n);
            });
        }
    }
};

/// Sums are added to float32 numbers, whose rows may be the columns of the product.
struct AddSums {
    float *c;
    int64_t stride;
    bool turned;

    void operator()(int64_t row, int64_t rows, int64_t column, int64_t width, const float *sums) const {
        if (!turned) {
            PutNumbers<float>{c, stride, nullptr, 1.0f, true}(row, rows, column, width, sums);
            return;
        }
        for (int64_t k = 0; k < width; k++) {
            float *to = c + (column + k) * stride + row;
            for (int64_t i = 0; i < rows; i++) {
                to[i] += sums[i * PANEL_COLUMNS + k];
            }
        }
    }
};

/// The left side as the panels of floats take it.
inline InPlace<float> as_left(const float *a, int64_t stride) { return {a, stride}; }
inline Widened<bf16> as_left(const bf16 *a, int64_t stride) { return {a, stride}; }

constexpr int64_t DOT_ROWS = 4;  // up to so many rows are multiplied without panels, which would not pay

/// c = scale · a bᵀ + bias, or that added to c, for few rows of a; b is read once.
template <typename T>
void dots_by_rows(
    const T *a, int64_t a_stride, const T *b, int64_t b_stride, const T *bias, T *c, int64_t c_stride, int64_t rows,
    int64_t columns, int64_t depth, float scale, bool add, int threads) {
    parallel(threads, columns, std::max<int64_t>(1, RANGE / std::max<int64_t>(1, depth)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            float start = bias == nullptr ? 0.0f : widen(bias[i]);
            for (int64_t row = 0; row < rows; row++) {
                put(dot(b + i * b_stride, a + row * a_stride, depth) * scale + start, add, c + row * c_stride + i);
            }
        }
    });
}

/// c = scale · a bᵀ + bias, or that added to c: a (rows, depth), b (columns, depth).
template <typename T>
void float_by_rows(
    const T *a, int64_t a_stride, const T *b, int64_t b_stride, const T *bias, T *c, int64_t c_stride, int64_t rows,
    int64_t columns, int64_t depth, float scale, bool add, int threads) {
    if (rows <= DOT_ROWS) {
        dots_by_rows(a, a_stride, b, b_stride, bias, c, c_stride, rows, columns, depth, scale, add, threads);
        return;
    }
    auto pack = [&](int64_t column, int64_t width, int64_t at, int64_t terms, float *panel) {
        pack_rows(b + column * b_stride + at, b_stride, width, terms, panel);
    };
    product<FloatPanels>(
        as_left(a, a_stride), rows, columns, depth, threads, pack, PutNumbers<T>{c, c_stride, bias, scale, add});
}

/// Makes panels of b (depth, columns).
template <typename T>
inline auto float_columns(const T *b, int64_t stride) {
    return [=](int64_t column, int64_t width, int64_t at, int64_t terms, float *panel) {
        for (int64_t term = 0; term < terms; term++) {
            pack_term(b + (at + term) * stride + column, width, term, terms, panel);
        }
    };
}

/// c = scale · a b, or that added to c: a (rows, depth), b (depth, columns).
template <typename T>
void float_by_columns(
    const T *a, int64_t a_stride, const T *b, int64_t b_stride, T *c, int64_t c_stride, int64_t rows, int64_t columns,
    int64_t depth, float scale, bool add, int threads) {
    product<FloatPanels>(
        as_left(a, a_stride), rows, columns, depth, threads, float_columns(b, b_stride),
        PutNumbers<T>{c, c_stride, nullptr, scale, add});
}

/// c += aᵀ b in float32: a (depth, rows), b (depth, columns); c is (rows, columns), or turned over (columns, rows).
template <typename T>
void float_add_columns(
    const T *a, int64_t a_stride, const T *b, int64_t b_stride, float *c, int64_t c_stride, int64_t rows,
    int64_t columns, int64_t depth, bool turned, int threads) {
    product<FloatPanels>(
        Turned<T>{a, a_stride}, rows, columns, depth, threads, float_columns(b, b_stride),
        AddSums{c, c_stride, turned});
}

/// y = x Wᵀ + bias, or that added to y, for a weight in codes.
template <typename T>
void float_forward(
    const Codes &codes, int64_t in, int64_t out, const T *x, int64_t x_stride, int64_t tokens, const T *bias, T *y,
    int64_t y_stride, bool add, int threads) {
    Table table = codes_of(codes.table);
    auto pack = [&](int64_t row, int64_t rows, int64_t at, int64_t terms, float *panel) {
        constexpr int64_t WIDTH = FloatPanels::COLUMNS;
        T numbers[LANES * FloatPanels::DEPTH];
        int64_t columns = (rows + WIDTH - 1) / WIDTH * WIDTH;
        for (int64_t group = 0; group < columns; group += LANES) {
            int64_t count = std::max<int64_t>(0, std::min<int64_t>(LANES, rows - group));
            for (int64_t i = 0; i < count; i++) {
                decode_range<T, false>(codes, table, (row + group + i) * in + at, terms, numbers + i * terms);
            }
            float *to = panel + group / WIDTH * WIDTH * terms + group % WIDTH;
            transpose_lines(numbers, terms, count, terms, to, WIDTH);
        }
    };
    product<FloatPanels>(
        as_left(x, x_stride), tokens, out, in, threads, pack, PutNumbers<T>{y, y_stride, bias, 1.0f, add});
}

/// dx = dy W, or that added to dx, for a weight in codes.
template <typename T>
void float_backward(
    const Codes &codes, int64_t in, int64_t out, const T *dy, int64_t dy_stride, int64_t tokens, T *dx,
    int64_t dx_stride, bool add, int threads) {
    Table table = codes_of(codes.table);
    auto pack = [&](int64_t column, int64_t width, int64_t at, int64_t terms, float *panel) {
        T numbers[PANEL_COLUMNS];
        for (int64_t term = 0; term < terms; term++) {
            decode_range<T, false>(codes, table, (at + term) * in + column, width, numbers);
            pack_term(numbers, width, term, terms, panel);
        }
    };
    product<FloatPanels>(
        as_left(dy, dy_stride), tokens, in, out, threads, pack, PutNumbers<T>{dx, dx_stride, nullptr, 1.0f, add});
}
