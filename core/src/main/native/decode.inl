// What a decoder does for one token besides its norms and its products with 4-bit weights. Included once for each level,
// inside its namespace.

/// y = x Wᵀ + bias, or that added to y, for few rows of x and a dense weight (out, in), which is read once.
template <typename T>
void gemv(
    const T *weight, int64_t in, int64_t out, const T *x, int64_t rows, const T *bias, T *y, int64_t stride, bool add,
    int threads) {
    parallel(threads, out, std::max<int64_t>(1, RANGE / in), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            float start = bias == nullptr ? 0.0f : widen(bias[i]);
            for (int64_t row = 0; row < rows; row++) {
                put(dot(weight + i * in, x + row * in, in) + start, add, y + row * stride + i);
            }
        }
    });
}

/// low = scale · x Aᵀ in float32: a (rank, in), x (rows, in), low (rows, rank).
template <typename T>
void low_rank(
    const float *a, const T *x, float *low, int64_t rows, int64_t rank, int64_t in, float scale, int threads) {
    parallel(threads, rank, std::max<int64_t>(1, RANGE / in), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            for (int64_t row = 0; row < rows; row++) {
                low[row * rank + i] = dot(a + i * in, x + row * in, in) * scale;
            }
        }
    });
}

/// y = low Bᵀ, or that added to y: b (out, rank), low (rows, rank).
template <typename T>
void high_rank(
    const float *b, const float *low, T *y, int64_t stride, int64_t rows, int64_t rank, int64_t out, bool add,
    int threads) {
    parallel(threads, out, std::max<int64_t>(1, RANGE / rank), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            for (int64_t row = 0; row < rows; row++) {
                put(dot(b + i * rank, low + row * rank, rank), add, y + row * stride + i);
            }
        }
    });
}

/// Turns the first channels of a head by the angle of its position, halves with one another or neighbours; to may be from.
template <typename T>
inline void turn_head(const T *from, const T *cosine, const T *sine, const AttendShape &shape, T *to) {
    int64_t rotary = shape.rotary;
    int64_t half = rotary / 2;
    for (int64_t pair = 0; shape.interleaved && pair < half; pair++) {
        float first = widen(from[2 * pair]), second = widen(from[2 * pair + 1]);
        float c = widen(cosine[pair]), s = widen(sine[pair]);
        put(first * c - second * s, false, to + 2 * pair);
        put(second * c + first * s, false, to + 2 * pair + 1);
    }
    in_vectors(shape.interleaved ? 0 : half, [&](int64_t at, int64_t n) {
        Floats first = some(from + at, n);
        Floats second = some(from + half + at, n);
        Floats c = some(cosine + at, n);
        Floats s = some(sine + at, n);
        put_some(to + at, first * c - second * s, n);
        put_some(to + half + at, second * c + first * s, n);
    });
    if (to != from) {
        std::copy(from + rotary, from + shape.size, to + rotary);
    }
}

/// The scores of a query with so many keys.
template <typename T>
inline void score_keys(
    const T *query, const T *keys, int64_t count, int64_t size, float scale, float soft_cap, float *scores) {
    for (int64_t at = 0; at < count; at++) {
        scores[at] = dot(query, keys + at * size, size) * scale;
    }
    if (soft_cap > 0) {
        // tanh(x) = 1 - 2 / (exp(2 x) + 1)
        Floats one = spread(1.0f);
        Floats twice = spread(2.0f / soft_cap);
        in_vectors(count, [&](int64_t at, int64_t n) {
            Floats rest = spread(2.0f) / (exponential(some(scores + at, n) * twice) + one);
            put_some(scores + at, (one - rest) * spread(soft_cap), n);
        });
    }
}

/// Attention of one head: its query over so many positions. Scores has room for as many numbers, sums for a head.
template <typename T>
inline void attend_head(
    const T *query, const T *keys, const T *values, int64_t positions, const AttendShape &shape, float *scores,
    float *sums, T *mixed) {
    int64_t size = shape.size;
    score_keys(query, keys, positions, size, shape.scale, shape.soft_cap, scores);
    float peak = *std::max_element(scores, scores + positions);
    Floats all = spread(0);
    in_vectors(positions, [&](int64_t at, int64_t n) {
        Floats weight = exponential(some(scores + at, n) - spread(peak));
        put_some(scores + at, weight, n);
        if (n == LANES) {
            all = all + weight;
        }
    });
    float sum = total(all);
    for (int64_t at = positions / LANES * LANES; at < positions; at++) {
        sum += scores[at];
    }
    std::fill(sums, sums + size, 0.0f);
    for (int64_t at = 0; at < positions; at++) {
        Floats weight = spread(scores[at]);
        in_vectors(size, [&](int64_t channel, int64_t n) {
            put_some(sums + channel, fused(weight, some(values + at * size + channel, n), some(sums + channel, n)), n);
        });
    }
    Floats factor = spread(1.0f / sum);
    in_vectors(size, [&](int64_t channel, int64_t n) {
        put_some(mixed + channel, some(sums + channel, n) * factor, n);
    });
}

/// Attention of one token behind position others, whose keys and values join the cache: qkv has the heads of queries, keys
/// and values behind one another, the cache (kv heads, capacity, size); cosine and sine are those of the position. Room:
/// capacity + size numbers for each head.
template <typename T>
void attend(
    const AttendShape &shape, T *qkv, T *keys, T *values, const T *cosine, const T *sine, float *room, T *mixed,
    int threads) {
    int64_t size = shape.size;
    for (int64_t head = 0; head < shape.heads; head++) {
        turn_head(qkv + head * size, cosine, sine, shape, qkv + head * size);
    }
    for (int64_t head = 0; head < shape.kv_heads; head++) {
        int64_t place = (head * shape.capacity + shape.position) * size;
        turn_head(qkv + (shape.heads + head) * size, cosine, sine, shape, keys + place);
        const T *value = qkv + (shape.heads + shape.kv_heads + head) * size;
        std::copy(value, value + size, values + place);
    }
    int64_t positions = shape.position + 1 - shape.first;
    int64_t group = shape.heads / shape.kv_heads;
    int64_t grain = std::max<int64_t>(1, SOME_NUMBERS / (positions * size));
    parallel(threads, shape.heads, grain, [&](int64_t begin, int64_t end) {
        for (int64_t head = begin; head < end; head++) {
            int64_t start = (head / group * shape.capacity + shape.first) * size;
            float *scores = room + head * (shape.capacity + size);
            attend_head(
                qkv + head * size, keys + start, values + start, positions, shape, scores, scores + shape.capacity,
                mixed + head * size);
        }
    });
}
