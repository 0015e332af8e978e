package dev.finetune4j.data.batch;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Finds texts that are nearly the same as an earlier one by
 * <a href="https://doi.org/10.1109/SEQUEN.1997.666900">MinHash</a>: four fifths or more of the sequences of three words that
 * either has are in both, as estimated from {@value #HASHES} hashes. Capitals, spaces and punctuation do not count; a Chinese
 * or Japanese character is a word. Texts that share a band of {@value #BAND} hashes are compared.
 *
 * <p>It remembers the first {@value #MAX_TEXTS} texts, with about 200 bytes each, and compares no further ones.
 */
final class NearDuplicates {
    static final int MAX_TEXTS = 100_000;

    private static final int SHINGLE = 3;
    private static final int HASHES = 60;
    private static final int BAND = 5;
    private static final double ALIKE = 0.8;
    private static final int FIRST_TABLE = 1 << 10;

    private final List<short[]> signatures = new ArrayList<>();
    /** For each band a hash table of texts, by number; 0 is free, else the number and one. */
    private final int[][] tables = new int[HASHES / BAND][FIRST_TABLE];

    private final long[] words = new long[SHINGLE];
    private int wordCount;
    private int[] least = new int[0];

    /** Remembers a text, and says whether it is nearly the same as an earlier one. */
    boolean add(String text) {
        if (signatures.size() == MAX_TEXTS) {
            return false;
        }
        short[] signature = signature(text);
        if (2 * signatures.size() >= tables[0].length) {
            grow();
        }
        boolean alike = false;
        for (int band = 0; band < tables.length; band++) {
            alike |= put(band, signature, signatures.size());
        }
        signatures.add(signature);
        return alike;
    }

    /** Puts a text where the first of its band stands, which is the one that it is compared with. */
    private boolean put(int band, short[] signature, int number) {
        int[] table = tables[band];
        int slot = slot(band, signature, table.length);
        while (table[slot] != 0) {
            short[] other = signatures.get(table[slot] - 1);
            int from = band * BAND;
            if (Arrays.equals(signature, from, from + BAND, other, from, from + BAND)) {
                return isAlike(signature, other);
            }
            slot = (slot + 1) & (table.length - 1);
        }
        table[slot] = number + 1;
        return false;
    }

    private static int slot(int band, short[] signature, int size) {
        long hash = band;
        for (int i = band * BAND; i < (band + 1) * BAND; i++) {
            hash = mixed(hash, signature[i]);
        }
        return (int) (hash >>> 33) & (size - 1);
    }

    private void grow() {
        int size = 2 * tables[0].length;
        for (int band = 0; band < tables.length; band++) {
            int[] old = tables[band];
            int[] table = new int[size];
            for (int entry : old) {
                if (entry != 0) {
                    int slot = slot(band, signatures.get(entry - 1), size);
                    while (table[slot] != 0) {
                        slot = (slot + 1) & (size - 1);
                    }
                    table[slot] = entry;
                }
            }
            tables[band] = table;
        }
    }

    private static boolean isAlike(short[] one, short[] other) {
        int same = 0;
        for (int i = 0; i < HASHES; i++) {
            same += one[i] == other[i] ? 1 : 0;
        }
        return same >= ALIKE * HASHES;
    }

    private short[] signature(String text) {
        least = new int[HASHES];
        Arrays.fill(least, Integer.MAX_VALUE);
        wordCount = 0;
        long word = 0;
        for (int i = 0; i < text.length(); ) {
            int c = text.codePointAt(i);
            i += Character.charCount(c);
            boolean alone = Character.isIdeographic(c);
            if (word != 0 && (alone || !Character.isLetterOrDigit(c))) {
                addWord(word);
                word = 0;
            }
            if (alone) {
                addWord(c);
            } else if (Character.isLetterOrDigit(c)) {
                word = mixed(word + 1, Character.toLowerCase(c));
            }
        }
        if (word != 0) {
            addWord(word);
        }
        if (wordCount < SHINGLE) {
            addShingle();
        }
        short[] signature = new short[HASHES];
        for (int i = 0; i < HASHES; i++) {
            signature[i] = (short) least[i];
        }
        return signature;
    }

    private void addWord(long word) {
        words[wordCount % SHINGLE] = word;
        wordCount++;
        if (wordCount >= SHINGLE) {
            addShingle();
        }
    }

    /** The last words, or the few that a text has. */
    private void addShingle() {
        long hash = 0;
        for (int i = Math.max(0, wordCount - SHINGLE); i < wordCount; i++) {
            hash = mixed(hash, words[i % SHINGLE]);
        }
        for (int i = 0; i < HASHES; i++) {
            int value = (int) (mixed(hash, i) >>> 33);
            least[i] = Math.min(least[i], value);
        }
    }

    /** Two numbers as one whose bits all depend on both. */
    private static long mixed(long hash, long value) {
        long mixed = (hash ^ value * 0x9E3779B97F4A7C15L) * 0xBF58476D1CE4E5B9L;
        mixed = (mixed ^ (mixed >>> 29)) * 0x94D049BB133111EBL;
        return mixed ^ (mixed >>> 32);
    }
}
