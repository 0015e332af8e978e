package dev.finetune4j.examples.task;

import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;
import java.util.Optional;

/** Finds the word that was probably meant. Stateless. */
final class Nearest {
    private Nearest() {}

    /** The word among the known ones that is most like this one; empty when none is much like it. */
    static Optional<String> to(String word, Collection<String> known) {
        String lower = word.toLowerCase(Locale.ROOT).replace('-', '_');
        return known.stream()
                .min(Comparator.comparingInt(other -> distance(lower, other)))
                .filter(other -> distance(lower, other) <= Math.max(2, other.length() / 3));
    }

    /** {@code , did you mean lora_rank?}, or nothing. */
    static String hint(String word, Collection<String> known) {
        return to(word, known).map(other -> ", did you mean " + other + "?").orElse("");
    }

    /** The Levenshtein distance. */
    private static int distance(String one, String other) {
        int[] row = new int[other.length() + 1];
        for (int j = 0; j <= other.length(); j++) {
            row[j] = j;
        }
        for (int i = 1; i <= one.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= other.length(); j++) {
                int changed = diagonal + (one.charAt(i - 1) == other.charAt(j - 1) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.min(changed, 1 + Math.min(row[j], row[j - 1]));
            }
        }
        return row[other.length()];
    }
}
