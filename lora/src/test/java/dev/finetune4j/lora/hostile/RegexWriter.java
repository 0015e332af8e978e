package dev.finetune4j.lora.hostile;

import java.util.List;
import java.util.Random;

/** Writes regular expressions at random, honest ones and those that a matcher which goes back never ends with. */
final class RegexWriter {
    private static final List<String> ATOMS = List.of(
            "a",
            "l",
            " ",
            ".",
            "\\s",
            "\\S",
            "\\d",
            "\\w",
            "\\p{L}",
            "\\p{N}",
            "\\p{Han}",
            "[a-z]",
            "[^x]",
            "[^\\s\\p{L}\\p{N}]",
            "[\\r\\n]",
            "[a-z&&[^l]]",
            "\\b",
            "^",
            "$",
            "\\z",
            "\\x{4f60}",
            "\\1",
            "\\X",
            "\\n",
            "q_proj",
            "layers\\.",
            "\u4f60");
    private static final List<String> QUANTIFIERS =
            List.of("*", "+", "?", "*?", "+?", "++", "*+", "{2,}", "{0,1000}", "{3}", "{1,30}", "{,5}", "{1000000}");
    private static final List<String> GROUPS =
            List.of("(", "(?:", "(?:", "(?i:", "(?>", "(?=", "(?!", "(?<=", "(?<!", "(?<n>", "(?x)(");

    private final Random random;

    RegexWriter(Random random) {
        this.random = random;
    }

    String expression() {
        return choice(0);
    }

    private String choice(int depth) {
        StringBuilder text = new StringBuilder(sequence(depth));
        while (random.nextInt(3) == 0) {
            text.append('|').append(sequence(depth));
        }
        return text.toString();
    }

    private String sequence(int depth) {
        StringBuilder text = new StringBuilder();
        for (int i = random.nextInt(5); i > 0; i--) {
            text.append(
                    depth < 4 && random.nextInt(3) == 0
                            ? GROUPS.get(random.nextInt(GROUPS.size())) + choice(depth + 1) + ")"
                            : ATOMS.get(random.nextInt(ATOMS.size())));
            if (random.nextBoolean()) {
                text.append(QUANTIFIERS.get(random.nextInt(QUANTIFIERS.size())));
            }
        }
        return text.toString();
    }
}
