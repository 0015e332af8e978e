package dev.finetune4j.core.text;

import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * Finds the added tokens that a chat template writes to steer the model, such as the beginning of a turn, though no file
 * calls them special.
 *
 * <p>Some added tokens are a part of what messages say: white space and words, and pairs such as {@code <think>} and
 * {@code </think>} that stand within a turn. A pair counts only if a message stands between its two.
 */
final class WrittenTokens {
    private final Set<String> candidates = new LinkedHashSet<>();
    private final Set<String> pairs = new LinkedHashSet<>();

    /** @param added the texts of all added tokens */
    WrittenTokens(Collection<String> added) {
        Set<String> all = new LinkedHashSet<>(added);
        for (String token : added) {
            if (token.codePoints().allMatch(WrittenTokens::isWord)) {
                continue;
            }
            boolean closes = token.indexOf('/') >= 0 && all.contains(token.replaceFirst("/", ""));
            if (closes) {
                pairs.add(token);
                pairs.add(token.replaceFirst("/", ""));
            }
            candidates.add(token);
        }
    }

    /** Letters, digits, white space and what stands for a blank in vocabularies. */
    private static boolean isWord(int c) {
        return Character.isLetterOrDigit(c) || Whitespace.isBlank(Character.toString(c)) || c == '\u2581';
    }

    /** The tokens in the source of a template, or in what it writes itself. */
    Set<String> in(String text) {
        Set<String> found = new LinkedHashSet<>();
        for (String token : candidates) {
            if (!pairs.contains(token) && text.contains(token)) {
                found.add(token);
            }
        }
        return found;
    }

    /** The tokens around messages in what a template wrote, those of pairs included. */
    Set<String> around(String message, String written) {
        Set<String> found = in(written.replace(message, "\n"));
        for (String open : pairs) {
            for (String close : List.copyOf(pairs)) {
                boolean fits =
                        !close.equals(open) && close.replaceFirst("/", "").equals(open);
                if (fits
                        && Pattern.compile(Pattern.quote(open) + "\\s*" + message + "\\s*" + Pattern.quote(close))
                                .matcher(written)
                                .find()) {
                    found.add(open);
                    found.add(close);
                }
            }
        }
        return found;
    }
}
