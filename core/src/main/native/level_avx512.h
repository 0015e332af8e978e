// Vectors of AVX-512 (F, BW, VL, DQ). Included inside the level's namespace.

constexpr int LANES = 16;

/// Products in registers: rows of a tile, which is two vectors wide.
constexpr int TILE_OF_FLOATS = 12;

struct Floats {
    __m512 v;
};

inline Floats spread(float value) { return {_mm512_set1_ps(value)}; }
inline Floats load(const float *from) { return {_mm512_loadu_ps(from)}; }
inline Floats load(const bf16 *from) {
    __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))};
}
inline Floats load(const f16 *from) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)))};
}

inline __m256i to_bf16(__m512 value) {
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc00000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}
inline __m256i to_f16(__m512 value) { return _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

inline void store(float *to, Floats value) { _mm512_storeu_ps(to, value.v); }
inline void store(bf16 *to, Floats value) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), to_bf16(value.v)); }
inline void store(f16 *to, Floats value) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), to_f16(value.v)); }

inline Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats fused(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats larger(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats smaller(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats root(Floats a) { return {_mm512_sqrt_ps(a.v)}; }
inline Floats whole(Floats a) {
    return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
/// 2 to the power of whole numbers from -126 to 127.
inline Floats power_of_two(Floats a) {
    __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(a.v), _mm512_set1_epi32(127));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
}
inline float total(Floats a) { return _mm512_reduce_add_ps(a.v); }
inline float largest(Floats a) { return _mm512_reduce_max_ps(a.v); }

/// The largest magnitude as bits, so that it is above infinity's where there is a NaN.
struct Magnitudes {
    __m512i v;
};
inline Magnitudes no_magnitudes() { return {_mm512_setzero_si512()}; }
inline Magnitudes with(Magnitudes a, Floats value) {
    __m512i bits = _mm512_and_si512(_mm512_castps_si512(value.v), _mm512_set1_epi32(0x7fffffff));
    return {_mm512_max_epi32(a.v, bits)};
}
inline uint32_t largest(Magnitudes a) { return static_cast<uint32_t>(_mm512_reduce_max_epi32(a.v)); }

/// In which of the intervals between 15 rising limits numbers lie, found by halving.
struct Intervals {
    __m512 limits;
};
inline Intervals intervals(const float *limits) { return {_mm512_maskz_loadu_ps(0x7fff, limits)}; }
inline void find(const Intervals &of, Floats value, uint8_t *to) {
    __m512i at = _mm512_set1_epi32(7);
    __m512i low = _mm512_setzero_si512();
    for (int half = 8; half > 0; half /= 2) {
        __mmask16 above = _mm512_cmp_ps_mask(value.v, _mm512_permutexvar_ps(at, of.limits), _CMP_GT_OQ);
        low = _mm512_mask_add_epi32(low, above, low, _mm512_set1_epi32(half));
        at = _mm512_add_epi32(low, _mm512_set1_epi32(half / 2 - 1));
    }
    _mm_storeu_si128(reinterpret_cast<__m128i *>(to), _mm512_cvtepi32_epi8(low));
}

/// The numbers of the codes of one block.
template <typename T>
struct Lookup;

template <>
struct Lookup<float> {
    __m512 table;
};

template <>
struct Lookup<bf16> {
    __m512i table;  // twice, so that the fifth bit of an index does not matter
};

template <>
struct Lookup<f16> {
    __m512i table;
};

struct Table {
    __m512 v;
};
inline Table codes_of(const float *table) { return {_mm512_loadu_ps(table)}; }

inline void scaled(Table table, float scale, Lookup<float> &to) {
    to.table = _mm512_mul_ps(table.v, _mm512_set1_ps(scale));
}
inline void scaled(Table table, float scale, Lookup<bf16> &to) {
    __m512 numbers = _mm512_mul_ps(table.v, _mm512_set1_ps(scale));
#ifdef FINETUNE4J_PAIRS
    // The instruction takes tiny numbers for zero, so it is kept to scales that make none.
    if (scale >= 0x1p-100f && scale <= 0x1p100f) {
        to.table = _mm512_broadcast_i64x4((__m256i)_mm512_cvtneps_pbh(numbers));
        return;
    }
#endif
    to.table = _mm512_broadcast_i64x4(to_bf16(numbers));
}
inline void scaled(Table table, float scale, Lookup<f16> &to) {
    to.table = _mm512_broadcast_i64x4(to_f16(_mm512_mul_ps(table.v, _mm512_set1_ps(scale))));
}

/// The codes of 16 weights, one in four bytes; of what stands above their four bits a permutation takes no notice.
inline __m512i spread_sixteen(const uint8_t *packed) {
    int64_t bytes;
    std::memcpy(&bytes, packed, sizeof bytes);
    const __m512i places = _mm512_set_epi32(
        0x07070707, 0x07070707, 0x06060606, 0x06060606, 0x05050505, 0x05050505, 0x04040404, 0x04040404, 0x03030303,
        0x03030303, 0x02020202, 0x02020202, 0x01010101, 0x01010101, 0x00000000, 0x00000000);
    __m512i twice = _mm512_shuffle_epi8(_mm512_set1_epi64(bytes), places);
    return _mm512_srlv_epi32(twice, _mm512_set1_epi64(4));
}

/// The codes of 32 weights, one in two bytes; a permutation looks at five bits, and the table is there twice.
inline __m512i spread_codes(const uint8_t *packed) {
    const __m512i places = _mm512_set_epi32(
        0x0f0f0f0f, 0x0e0e0e0e, 0x0d0d0d0d, 0x0c0c0c0c, 0x0b0b0b0b, 0x0a0a0a0a, 0x09090909, 0x08080808, 0x07070707,
        0x06060606, 0x05050505, 0x04040404, 0x03030303, 0x02020202, 0x01010101, 0x00000000);
    __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i *>(packed)));
    return _mm512_srlv_epi16(_mm512_shuffle_epi8(bytes, places), _mm512_set1_epi32(4));
}

/// Writes 32 weights.
inline void expand(const Lookup<float> &lookup, const uint8_t *packed, float *to) {
    for (int half = 0; half < 2; half++) {
        _mm512_storeu_ps(to + 16 * half, _mm512_permutexvar_ps(spread_sixteen(packed + 8 * half), lookup.table));
    }
}
inline __m512i expanded(__m512i table, const uint8_t *packed) {
    return _mm512_permutexvar_epi16(spread_codes(packed), table);
}
inline void expand(const Lookup<bf16> &lookup, const uint8_t *packed, bf16 *to) {
    _mm512_storeu_si512(to, expanded(lookup.table, packed));
}
inline void expand(const Lookup<f16> &lookup, const uint8_t *packed, f16 *to) {
    _mm512_storeu_si512(to, expanded(lookup.table, packed));
}

/// The same past the caches, to where 64 bytes begin.
inline void expand_away(const Lookup<float> &lookup, const uint8_t *packed, float *to) {
    for (int half = 0; half < 2; half++) {
        _mm512_stream_ps(to + 16 * half, _mm512_permutexvar_ps(spread_sixteen(packed + 8 * half), lookup.table));
    }
}
inline void expand_away(const Lookup<bf16> &lookup, const uint8_t *packed, bf16 *to) {
    _mm512_stream_si512(reinterpret_cast<__m512i *>(to), expanded(lookup.table, packed));
}
inline void expand_away(const Lookup<f16> &lookup, const uint8_t *packed, f16 *to) {
    _mm512_stream_si512(reinterpret_cast<__m512i *>(to), expanded(lookup.table, packed));
}
inline void finish_away() { _mm_sfence(); }

/// Rows become columns.
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
inline void transpose(Floats v[LANES]) {
    __m512i bits[LANES];
    for (int i = 0; i < LANES; i++) {
        bits[i] = _mm512_castps_si512(v[i].v);
    }
    transpose(bits);
    for (int i = 0; i < LANES; i++) {
        v[i].v = _mm512_castsi512_ps(bits[i]);
    }
}
