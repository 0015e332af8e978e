// Causal attention of whole sequences, forward and backward (FlashAttention, Dao et al. 2022), with windows and soft-capped
// scores: scores are made for a panel of keys at a time and never kept. All sums are float32. Channels of a head go in planes of as
// many as a panel has columns. Included inside the level's namespace.

constexpr int64_t KEYS = PANEL_COLUMNS;  // of a panel
constexpr int64_t QUERIES = 256;         // rows that pass a panel of keys at a time, of all heads that share it
constexpr int64_t BACK_QUERIES = 128;    // the same in a backward pass
constexpr int64_t MIN_TOKENS = 16;     // of a part

/// Calls work(plane, first channel, channels) for each plane of a head.
template <typename Work>
inline void in_planes(int64_t size, const Work &work) {
    for (int64_t first = 0, plane = 0; first < size; first += PANEL_COLUMNS, plane++) {
        work(plane, first, std::min(PANEL_COLUMNS, size - first));
    }
}

inline int64_t planes_of(int64_t size) { return (size + PANEL_COLUMNS - 1) / PANEL_COLUMNS; }

/// Columns of a panel of keys that a query sees.
struct Seen {
    int64_t begin, end;

    Seen(const SequenceShape &shape, int64_t query, int64_t key, int64_t keys)
        : begin(shape.window == 0 ? 0 : std::max<int64_t>(0, query - shape.window + 1 - key)),
          end(std::min(keys, query - key + 1)) {}

    bool empty() const { return begin >= end; }
    int64_t count() const { return end - begin; }
};

/// The first key that any query from this one on sees, and behind the last query that sees a key up to this one.
inline int64_t first_key(const SequenceShape &shape, int64_t query) {
    return shape.window == 0 ? 0 : std::max<int64_t>(0, query - shape.window + 1);
}
inline int64_t end_of_queries(const SequenceShape &shape, int64_t key) {
    return shape.window == 0 ? shape.tokens : std::min(shape.tokens, key + shape.window);
}

/// Scores become cap tanh(score / cap); slopes, if there are any, get the derivative.
inline void bend_scores(float *scores, int64_t count, float cap, float *slopes) {
    in_vectors(count, [&](int64_t at, int64_t n) {
        Floats twice = some(scores + at, n) * spread(2 / cap);
        Floats bent = spread(1) - spread(2) / (spread(1) + exponential(twice));
        put_some(scores + at, bent * spread(cap), n);
        if (slopes) {
            put_some(slopes + at, spread(1) - bent * bent, n);
        }
    });
}

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

    static constexpr int64_t VALUES = panel_numbers(PANEL_COLUMNS, KEYS);  // of a plane

    static int64_t numbers(const SequenceShape &shape, int64_t rows) {
        int64_t planes = planes_of(shape.size);
        return Pieces::room_for(rows * shape.size) + (1 + planes) * rows * KEYS +
               Pieces::room_for(panel_numbers(KEYS, shape.size)) + planes * VALUES + 2 * Pieces::room_for(rows);
    }

    QueryBlock(const SequenceShape &shape, const T *rows, int64_t kv_head, int64_t first, int64_t count)
        : shape(shape), heads{shape, rows}, kv_head(kv_head), first(first), count(count),
          group(shape.heads / shape.kv_heads) {
        int64_t all = group * count;
        int64_t planes = planes_of(shape.size);
        Pieces pieces{reinterpret_cast<float *>(
            room_of_thread(static_cast<size_t>(numbers(shape, all)) * sizeof(float)))};
        queries = pieces.take(all * shape.size);
        scores = pieces.take(all * KEYS);
        mixed = pieces.take(planes * all * KEYS);
        keys = pieces.take(panel_numbers(KEYS, shape.size));
        values = pieces.take(planes * VALUES);
        peaks = pieces.take(all);
        sums = pieces.take(all);
        for (int64_t row = 0; row < all; row++) {
            copy_numbers(heads.query(kv_head * group + row / count, first + row % count), shape.size, shape.scale,
                         queries + row * shape.size);
        }
        std::fill(mixed, mixed + planes * all * KEYS, 0.0f);
        std::fill(peaks, peaks + all, -INFINITY);
        std::fill(sums, sums + all, 0.0f);
    }

    void pass(int64_t key) {
        int64_t n = std::min(KEYS, first + count - key);
        pack_rows(heads.key(kv_head, key), shape.stride, n, shape.size, keys);
        in_planes(shape.size, [&](int64_t plane, int64_t channel, int64_t width) {
            pack_terms(heads.value(kv_head, key) + channel, shape.stride, width, n, values + plane * VALUES);
        });
        int64_t skipped = std::max<int64_t>(0, key - first);  // tokens before the panel
        int64_t pieces = skipped == 0 ? 1 : group;
        int64_t rows = skipped == 0 ? group * count : count - skipped;
        for (int64_t piece = 0; piece < pieces; piece++) {
            int64_t row = piece * count + skipped;
            std::fill(scores + row * KEYS, scores + (row + rows) * KEYS, 0.0f);
            multiply_panel<FloatPanels>(
                queries + row * shape.size, rows, shape.size, keys, panel_columns(n), shape.size, scores + row * KEYS);
            for (int64_t i = row; i < row + rows; i++) {
                take_scores(i, Seen(shape, first + i % count, key, n), n);
            }
            in_planes(shape.size, [&](int64_t plane, int64_t, int64_t width) {
                multiply_panel<FloatPanels>(
                    scores + row * KEYS, rows, KEYS, values + plane * VALUES, panel_columns(width), n,
                    mixed_of(plane, row));
            });
        }
    }

    float *mixed_of(int64_t plane, int64_t row) const { return mixed + (plane * group * count + row) * KEYS; }

    void take_scores(int64_t row, Seen seen, int64_t n) {
        float *own = scores + row * KEYS;
        if (seen.empty()) {
            std::fill(own, own + n, 0.0f);
            return;
        }
        std::fill(own, own + seen.begin, 0.0f);
        own += seen.begin;
        if (shape.cap != 0) {
            bend_scores(own, seen.count(), shape.cap, nullptr);
        }
        float peak = std::max(peaks[row], peak_of(own, seen.count()));
        if (peak > peaks[row] && sums[row] != 0) {
            Floats factor = exponential(spread(peaks[row] - peak));
            in_planes(shape.size, [&](int64_t plane, int64_t, int64_t width) {
                float *sum = mixed_of(plane, row);
                in_vectors(width, [&](int64_t at, int64_t k) { put_some(sum + at, some(sum + at, k) * factor, k); });
            });
            float one[LANES];
            store(one, factor);
            sums[row] *= one[0];
        }
        peaks[row] = peak;
        sums[row] += weigh(own, seen.count(), n - seen.begin, peak);
    }

    void put(T *y, float *logs) const {
        for (int64_t row = 0; row < group * count; row++) {
            int64_t head = kv_head * group + row / count;
            int64_t token = first + row % count;
            T *to = y + token * shape.heads * shape.size + head * shape.size;
            Floats factor = spread(1.0f / sums[row]);
            in_planes(shape.size, [&](int64_t plane, int64_t channel, int64_t width) {
                const float *from = mixed_of(plane, row);
                in_vectors(width, [&](int64_t at, int64_t n) {
                    put_some(to + channel + at, some(from + at, n) * factor, n);
                });
            });
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
        for (int64_t key = first_key(shape, first) / KEYS * KEYS; key < first + queries.count; key += KEYS) {
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

    static constexpr int64_t TERMS = panel_numbers(PANEL_COLUMNS, BACK_QUERIES);  // of a plane of queries
    static constexpr int64_t KEY_TERMS = panel_numbers(PANEL_COLUMNS, KEYS);       // of a plane of keys

    static int64_t numbers(const SequenceShape &shape) {
        return 2 * Pieces::room_for(shape.tokens * shape.size) + Pieces::room_for(shape.tokens) +
               3 * BACK_QUERIES * KEYS + 2 * Pieces::room_for(panel_numbers(KEYS, shape.size)) + TERMS +
               planes_of(shape.size) * (shape.tokens * KEYS + KEY_TERMS + 2 * KEYS * KEYS);
    }

    HeadBack(const SequenceShape &shape, const T *rows, int64_t head, const T *y, const T *dy, const float *logs)
        : shape(shape), heads{shape, rows}, head(head), kv_head(head * shape.kv_heads / shape.heads), logs(logs) {
        Pieces pieces{
            reinterpret_cast<float *>(room_of_thread(static_cast<size_t>(numbers(shape)) * sizeof(float)))};
        queries = pieces.take(shape.tokens * shape.size);
        gradients = pieces.take(shape.tokens * shape.size);
        inner = pieces.take(shape.tokens);
        int64_t planes = planes_of(shape.size);
        query_sums = pieces.take(planes * shape.tokens * KEYS);
        weights = pieces.take(BACK_QUERIES * KEYS);
        slopes = pieces.take(BACK_QUERIES * KEYS);
        turned = pieces.take(BACK_QUERIES * KEYS);
        keys = pieces.take(panel_numbers(KEYS, shape.size));
        values = pieces.take(panel_numbers(KEYS, shape.size));
        key_terms = pieces.take(planes * KEY_TERMS);
        terms = pieces.take(TERMS);
        key_sums = pieces.take(planes * KEYS * KEYS);
        value_sums = pieces.take(planes * KEYS * KEYS);
        for (int64_t token = 0; token < shape.tokens; token++) {
            int64_t place = (token * shape.heads + head) * shape.size;
            copy_numbers(heads.query(head, token), shape.size, shape.scale, queries + token * shape.size);
            copy_numbers(dy + place, shape.size, 1.0f, gradients + token * shape.size);
            inner[token] = dot(y + place, dy + place, shape.size);
        }
        std::fill(query_sums, query_sums + planes * shape.tokens * KEYS, 0.0f);
    }

    /// A panel of keys with all queries that see it; dk and dv (tokens, size).
    void pass(int64_t key, float *dk, float *dv) {
        int64_t size = shape.size;
        int64_t n = std::min(KEYS, shape.tokens - key);
        pack_rows(heads.key(kv_head, key), shape.stride, n, size, keys);
        pack_rows(heads.value(kv_head, key), shape.stride, n, size, values);
        in_planes(size, [&](int64_t plane, int64_t channel, int64_t width) {
            pack_terms(heads.key(kv_head, key) + channel, shape.stride, width, n, key_terms + plane * KEY_TERMS);
        });
        std::fill(key_sums, key_sums + planes_of(size) * KEYS * KEYS, 0.0f);
        std::fill(value_sums, value_sums + planes_of(size) * KEYS * KEYS, 0.0f);
        int64_t end = end_of_queries(shape, key + n - 1);
        for (int64_t token = key; token < end; token += BACK_QUERIES) {
            int64_t rows = std::min(BACK_QUERIES, end - token);
            weigh_again(token, rows, key, n);
            in_planes(size, [&](int64_t plane, int64_t, int64_t width) {
                multiply_panel<FloatPanels>(
                    slopes, rows, KEYS, key_terms + plane * KEY_TERMS, panel_columns(width), n,
                    query_sum(plane, token));
            });
            gather(weights, rows, n, gradients + token * size, value_sums);
            gather(slopes, rows, n, queries + token * size, key_sums);
        }
        in_planes(size, [&](int64_t plane, int64_t channel, int64_t width) {
            for (int64_t i = 0; i < n; i++) {
                const float *from = key_sums + (plane * KEYS + i) * KEYS;
                std::copy(from, from + width, dk + (key + i) * size + channel);
                from = value_sums + (plane * KEYS + i) * KEYS;
                std::copy(from, from + width, dv + (key + i) * size + channel);
            }
        });
    }

    float *query_sum(int64_t plane, int64_t token) const { return query_sums + (plane * shape.tokens + token) * KEYS; }

    /// Weights and the gradients of scores of some queries with a panel of keys.
    void weigh_again(int64_t token, int64_t rows, int64_t key, int64_t n) {
        int64_t size = shape.size;
        std::fill(weights, weights + rows * KEYS, 0.0f);
        std::fill(slopes, slopes + rows * KEYS, 0.0f);
        multiply_panel<FloatPanels>(queries + token * size, rows, size, keys, panel_columns(n), size, weights);
        multiply_panel<FloatPanels>(gradients + token * size, rows, size, values, panel_columns(n), size, slopes);
        for (int64_t i = 0; i < rows; i++) {
            weigh_row(token + i, Seen(shape, token + i, key, n), n, i * KEYS);
        }
    }

    /// The same of one query, whose numbers begin at a place.
    void weigh_row(int64_t query, Seen seen, int64_t n, int64_t place) {
        float *weight = weights + place;
        float *slope = slopes + place;
        if (seen.empty()) {
            std::fill(weight, weight + n, 0.0f);
            std::fill(slope, slope + n, 0.0f);
            return;
        }
        std::fill(weight, weight + seen.begin, 0.0f);
        std::fill(slope, slope + seen.begin, 0.0f);
        weight += seen.begin;
        slope += seen.begin;
        float *bends = turned + place;
        if (shape.cap != 0) {
            bend_scores(weight, seen.count(), shape.cap, bends);
        }
        weigh(weight, seen.count(), n - seen.begin, logs[query]);
        Floats less = spread(inner[query]);
        in_vectors(seen.count(), [&](int64_t at, int64_t k) {
            Floats change = some(weight + at, k) * (some(slope + at, k) - less);
            put_some(slope + at, shape.cap == 0 ? change : change * some(bends + at, k), k);
        });
        std::fill(slope + seen.count(), slope + n - seen.begin, 0.0f);
    }

    /// sums (n, size) += the transposed matrix (rows, n) times numbers (rows, size).
    void gather(const float *matrix, int64_t rows, int64_t n, const float *numbers, float *sums) {
        Turned<float>{matrix, KEYS}.copy(0, n, 0, rows, turned, BACK_QUERIES);
        in_planes(shape.size, [&](int64_t plane, int64_t channel, int64_t width) {
            pack_terms(numbers + channel, shape.size, width, rows, terms);
            multiply_panel<FloatPanels>(
                turned, n, BACK_QUERIES, terms, panel_columns(width), rows, sums + plane * KEYS * KEYS);
        });
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
            in_planes(shape.size, [&](int64_t plane, int64_t channel, int64_t width) {
                const float *from = back.query_sum(plane, token);
                in_vectors(width, [&](int64_t at, int64_t n) {
                    put_some(to + channel + at, some(from + at, n) * factor, n);
                });
            });
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
