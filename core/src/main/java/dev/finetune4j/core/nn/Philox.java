package dev.finetune4j.core.nn;

/**
 * Philox4x32-7, the counter-based generator of random numbers of cuRAND and PyTorch with the fewest rounds that its authors
 * found to pass all tests of BigCrush
 * (<a href="https://www.thesalmons.org/john/random123/papers/random123sc11.pdf">Salmon et al. 2011</a>; the others take 10): four
 * words of 32 bits that depend on a counter of four words and a key of two, and on nothing that was drawn before.
 *
 * <p>The kernels compute the same: {@code dropout.inl} on the CPU, {@code philox.cuh} on a GPU.
 */
final class Philox {
    /** Words of a block. */
    static final int WORDS = 4;

    private static final int ROUNDS = 7;
    private static final int M0 = 0xD2511F53;
    private static final int M1 = 0xCD9E8D57;
    private static final int W0 = 0x9E3779B9;
    private static final int W1 = 0xBB67AE85;

    private Philox() {}

    /**
     * One block of words.
     *
     * @param counter four words, the lowest first; the result takes their place
     */
    static void block(int[] counter, int key0, int key1) {
        int k0 = key0;
        int k1 = key1;
        for (int round = 0; round < ROUNDS; round++) {
            long first = Integer.toUnsignedLong(M0) * Integer.toUnsignedLong(counter[0]);
            long second = Integer.toUnsignedLong(M1) * Integer.toUnsignedLong(counter[2]);
            counter[0] = (int) (second >>> Integer.SIZE) ^ counter[1] ^ k0;
            counter[1] = (int) second;
            counter[2] = (int) (first >>> Integer.SIZE) ^ counter[3] ^ k1;
            counter[3] = (int) first;
            k0 += W0;
            k1 += W1;
        }
    }
}
