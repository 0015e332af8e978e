package dev.finetune4j.core.message;

/** How unlike two words are, by which an error finds the one that was probably meant. Stateless. */
public final class EditDistance {
    private EditDistance() {}

    /** The Levenshtein distance: the fewest characters that are put in, left out or replaced to make one word of the other. */
    public static int between(String one, String other) {
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
