// Weights in 4-bit codes as the layout of bitsandbytes has them; see QuantizedTensor.java.
#pragma once
#include <cstdint>

namespace finetune4j {

struct Codes {
    const uint8_t *packed;  // two codes a byte, the first in the high bits
    int shift;              // a block is 1 << shift weights, at least 32
    const float *table;     // the 16 numbers of the codes
    const float *absmax;    // a scale for each block, or for each 256 blocks if these have 8-bit codes
    const uint8_t *nested;  // 8-bit codes of the blocks' scales, or null
    const float *map;       // the 256 numbers of the 8-bit codes
    float offset;           // what was taken from the scales before they were coded

    float scale(int64_t block) const {
        if (nested == nullptr) {
            return absmax[block];
        }
        // Rounded after the product as well as after the sum.
        float product = map[nested[block]] * absmax[block >> 8];
        return product + offset;
    }

    int code(int64_t weight) const {
        int both = packed[weight >> 1];
        return (weight & 1) == 0 ? both >> 4 : both & 15;
    }
};

}  // namespace finetune4j
