// Vectors of AVX2 with FMA and F16C. Included inside the level's namespace.

constexpr int LANES = 8;
constexpr int TILE_OF_FLOATS = 6;

struct Floats {
    __m256 v;
};

inline Floats spread(float value) { return {_mm256_set1_ps(value)}; }
inline Floats load(const float *from) { return {_mm256_loadu_ps(from)}; }
inline Floats load(const bf16 *from) {
    __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))};
}
inline Floats load(const f16 *from) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)))};
}

inline __m128i to_bf16(__m256 value) {
    __m256i bits = _mm256_castps_si256(value);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
    rounded = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc00000), nan), 16);
    __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0xd8);
    return _mm256_castsi256_si128(words);
}
inline __m128i to_f16(__m256 value) { return _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

inline void store(float *to, Floats value) { _mm256_storeu_ps(to, value.v); }
inline void store(bf16 *to, Floats value) { _mm_storeu_si128(reinterpret_cast<__m128i *>(to), to_bf16(value.v)); }
inline void store(f16 *to, Floats value) { _mm_storeu_si128(reinterpret_cast<__m128i *>(to), to_f16(value.v)); }

inline Floats operator+(Floats a, Floats b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Floats fused(Floats a, Floats b, Floats c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats larger(Floats a, Floats b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Floats smaller(Floats a, Floats b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Floats root(Floats a) { return {_mm256_sqrt_ps(a.v)}; }
inline Floats whole(Floats a) {
    return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline Floats power_of_two(Floats a) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(a.v), _mm256_set1_epi32(127));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23))};
}
inline float total(Floats a) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
inline float largest(Floats a) {
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    most = _mm_max_ps(most, _mm_movehl_ps(most, most));
    return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

struct Magnitudes {
    __m256i v;
};
inline Magnitudes no_magnitudes() { return {_mm256_setzero_si256()}; }
inline Magnitudes with(Magnitudes a, Floats value) {
    __m256i bits = _mm256_and_si256(_mm256_castps_si256(value.v), _mm256_set1_epi32(0x7fffffff));
    return {_mm256_max_epi32(a.v, bits)};
}
inline uint32_t largest(Magnitudes a) {
    alignas(32) uint32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i *>(lanes), a.v);
    return *std::max_element(lanes, lanes + 8);
}

struct Intervals {
    const float *limits;
};
inline Intervals intervals(const float *limits) { return {limits}; }
inline void find(const Intervals &of, Floats value, uint8_t *to) {
    __m256i count = _mm256_setzero_si256();
    for (int i = 0; i < 15; i++) {
        __m256 above = _mm256_cmp_ps(value.v, _mm256_set1_ps(of.limits[i]), _CMP_GT_OQ);
        count = _mm256_sub_epi32(count, _mm256_castps_si256(above));
    }
    alignas(32) uint32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i *>(lanes), count);
    for (int i = 0; i < 8; i++) {
        to[i] = static_cast<uint8_t>(lanes[i]);
    }
}

template <typename T>
struct Lookup;

template <>
struct Lookup<float> {
    __m256 low;  // codes 0 to 7
    __m256 high;
};

struct Bytes {
    __m256i low;  // low bytes of the 16 numbers, twice
    __m256i high;
};

template <>
struct Lookup<bf16> : Bytes {};

template <>
struct Lookup<f16> : Bytes {};

struct Table {
    __m256 low;
    __m256 high;
};
inline Table codes_of(const float *table) { return {_mm256_loadu_ps(table), _mm256_loadu_ps(table + 8)}; }

inline void scaled(Table table, float scale, Lookup<float> &to) {
    to.low = _mm256_mul_ps(table.low, _mm256_set1_ps(scale));
    to.high = _mm256_mul_ps(table.high, _mm256_set1_ps(scale));
}
inline void set_bytes(__m128i first, __m128i second, Bytes &to) {
    __m128i low = _mm_packus_epi16(
        _mm_and_si128(first, _mm_set1_epi16(255)), _mm_and_si128(second, _mm_set1_epi16(255)));
    __m128i high = _mm_packus_epi16(_mm_srli_epi16(first, 8), _mm_srli_epi16(second, 8));
    to.low = _mm256_set_m128i(low, low);
    to.high = _mm256_set_m128i(high, high);
}
inline void scaled(Table table, float scale, Lookup<bf16> &to) {
    __m256 factor = _mm256_set1_ps(scale);
    set_bytes(to_bf16(_mm256_mul_ps(table.low, factor)), to_bf16(_mm256_mul_ps(table.high, factor)), to);
}
inline void scaled(Table table, float scale, Lookup<f16> &to) {
    __m256 factor = _mm256_set1_ps(scale);
    set_bytes(to_f16(_mm256_mul_ps(table.low, factor)), to_f16(_mm256_mul_ps(table.high, factor)), to);
}

/// The codes of 16 bytes, one a byte, in the order of the weights.
inline __m256i split_codes(const uint8_t *packed) {
    __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(packed));
    __m128i first = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
    __m128i second = _mm_and_si128(bytes, _mm_set1_epi8(15));
    return _mm256_set_m128i(_mm_unpackhi_epi8(first, second), _mm_unpacklo_epi8(first, second));
}
inline void expand(const Lookup<float> &lookup, const uint8_t *packed, float *to) {
    alignas(32) uint8_t codes[32];
    _mm256_store_si256(reinterpret_cast<__m256i *>(codes), split_codes(packed));
    for (int i = 0; i < 4; i++) {
        __m256i index = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(codes + 8 * i)));
        __m256 low = _mm256_permutevar8x32_ps(lookup.low, index);
        __m256 high = _mm256_permutevar8x32_ps(lookup.high, index);
        __m256 choice = _mm256_castsi256_ps(_mm256_slli_epi32(index, 28));
        _mm256_storeu_ps(to + 8 * i, _mm256_blendv_ps(low, high, choice));
    }
}
inline void expand_words(const Bytes &lookup, const uint8_t *packed, void *to) {
    __m256i index = split_codes(packed);
    __m256i low = _mm256_shuffle_epi8(lookup.low, index);
    __m256i high = _mm256_shuffle_epi8(lookup.high, index);
    __m256i outer = _mm256_unpacklo_epi8(low, high);
    __m256i inner = _mm256_unpackhi_epi8(low, high);
    __m256i *words = static_cast<__m256i *>(to);
    _mm256_storeu_si256(words, _mm256_permute2x128_si256(outer, inner, 0x20));
    _mm256_storeu_si256(words + 1, _mm256_permute2x128_si256(outer, inner, 0x31));
}
inline void expand(const Lookup<bf16> &lookup, const uint8_t *packed, bf16 *to) { expand_words(lookup, packed, to); }
inline void expand(const Lookup<f16> &lookup, const uint8_t *packed, f16 *to) { expand_words(lookup, packed, to); }

template <typename T>
inline void expand_away(const Lookup<T> &lookup, const uint8_t *packed, T *to) {
    alignas(64) T near[32];
    expand(lookup, packed, near);
    const __m256i *from = reinterpret_cast<const __m256i *>(near);
    __m256i *there = reinterpret_cast<__m256i *>(to);
    for (size_t i = 0; i < sizeof near / 32; i++) {
        _mm256_stream_si256(there + i, _mm256_load_si256(from + i));
    }
}
inline void finish_away() { _mm_sfence(); }

inline void transpose(Floats v[LANES]) {
    __m256 t[LANES];
    for (int i = 0; i < 4; i++) {
        t[2 * i] = _mm256_unpacklo_ps(v[2 * i].v, v[2 * i + 1].v);
        t[2 * i + 1] = _mm256_unpackhi_ps(v[2 * i].v, v[2 * i + 1].v);
    }
    __m256 u[LANES];
    for (int i = 0; i < 2; i++) {
        u[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
        u[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
        u[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
        u[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        v[i].v = _mm256_permute2f128_ps(u[i], u[4 + i], 0x20);
        v[4 + i].v = _mm256_permute2f128_ps(u[i], u[4 + i], 0x31);
    }
}
