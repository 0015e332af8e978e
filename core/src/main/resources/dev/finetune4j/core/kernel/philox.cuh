// Masks of dropout, made from counters by Philox4x32-7 (Salmon et al. 2011), as Philox.java does.

// What the masks of one module are made from; see Dropout.java.
struct Draw {
    u32 part, module, pass, key0, key1, threshold;
};

// Four words, for the eight elements from 8 · block on: the lower half of a word is that of the first of two.
__device__ __forceinline__ void philox(u32 block, const Draw& draw, u32* c) {
    c[0] = block;
    c[1] = draw.part;
    c[2] = draw.module;
    c[3] = draw.pass;
    u32 k0 = draw.key0, k1 = draw.key1;
#pragma unroll
    for (int round = 0; round < 7; round++) {
        const u32 low0 = 0xD2511F53u * c[0], high0 = __umulhi(0xD2511F53u, c[0]);
        const u32 low1 = 0xCD9E8D57u * c[2], high1 = __umulhi(0xCD9E8D57u, c[2]);
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}
