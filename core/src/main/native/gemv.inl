// GEMV of 4-bit weights, which are read once and never made dense. Included once for each level, inside its namespace.

constexpr int64_t CHUNK = 1024;  // weights that are decoded at a time

template <typename A, typename B>
inline float dot(const A *a, const B *b, int64_t count) {
    Floats sum[4] = {spread(0), spread(0), spread(0), spread(0)};
    int64_t at = 0;
    for (; at + 4 * LANES <= count; at += 4 * LANES) {
        for (int i = 0; i < 4; i++) {
            sum[i] = fused(load(a + at + i * LANES), load(b + at + i * LANES), sum[i]);
        }
    }
    for (; at + LANES <= count; at += LANES) {
        sum[0] = fused(load(a + at), load(b + at), sum[0]);
    }
    float result = total((sum[0] + sum[1]) + (sum[2] + sum[3]));
    for (; at < count; at++) {
        result += widen(a[at]) * widen(b[at]);
    }
    return result;
}

template <typename T>
inline void put(float value, bool add, T *to) {
    narrow(add ? value + widen(*to) : value, *to);
}

template <typename T>
void multiply_rows(
    const Codes &codes, int64_t in, int64_t out, const T *x, int64_t tokens, const T *bias, T *y, int64_t stride,
    bool add, int threads) {
    Table table = codes_of(codes.table);
    parallel(threads, out, std::max<int64_t>(1, RANGE / in), [&](int64_t begin, int64_t end) {
        T weights[CHUNK];
        float sums[MAX_TOKENS];
        for (int64_t row = begin; row < end; row++) {
            float start = bias == nullptr ? 0.0f : widen(bias[row]);
            std::fill(sums, sums + tokens, start);
            for (int64_t at = 0; at < in; at += CHUNK) {
                int64_t some = std::min(CHUNK, in - at);
                decode_range<T, false>(codes, table, row * in + at, some, weights);
                for (int64_t token = 0; token < tokens; token++) {
                    sums[token] += dot(weights, x + token * in + at, some);
                }
            }
            for (int64_t token = 0; token < tokens; token++) {
                put(sums[token], add, y + token * stride + row);
            }
        }
    });
}
