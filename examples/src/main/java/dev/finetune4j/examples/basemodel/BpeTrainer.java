package dev.finetune4j.examples.basemodel;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Learns a byte-level byte-pair encoding (<a href="https://arxiv.org/abs/1508.07909">Sennrich et al. 2016</a>, over
 * bytes as in GPT-2) that suits a very small bilingual model: merges stay inside one character beyond ASCII or inside
 * an ASCII word, so tokens are single Chinese characters, English words and word pieces, and single digits. A small
 * model generalises over characters that it has met in many places; it cannot over long Chinese words that it met
 * once.
 *
 * <p>The same texts, in any order, give the same result: pairs are taken by falling count (a character beyond ASCII
 * counts sixteen times), equal counts by rising token ids. A trainer holds settings only and is safe to share between
 * threads.
 */
public final class BpeTrainer {
    private static final int BYTES = 256;
    private static final int MIN_COUNT = 2;
    // A Chinese character carries about as much as an English word, yet a piece that many English words share would win
    // against it by mere count.
    private static final int CHARACTER_WEIGHT = 16;

    private final int vocabularySize;

    /**
     * Prepares a training run.
     *
     * @param vocabularySize the largest number of tokens, special tokens and bytes included; at least 259
     * @throws IllegalArgumentException when the size leaves no room for the special tokens and the bytes
     */
    public BpeTrainer(int vocabularySize) {
        int least = BpeTokenizer.SPECIAL_TOKENS.size() + BYTES;
        if (vocabularySize < least) {
            throw new IllegalArgumentException("A vocabulary of " + vocabularySize + " tokens cannot hold the "
                    + BpeTokenizer.SPECIAL_TOKENS.size() + " special tokens and the 256 bytes: ask for at least "
                    + least);
        }
        this.vocabularySize = vocabularySize;
    }

    /**
     * Learns the tokens. The result has fewer than asked for when no pair is left that occurs twice.
     *
     * @throws IllegalArgumentException when a text contains a special token, whose letters would be learned
     */
    public BpeTokenizer train(Iterable<String> texts) {
        List<Part> parts = countParts(texts);
        List<String> tokens = new ArrayList<>(BpeTokenizer.SPECIAL_TOKENS);
        for (int b = 0; b < BYTES; b++) {
            tokens.add(String.valueOf(ByteAlphabet.symbol(b)));
        }
        List<BpeTokenizer.Merge> merges = new ArrayList<>();
        while (tokens.size() < vocabularySize) {
            long best = mostFrequentPair(parts);
            if (best < 0) {
                break;
            }
            int left = (int) (best >>> 32);
            int right = (int) best;
            for (Part part : parts) {
                part.merge(left, right, tokens.size());
            }
            merges.add(new BpeTokenizer.Merge(tokens.get(left), tokens.get(right)));
            tokens.add(tokens.get(left) + tokens.get(right));
        }
        return new BpeTokenizer(tokens, merges);
    }

    private static List<Part> countParts(Iterable<String> texts) {
        Map<String, Long> counts = new TreeMap<>();
        for (String text : texts) {
            for (String special : BpeTokenizer.SPECIAL_TOKENS) {
                if (text.contains(special)) {
                    throw new IllegalArgumentException("The training text '" + text + "' contains the special token "
                            + special + ": train on the bare texts of the turns");
                }
            }
            for (String word : PreTokenizer.words(text)) {
                PreTokenizer.parts(word).forEach(part -> counts.merge(part, 1L, Long::sum));
            }
        }
        List<Part> parts = new ArrayList<>(counts.size());
        counts.forEach((text, count) -> parts.add(Part.of(text, count)));
        return parts;
    }

    /** The pair, left id in the upper half, or -1 when none occurs often enough. */
    private static long mostFrequentPair(List<Part> parts) {
        Map<Long, Long> counts = new HashMap<>();
        for (Part part : parts) {
            part.countPairs(counts);
        }
        long best = -1;
        long bestCount = MIN_COUNT - 1L;
        for (Map.Entry<Long, Long> entry : counts.entrySet()) {
            long pair = entry.getKey();
            long count = entry.getValue();
            if (count > bestCount || (count == bestCount && best >= 0 && pair < best)) {
                best = pair;
                bestCount = count;
            }
        }
        return best;
    }

    /** A distinct part of the training words, as token ids, with the number of times it occurs. */
    private static final class Part {
        private final boolean ascii;
        private final long count;
        private int[] ids;

        private Part(int[] ids, boolean ascii, long count) {
            this.ids = ids;
            this.ascii = ascii;
            this.count = count;
        }

        static Part of(String text, long count) {
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            int[] ids = new int[bytes.length];
            for (int i = 0; i < ids.length; i++) {
                ids[i] = BpeTokenizer.SPECIAL_TOKENS.size() + Byte.toUnsignedInt(bytes[i]);
            }
            boolean ascii = text.charAt(0) < 128;
            return new Part(ids, ascii, ascii || count < MIN_COUNT ? count : count * CHARACTER_WEIGHT);
        }

        void countPairs(Map<Long, Long> counts) {
            // A character beyond ASCII grows from its first byte only, so that characters share the tokens of their
            // common beginnings and no token begins in the middle of a character.
            int pairs = ascii ? ids.length - 1 : Math.min(1, ids.length - 1);
            for (int i = 0; i < pairs; i++) {
                counts.merge((long) ids[i] << 32 | ids[i + 1], count, Long::sum);
            }
        }

        void merge(int left, int right, int merged) {
            int kept = 0;
            int[] next = new int[ids.length];
            for (int i = 0; i < ids.length; i++) {
                if (i + 1 < ids.length && ids[i] == left && ids[i + 1] == right) {
                    next[kept++] = merged;
                    i++;
                } else {
                    next[kept++] = ids[i];
                }
            }
            if (kept < ids.length) {
                ids = Arrays.copyOf(next, kept);
            }
        }
    }
}
