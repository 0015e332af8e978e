package dev.finetune4j.examples.task;

import dev.finetune4j.core.message.EditDistance;
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
                .min(Comparator.comparingInt(other -> EditDistance.between(lower, other)))
                .filter(other -> EditDistance.between(lower, other) <= Math.max(2, other.length() / 3));
    }

    /** {@code , did you mean lora_rank?}, or nothing. */
    static String hint(String word, Collection<String> known) {
        return to(word, known).map(other -> ", did you mean " + other + "?").orElse("");
    }
}
