// The same with the products of pairs of bfloat16 numbers that AVX-512 BF16 has. A block's sixteen numbers are scaled and
// rounded once; codes of first and second halves of bytes are looked up apart, and the input is sorted accordingly.

constexpr int PAIR_BLOCK = 64;

/// Even positions of each 64 numbers, then odd ones.
inline void sort_halves(const bf16 *from, int64_t count, bf16 *to) {
    const __m512i even = _mm512_set_epi16(
        62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6,
        4, 2, 0);
    const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
    for (int64_t at = 0; at < count; at += PAIR_BLOCK) {
        __m512i low = _mm512_loadu_si512(from + at);
        __m512i high = _mm512_loadu_si512(from + at + 32);
        _mm512_storeu_si512(to + at, _mm512_permutex2var_epi16(low, even, high));
        _mm512_storeu_si512(to + at + 32, _mm512_permutex2var_epi16(low, odd, high));
    }
}

/// The scales of blocks [first, first + count).
inline void block_scales(const Codes &codes, int64_t first, int64_t count, float *to) {
    if (codes.nested == nullptr) {
        std::copy(codes.absmax + first, codes.absmax + first + count, to);
        return;
    }
    int64_t at = 0;
    for (; at + 16 <= count; at += 16) {
        __m512i index = _mm512_cvtepu8_epi32(
            _mm_loadu_si128(reinterpret_cast<const __m128i *>(codes.nested + first + at)));
        __m512 value = _mm512_i32gather_ps(index, codes.map, 4);
        __m512i outer = _mm512_srli_epi32(
            _mm512_add_epi32(
                _mm512_set1_epi32(static_cast<int>((first + at) & 255)),
                _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)),
            8);
        int64_t group = (first + at) >> 8;
        bool crosses = ((first + at) & 255) + 15 > 255;
        __m512 absmax = crosses ? _mm512_i32gather_ps(outer, codes.absmax + group, 4)
                                : _mm512_set1_ps(codes.absmax[group]);
        // Two roundings: not fused.
        value = _mm512_mul_ps(value, absmax);
        _mm512_storeu_ps(to + at, _mm512_add_ps(value, _mm512_set1_ps(codes.offset)));
    }
    for (; at < count; at++) {
        to[at] = codes.scale(first + at);
    }
}

/// Sums of R rows with T tokens; x is sorted by sort_halves.
template <int T, int R>
inline void pair_sums(
    const Codes &codes, __m512 table, int64_t in, int64_t row, const float *scales, int64_t blocks, const bf16 *x,
    float *sums) {
    __m512 sum[R][T];
    for (int r = 0; r < R; r++) {
        for (int t = 0; t < T; t++) {
            sum[r][t] = _mm512_setzero_ps();
        }
    }
    __m512 second[R][T];
    for (int r = 0; r < R; r++) {
        for (int t = 0; t < T; t++) {
            second[r][t] = _mm512_setzero_ps();
        }
    }
    const uint8_t *packed[R];
    for (int r = 0; r < R; r++) {
        packed[r] = codes.packed + (((row + r) * in) >> 1);
    }
    int per_block = codes.shift - 6;
    for (int64_t piece = 0; piece < in / PAIR_BLOCK; piece++) {
        __m512bh first_codes[R];
        __m512bh second_codes[R];
        for (int r = 0; r < R; r++) {
            __m512 factor = _mm512_set1_ps(scales[r * blocks + (piece >> per_block)]);
            __m256i numbers = (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(table, factor));
            __m512i lookup = _mm512_broadcast_i64x4(numbers);
            __m512i words = _mm512_cvtepu8_epi16(
                _mm256_loadu_si256(reinterpret_cast<const __m256i *>(packed[r] + 32 * piece)));
            first_codes[r] = (__m512bh)_mm512_permutexvar_epi16(_mm512_srli_epi16(words, 4), lookup);
            second_codes[r] = (__m512bh)_mm512_permutexvar_epi16(words, lookup);
        }
        for (int t = 0; t < T; t++) {
            const bf16 *numbers = x + t * in + PAIR_BLOCK * piece;
            __m512bh even = (__m512bh)_mm512_loadu_si512(numbers);
            __m512bh odd = (__m512bh)_mm512_loadu_si512(numbers + 32);
            for (int r = 0; r < R; r++) {
                sum[r][t] = _mm512_dpbf16_ps(sum[r][t], first_codes[r], even);
                // Two chains where there are registers for them.
                __m512 &other = T * R <= 8 ? second[r][t] : sum[r][t];
                other = _mm512_dpbf16_ps(other, second_codes[r], odd);
            }
        }
    }
    for (int r = 0; r < R; r++) {
        for (int t = 0; t < T; t++) {
            sums[r * T + t] = _mm512_reduce_add_ps(_mm512_add_ps(sum[r][t], second[r][t]));
        }
    }
}

template <int T, int R>
inline void pair_rows(
    const Codes &codes, __m512 table, int64_t in, int64_t begin, int64_t end, const bf16 *x, const bf16 *bias, bf16 *y,
    int64_t stride, bool add, float *scales) {
    float sums[T * R];
    for (int64_t row = begin; row < end; row += R) {
        int64_t blocks = (in + (int64_t{1} << codes.shift) - 1) >> codes.shift;
        for (int r = 0; r < R; r++) {
            block_scales(codes, ((row + r) * in) >> codes.shift, blocks, scales + r * blocks);
        }
        pair_sums<T, R>(codes, table, in, row, scales, blocks, x, sums);
        for (int r = 0; r < R; r++) {
            float start = bias == nullptr ? 0.0f : widen(bias[row + r]);
            for (int t = 0; t < T; t++) {
                put(sums[r * T + t] + start, add, y + t * stride + row + r);
            }
        }
    }
}

template <int T>
inline void pair_tokens(
    const Codes &codes, __m512 table, int64_t in, int64_t begin, int64_t end, const bf16 *x, const bf16 *bias, bf16 *y,
    int64_t stride, bool add, float *scales) {
    constexpr int R = 4;
    int64_t whole = begin + (end - begin) / R * R;
    pair_rows<T, R>(codes, table, in, begin, whole, x, bias, y, stride, add, scales);
    pair_rows<T, 1>(codes, table, in, whole, end, x, bias, y, stride, add, scales);
}

/// Whether rows are made of whole blocks of at least 64 weights.
inline bool pairs_fit(const Codes &codes, int64_t in) {
    return codes.shift >= 6 && (in & ((int64_t{1} << codes.shift) - 1)) == 0;
}

inline void multiply_pairs(
    const Codes &codes, int64_t in, int64_t out, const bf16 *x, int64_t tokens, const bf16 *bias, bf16 *y,
    int64_t stride, bool add, int threads) {
    std::vector<bf16> sorted(static_cast<size_t>(tokens * in));
    for (int64_t token = 0; token < tokens; token++) {
        sort_halves(x + token * in, in, sorted.data() + token * in);
    }
    __m512 table = _mm512_loadu_ps(codes.table);
    parallel(threads, out, std::max<int64_t>(4, RANGE / in), [&](int64_t begin, int64_t end) {
        std::vector<float> scales(static_cast<size_t>(4 * (in >> codes.shift)));
        for (int64_t token = 0; token < tokens;) {
            const bf16 *numbers = sorted.data() + token * in;
            bf16 *to = y + token * stride;
            int64_t rest = tokens - token;
            auto run = [&](auto kernel) {
                kernel(codes, table, in, begin, end, numbers, bias, to, stride, add, scales.data());
            };
            switch (std::min<int64_t>(rest, 4)) {
                case 4:
                    run(pair_tokens<4>);
                    break;
                case 3:
                    run(pair_tokens<3>);
                    break;
                case 2:
                    run(pair_tokens<2>);
                    break;
                default:
                    run(pair_tokens<1>);
            }
            token += std::min<int64_t>(rest, 4);
        }
    });
}
