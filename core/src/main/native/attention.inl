// Causal attention of whole sequences, forward and backward (FlashAttention, Dao et al. 2022): scores are made for a panel of
// keys at a time and never kept. All sums are float32. Included inside the level's namespace.

constexpr int64_t KEYS = PANEL_COLUMNS;  // of a panel
constexpr int64_t QUERIES = 256;         // rows that pass a panel of keys at a time, of all heads that share it
constexpr int64_t BACK_QUERIES = 128;    // the same in a backward pass
constexpr int64_t MIN_TOKENS = 16;     // of a part

/// Numbers of a panel of so many columns and terms.
constexpr int64_t panel_numbers(int64_t columns, int64_t terms) {
    return (columns + FloatPanels::COLUMNS - 1) / FloatPanels::COLUMNS * FloatPanels::COLUMNS * terms;
}

inline int64_t panel_columns(int64_t columns) { return panel_numbers(columns, 1); }

/// Hands out working memory of a thread, piece after piece, each where 64 bytes begin.
struct Pieces {
    float *next;

    float *take(int64_t numbers) {
        float *piece = next;
        next += room_for(numbers);
        return piece;
    }

    static constexpr int64_t room_for(int64_t numbers) { return (numbers + 15) / 16 * 16; }
};

/// The heads of a sequence within rows of queries, keys and values.
template <typename T>
struct Heads {
    const SequenceShape &shape;
    const T *rows;

    const T *query(int64_t head, int64_t token) const { return rows + token * shape.stride + head * shape.size; }
    const T *key(int64_t head, int64_t token) const { return query(shape.heads + head, token); }
    const T *value(int64_t head, int64_t token) const { return query(shape.heads + shape.kv_heads + head, token); }
};

template <typename T>
inline void copy_numbers(const T *from, int64_t count, float factor, float *to) {
    Floats by = spread(factor);
    in_vectors(count, [&](int64_t at, int64_t n) { put_some(to + at, some(from + at, n) * by, n); });
}

template <typename T>
inline void pack_terms(const T *b, int64_t stride, int64_t width, int64_t terms, float *panel) {
    for (int64_t term = 0; term < terms; term++) {
        pack_term(b + term * stride, width, term, terms, panel);
    }
}

/// The largest of some numbers; what is no number does not count.
inline float peak_of(const float *from, int64_t count) {
    Floats peak = spread(-INFINITY);
    int64_t at = 0;
    for (; at + LANES <= count; at += LANES) {
        peak = larger(load(from + at), peak);
    }
    float result = largest(peak);
    for (; at < count; at++) {
        result = from[at] > result ? from[at] : result;
    }
    return result;
}

/// Scores become weights, e to their distance from the peak, and zero from the visible ones on; returns the sum.
inline float weigh(float *scores, int64_t visible, int64_t count, float peak) {
    Floats by = spread(peak);
    Floats all = spread(0);
    float sum = 0;
    in_vectors(visible, [&](int64_t at, int64_t n) {
        Floats weight = exponential(some(scores + at, n) - by);
        put_some(scores + at, weight, n);
        if (n == LANES) {
            all = all + weight;
        }
    });
    for (int64_t at = visible / LANES * LANES; at < visible; at++) {
        sum += scores[at];
    }
    std::fill(scores + visible, scores + count, 0.0f);
    return total(all) + sum;
}

/// Queries of the tokens [first, first + count) of all heads that share a head of keys: its rows are theirs, head by head.
template <typename T>
struct QueryBlock {
    const SequenceShape &shape;
    Heads<T> heads;
    int64_t kv_head, first, count, group;
    float *queries, *scores, *mixed, *keys, *values, *peaks, *sums;

    static int64_t numbers(const SequenceShape &shape, int64_t rows) {
        return Pieces::room_for(rows * shape.size) + 2 * rows * KEYS + Pieces::room_for(panel_numbers(KEYS, shape.size)) +
               Pieces::room_for(panel_numbers(shape.size, KEYS)) + 2 * Pieces::room_for(rows);
    }

    QueryBlock(const SequenceShape &shape, const T *rows, int64_t kv_head, int64_t first, int64_t count)
        : shape(shape), heads{shape, rows}, kv_head(kv_head), first(first), count(count),
          group(shape.heads / shape.kv_heads) {
        int64_t all = group * count;
        Pieces pieces{reinterpret_cast<float *>(
            room_of_thread(static_cast<size_t>(numbers(shape, all)) * sizeof(float)))};
        queries = pieces.take(all * shape.size);
        scores = pieces.take(all * KEYS);
        mixed = pieces.take(all * KEYS);
        keys = pieces.take(panel_numbers(KEYS, shape.size));
        values = pieces.take(panel_numbers(shape.size, KEYS));
        peaks = pieces.take(all);
        sums = pieces.take(all);
        for (int64_t row = 0; row < all; row++) {
            copy_numbers(heads.query(kv_head * group + row / count, first + row % count), shape.size, shape.scale,
                         queries + row * shape.size);
        }
        std::fill(mixed, mixed + all * KEYS, 0.0f);
        std::fill(peaks, peaks + all, -INFINITY);
        std::fill(sums, sums + all, 0.0f);
    }

    void pass(int64_t key) {
        int64_t n = std::min(KEYS, first + count - key);
        pack_rows(heads.key(kv_head, key), shape.stride, n, shape.size, keys);
        pack_terms(heads.value(kv_head, key), shape.stride, shape.size, n, values);
        int64_t skipped = std::max<int64_t>(0, key - first);  // tokens before the panel
        int64_t pieces = skipped == 0 ? 1 : group;
        int64_t rows = skipped == 0 ? group * count : count - skipped;
        for (int64_t piece = 0; piece < pieces; piece++) {
            int64_t row = piece * count + skipped;
            std::fill(scores + row * KEYS, scores + (row + rows) * KEYS, 0.0f);
            multiply_panel<FloatPanels>(
                queries + row * shape.size, rows, shape.size, keys, panel_columns(n), shape.size, scores + row * KEYS);
            for (int64_t i = row; i < row + rows; i++) {
                take_scores(i, std::min(n, first + i % count - key + 1), n);
            }
            multiply_panel<FloatPanels>(
                scores + row * KEYS, rows, KEYS, values, panel_columns(shape.size), n, mixed + row * KEYS);
        }
    }

    void take_scores(int64_t row, int64_t visible, int64_t n) {
        float *own = scores + row * KEYS;
        float peak = std::max(peaks[row], peak_of(own, visible));
        if (peak > peaks[row] && sums[row] != 0) {
            Floats factor = exponential(spread(peaks[row] - peak));
            float *sum = mixed + row * KEYS;
            in_vectors(shape.size, [&](int64_t at, int64_t k) { put_some(sum + at, some(sum + at, k) * factor, k); });
            float one[LANES];
            store(one, factor);
            sums[row] *= one[0];
        }
        peaks[row] = peak;
        sums[row] += weigh(own, visible, n, peak);
    }

    void put(T *y, float *logs) const {
        for (int64_t row = 0; row < group * count; row++) {
            int64_t head = kv_head * group + row / count;
            int64_t token = first + row % count;
            T *to = y + token * shape.heads * shape.size + head * shape.size;
            Floats factor = spread(1.0f / sums[row]);
            const float *from = mixed + row * KEYS;
            in_vectors(shape.size, [&](int64_t at, int64_t n) { put_some(to + at, some(from + at, n) * factor, n); });
            logs[head * shape.tokens + token] = peaks[row] + std::log(sums[row]);
        }
    }
};

/// y (batch, tokens, heads, size); logs (batch, heads, tokens): the logarithm of the sum of a query's weights.
template <typename T>
void attend_sequences(const SequenceShape &shape, const T *qkv, T *y, float *logs, int threads) {
    int64_t block = std::max(MIN_TOKENS, QUERIES * shape.kv_heads / shape.heads);
    int64_t blocks = (shape.tokens + block - 1) / block;
    int64_t lines = shape.batch * shape.kv_heads;
    parallel_parts(threads, lines * blocks, [&](int64_t part) {
        // Those that see most first, so that the last parts are short.
        int64_t first = (blocks - 1 - part / lines) * block;
        int64_t batch = part % lines / shape.kv_heads;
        QueryBlock<T> queries(
            shape, qkv + batch * shape.tokens * shape.stride, part % shape.kv_heads, first,
            std::min(block, shape.tokens - first));
        for (int64_t key = 0; key < first + queries.count; key += KEYS) {
            queries.pass(key);
        }
        queries.put(y + batch * shape.tokens * shape.heads * shape.size, logs + batch * shape.heads * shape.tokens);
    });
}

/// The gradients of one head of queries; those of its keys and values are its own share.
template <typename T>
struct HeadBack {
    const SequenceShape &shape;
    Heads<T> heads;
    int64_t head, kv_head;
    const float *logs;
    float *queries, *gradients, *inner, *query_sums, *weights, *slopes, *turned, *keys, *values, *key_terms, *terms;
    float *key_sums, *value_sums;

    static int64_t numbers(const SequenceShape &shape) {
        int64_t wide = Pieces::room_for(panel_numbers(shape.size, BACK_QUERIES));
        return 2 * Pieces::room_for(shape.tokens * shape.size) + Pieces::room_for(shape.tokens) +
               shape.tokens * KEYS + 3 * BACK_QUERIES * KEYS + 2 * Pieces::room_for(panel_numbers(KEYS, shape.size)) +
               Pieces::room_for(panel_numbers(shape.size, KEYS)) + wide + 2 * KEYS * KEYS;
    }

    HeadBack(const SequenceShape &shape, const T *rows, int64_t head, const T *y, const T *dy, const float *logs)
        : shape(shape), heads{shape, rows}, head(head), kv_head(head * shape.kv_heads / shape.heads), logs(logs) {
        Pieces pieces{
            reinterpret_cast<float *>(room_of_thread(static_cast<size_t>(numbers(shape)) * sizeof(float)))};
        queries = pieces.take(shape.tokens * shape.size);
        gradients = pieces.take(shape.tokens * shape.size);
        inner = pieces.take(shape.tokens);
        query_sums = pieces.take(shape.tokens * KEYS);
        weights = pieces.take(BACK_QUERIES * KEYS);
        slopes = pieces.take(BACK_QUERIES * KEYS);
        turned = pieces.take(BACK_QUERIES * KEYS);
        keys = pieces.take(panel_numbers(KEYS, shape.size));
        values = pieces.take(panel_numbers(KEYS, shape.size));
        key_terms = pieces.take(panel_numbers(shape.size, KEYS));
        terms = pieces.take(panel_numbers(shape.size, BACK_QUERIES));
        key_sums = pieces.take(KEYS * KEYS);
        value_sums = pieces.take(KEYS * KEYS);
        for (int64_t token = 0; token < shape.tokens; token++) {
            int64_t place = (token * shape.heads + head) * shape.size;
            copy_numbers(heads.query(head, token), shape.size, shape.scale, queries + token * shape.size);
            copy_numbers(dy + place, shape.size, 1.0f, gradients + token * shape.size);
            inner[token] = dot(y + place, dy + place, shape.size);
        }
        std::fill(query_sums, query_sums + shape.tokens * KEYS, 0.0f);
    }

    /// A panel of keys with all queries that see it; dk and dv (tokens, size).
    void pass(int64_t key, float *dk, float *dv) {
        int64_t size = shape.size;
        int64_t n = std::min(KEYS, shape.tokens - key);
        pack_rows(heads.key(kv_head, key), shape.stride, n, size, keys);
        pack_rows(heads.value(kv_head, key), shape.stride, n, size, values);
        pack_terms(heads.key(kv_head, key), shape.stride, size, n, key_terms);
        std::fill(key_sums, key_sums + n * KEYS, 0.0f);
        std::fill(value_sums, value_sums + n * KEYS, 0.0f);
        for (int64_t token = key; token < shape.tokens; token += BACK_QUERIES) {
            int64_t rows = std::min(BACK_QUERIES, shape.tokens - token);
            weigh_again(token, rows, key, n);
            multiply_panel<FloatPanels>(
                slopes, rows, KEYS, key_terms, panel_columns(size), n, query_sums + token * KEYS);
            gather(weights, rows, n, gradients + token * size, value_sums);
            gather(slopes, rows, n, queries + token * size, key_sums);
        }
        for (int64_t i = 0; i < n; i++) {
            std::copy(key_sums + i * KEYS, key_sums + i * KEYS + size, dk + (key + i) * size);
            std::copy(value_sums + i * KEYS, value_sums + i * KEYS + size, dv + (key + i) * size);
        }
    }

    /// Weights and the gradients of scores of some queries with a panel of keys.
    void weigh_again(int64_t token, int64_t rows, int64_t key, int64_t n) {
        int64_t size = shape.size;
        std::fill(weights, weights + rows * KEYS, 0.0f);
        std::fill(slopes, slopes + rows * KEYS, 0.0f);
        multiply_panel<FloatPanels>(queries + token * size, rows, size, keys, panel_columns(n), size, weights);
        multiply_panel<FloatPanels>(gradients + token * size, rows, size, values, panel_columns(n), size, slopes);
        for (int64_t i = 0; i < rows; i++) {
            int64_t visible = std::min(n, token + i - key + 1);
            float *weight = weights + i * KEYS;
            float *slope = slopes + i * KEYS;
            weigh(weight, visible, n, logs[token + i]);
            Floats less = spread(inner[token + i]);
            in_vectors(n, [&](int64_t at, int64_t k) {
                put_some(slope + at, some(weight + at, k) * (some(slope + at, k) - less), k);
            });
            std::fill(slope + visible, slope + n, 0.0f);
        }
    }

    /// sums (n, size) += the transposed matrix (rows, n) times numbers (rows, size).
    void gather(const float *matrix, int64_t rows, int64_t n, const float *numbers, float *sums) {
        Turned<float>{matrix, KEYS}.copy(0, n, 0, rows, turned, BACK_QUERIES);
        pack_terms(numbers, shape.size, shape.size, rows, terms);
        multiply_panel<FloatPanels>(turned, n, BACK_QUERIES, terms, panel_columns(shape.size), rows, sums);
    }
};

/// The gradients of queries, keys and values, which may take their places. room: 2 · batch · heads · tokens · size numbers.
template <typename T>
void attend_sequences_back(
    const SequenceShape &shape, const T *qkv, const T *y, const T *dy, const float *logs, T *gradients, float *room,
    int threads) {
    int64_t head_numbers = shape.tokens * shape.size;
    int64_t row_numbers = shape.heads * shape.size;
    float *values = room + shape.batch * shape.heads * head_numbers;
    parallel_parts(threads, shape.batch * shape.heads, [&](int64_t part) {
        int64_t batch = part / shape.heads;
        int64_t head = part % shape.heads;
        int64_t start = batch * shape.tokens;
        HeadBack<T> back(
            shape, qkv + start * shape.stride, head, y + start * row_numbers, dy + start * row_numbers,
            logs + part * shape.tokens);
        for (int64_t key = 0; key < shape.tokens; key += KEYS) {
            back.pass(key, room + part * head_numbers, values + part * head_numbers);
        }
        for (int64_t token = 0; token < shape.tokens; token++) {
            T *to = gradients + (start + token) * shape.stride + head * shape.size;
            Floats factor = spread(shape.scale);
            const float *from = back.query_sums + token * KEYS;
            in_vectors(shape.size, [&](int64_t at, int64_t n) { put_some(to + at, some(from + at, n) * factor, n); });
        }
    });
    // Heads of queries that share keys and values add up, when nobody reads those any more.
    int64_t group = shape.heads / shape.kv_heads;
    int64_t rows = shape.batch * shape.tokens;
    parallel(threads, rows, std::max<int64_t>(1, RANGE / (2 * row_numbers)), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            for (int64_t head = 0; head < 2 * shape.kv_heads; head++) {
                const float *from = (head < shape.kv_heads ? room : values) +
                                    (row / shape.tokens * shape.heads + head % shape.kv_heads * group) * head_numbers +
                                    row % shape.tokens * shape.size;
                T *to = gradients + row * shape.stride + (shape.heads + head) * shape.size;
                in_vectors(shape.size, [&](int64_t at, int64_t n) {
                    Floats sum = some(from + at, n);
                    for (int64_t i = 1; i < group; i++) {
                        sum = sum + some(from + i * head_numbers + at, n);
                    }
                    put_some(to + at, sum, n);
                });
            }
        }
    });
}
