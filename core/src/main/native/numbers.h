// The 16-bit number formats and their exact scalar conversions: round to nearest, ties to even.
#pragma once
#include <cstdint>
#include <cstring>

namespace finetune4j {

struct bf16 {
    uint16_t bits;
};

struct f16 {
    uint16_t bits;
};

inline uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

inline float widen(float value) { return value; }

inline float widen(bf16 value) { return float_of(static_cast<uint32_t>(value.bits) << 16); }

inline float widen(f16 value) {
    uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
    uint32_t rest = value.bits & 0x7fffu;
    if (rest >= 0x7c00u) {
        return float_of(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    }
    // The exponent's bias differs by 112; multiplying by 2^112 is exact and takes subnormal numbers along.
    return float_of(bits_of(float_of(rest << 13) * float_of(0x77800000u)) | sign);
}

inline void narrow(float value, float &out) { out = value; }

inline void narrow(float value, bf16 &out) {
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        out.bits = 0x7fc0u;
    } else {
        out.bits = static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
    }
}

inline void narrow(float value, f16 &out) {
    uint32_t bits = bits_of(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t half;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00u;
    } else if (magnitude >= 0x47800000u) {
        half = 0x7c00u;
    } else if (magnitude < 0x38800000u) {
        // Adding one half puts the bits of a subnormal result at the end of the fraction, rounded.
        half = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
    } else {
        half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    }
    out.bits = static_cast<uint16_t>(sign | half);
}

}  // namespace finetune4j
