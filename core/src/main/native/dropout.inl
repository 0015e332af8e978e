// Dropout whose mask is made from counters by Philox4x32-7 (Salmon et al. 2011), as Philox.java does. Included once for each
// level, inside its namespace; the compiler makes vectors of the loops over blocks.

constexpr int64_t PHILOX_BLOCKS = 16;  // of four words, eight elements each, made side by side

/// y = x times 0 or the scale, by elements.
template <typename T>
void dropout(const T *x, T *y, int64_t count, const DropoutMask &mask, int threads) {
    constexpr int64_t group = 8 * PHILOX_BLOCKS;
    parallel(threads, count, group * 64, [&](int64_t begin, int64_t end) {
        for (int64_t at = begin; at < end; at += group) {
            uint32_t c0[PHILOX_BLOCKS], c1[PHILOX_BLOCKS], c2[PHILOX_BLOCKS], c3[PHILOX_BLOCKS];
            for (int64_t i = 0; i < PHILOX_BLOCKS; i++) {
                c0[i] = static_cast<uint32_t>(at / 8 + i);
                c1[i] = mask.counter[0];
                c2[i] = mask.counter[1];
                c3[i] = mask.counter[2];
            }
            uint32_t k0 = mask.key[0];
            uint32_t k1 = mask.key[1];
            for (int round = 0; round < 7; round++) {
                for (int64_t i = 0; i < PHILOX_BLOCKS; i++) {
                    uint64_t first = uint64_t{0xD2511F53u} * c0[i];
                    uint64_t second = uint64_t{0xCD9E8D57u} * c2[i];
                    c0[i] = static_cast<uint32_t>(second >> 32) ^ c1[i] ^ k0;
                    c1[i] = static_cast<uint32_t>(second);
                    c2[i] = static_cast<uint32_t>(first >> 32) ^ c3[i] ^ k1;
                    c3[i] = static_cast<uint32_t>(first);
                }
                k0 += 0x9E3779B9u;
                k1 += 0xBB67AE85u;
            }
            float factors[group];
            for (int64_t i = 0; i < PHILOX_BLOCKS; i++) {
                uint32_t words[4] = {c0[i], c1[i], c2[i], c3[i]};
                for (int word = 0; word < 4; word++) {
                    factors[8 * i + 2 * word] = (words[word] & 0xffff) < mask.threshold ? 0.0f : mask.scale;
                    factors[8 * i + 2 * word + 1] = words[word] >> 16 < mask.threshold ? 0.0f : mask.scale;
                }
            }
            int64_t some_of_group = std::min(group, end - at);
            in_vectors(some_of_group, [&](int64_t place, int64_t n) {
                put_some(y + at + place, some(x + at + place, n) * some(factors + place, n), n);
            });
        }
    });
}
