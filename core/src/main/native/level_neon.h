// Vectors of 64-bit ARM. Included inside the level's namespace.

constexpr int LANES = 4;
constexpr int TILE_OF_FLOATS = 12;

struct Floats {
    float32x4_t v;
};

inline Floats spread(float value) { return {vdupq_n_f32(value)}; }
inline Floats load(const float *from) { return {vld1q_f32(from)}; }
inline Floats load(const bf16 *from) {
    uint16x4_t halves = vld1_u16(reinterpret_cast<const uint16_t *>(from));
    return {vreinterpretq_f32_u32(vshll_n_u16(halves, 16))};
}
inline Floats load(const f16 *from) {
    uint16x4_t halves = vld1_u16(reinterpret_cast<const uint16_t *>(from));
    return {vcvt_f32_f16(vreinterpret_f16_u16(halves))};
}

inline uint16x4_t to_bf16(float32x4_t value) {
    uint32x4_t bits = vreinterpretq_u32_f32(value);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
    rounded = vbslq_u32(vceqq_f32(value, value), rounded, vdupq_n_u32(0x7fc00000));
    return vshrn_n_u32(rounded, 16);
}
inline uint16x4_t to_f16(float32x4_t value) { return vreinterpret_u16_f16(vcvt_f16_f32(value)); }

inline void store(float *to, Floats value) { vst1q_f32(to, value.v); }
inline void store(bf16 *to, Floats value) { vst1_u16(reinterpret_cast<uint16_t *>(to), to_bf16(value.v)); }
inline void store(f16 *to, Floats value) { vst1_u16(reinterpret_cast<uint16_t *>(to), to_f16(value.v)); }

inline Floats operator+(Floats a, Floats b) { return {vaddq_f32(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {vsubq_f32(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {vmulq_f32(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {vdivq_f32(a.v, b.v)}; }
inline Floats fused(Floats a, Floats b, Floats c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline Floats larger(Floats a, Floats b) { return {vmaxq_f32(a.v, b.v)}; }
inline Floats smaller(Floats a, Floats b) { return {vminq_f32(a.v, b.v)}; }
inline Floats root(Floats a) { return {vsqrtq_f32(a.v)}; }
inline Floats whole(Floats a) { return {vrndnq_f32(a.v)}; }
inline Floats power_of_two(Floats a) {
    int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(a.v), vdupq_n_s32(127));
    return {vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23))};
}
inline float total(Floats a) { return vaddvq_f32(a.v); }
inline float largest(Floats a) { return vmaxvq_f32(a.v); }

struct Magnitudes {
    uint32x4_t v;
};
inline Magnitudes no_magnitudes() { return {vdupq_n_u32(0)}; }
inline Magnitudes with(Magnitudes a, Floats value) {
    return {vmaxq_u32(a.v, vandq_u32(vreinterpretq_u32_f32(value.v), vdupq_n_u32(0x7fffffff)))};
}
inline uint32_t largest(Magnitudes a) { return vmaxvq_u32(a.v); }

struct Intervals {
    const float *limits;
};
inline Intervals intervals(const float *limits) { return {limits}; }
inline void find(const Intervals &of, Floats value, uint8_t *to) {
    uint32x4_t count = vdupq_n_u32(0);
    for (int i = 0; i < 15; i++) {
        count = vsubq_u32(count, vcgtq_f32(value.v, vdupq_n_f32(of.limits[i])));
    }
    uint32_t lanes[4];
    vst1q_u32(lanes, count);
    for (int i = 0; i < 4; i++) {
        to[i] = static_cast<uint8_t>(lanes[i]);
    }
}

/// The 16 numbers of a block's codes, their bytes apart: first all lowest bytes.
template <typename T>
struct Lookup {
    uint8x16_t bytes[sizeof(T)];
};

struct Table {
    const float *values;
};
inline Table codes_of(const float *table) { return {table}; }

template <typename T>
inline void scaled(Table table, float scale, Lookup<T> &to) {
    T numbers[16];
    for (int i = 0; i < 16; i += LANES) {
        store(numbers + i, load(table.values + i) * spread(scale));
    }
    if constexpr (sizeof(T) == 2) {
        uint8x16x2_t parts = vld2q_u8(reinterpret_cast<const uint8_t *>(numbers));
        to.bytes[0] = parts.val[0];
        to.bytes[1] = parts.val[1];
    } else {
        uint8x16x4_t parts = vld4q_u8(reinterpret_cast<const uint8_t *>(numbers));
        for (int i = 0; i < 4; i++) {
            to.bytes[i] = parts.val[i];
        }
    }
}
template <typename T>
inline void expand_codes(const Lookup<T> &lookup, uint8x16_t codes, T *to) {
    uint8_t *bytes = reinterpret_cast<uint8_t *>(to);
    if constexpr (sizeof(T) == 2) {
        uint8x16x2_t parts = {{vqtbl1q_u8(lookup.bytes[0], codes), vqtbl1q_u8(lookup.bytes[1], codes)}};
        vst2q_u8(bytes, parts);
    } else {
        uint8x16x4_t parts = {
            {vqtbl1q_u8(lookup.bytes[0], codes),
             vqtbl1q_u8(lookup.bytes[1], codes),
             vqtbl1q_u8(lookup.bytes[2], codes),
             vqtbl1q_u8(lookup.bytes[3], codes)}};
        vst4q_u8(bytes, parts);
    }
}
template <typename T>
inline void expand(const Lookup<T> &lookup, const uint8_t *packed, T *to) {
    uint8x16_t both = vld1q_u8(packed);
    uint8x16_t first = vshrq_n_u8(both, 4);
    uint8x16_t second = vandq_u8(both, vdupq_n_u8(15));
    expand_codes(lookup, vzip1q_u8(first, second), to);
    expand_codes(lookup, vzip2q_u8(first, second), to + 16);
}
template <typename T>
inline void expand_away(const Lookup<T> &lookup, const uint8_t *packed, T *to) {
    expand(lookup, packed, to);
}
inline void finish_away() {}

inline void transpose(Floats v[LANES]) {
    float32x4x2_t first = vtrnq_f32(v[0].v, v[1].v);
    float32x4x2_t second = vtrnq_f32(v[2].v, v[3].v);
    v[0].v = vcombine_f32(vget_low_f32(first.val[0]), vget_low_f32(second.val[0]));
    v[1].v = vcombine_f32(vget_low_f32(first.val[1]), vget_low_f32(second.val[1]));
    v[2].v = vcombine_f32(vget_high_f32(first.val[0]), vget_high_f32(second.val[0]));
    v[3].v = vcombine_f32(vget_high_f32(first.val[1]), vget_high_f32(second.val[1]));
}
