package dev.finetune4j.lora.adapter;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * PEFT's {@code rank_pattern} and {@code alpha_pattern}: values by module path, of which the first key counts that matches
 * the path, or its end behind a dot, as a regular expression. Stateless.
 */
final class ModulePatterns {
    /** More than a model has linears. */
    private static final int MAX_PATTERNS = 100_000;

    /** Regular expressions among them, which are compared with each module path. */
    private static final int MAX_EXPRESSIONS = 100;

    private ModulePatterns() {}

    /** The value for a module; empty when no key matches. */
    static <T> Optional<T> find(Map<String, T> pattern, String module) {
        return pattern.entrySet().stream()
                .filter(entry -> matches(entry.getKey(), module))
                .map(Map.Entry::getValue)
                .findFirst();
    }

    /** Adds what is wrong with the ranks and alphas by pattern. */
    static void check(List<String> problems, Map<String, Integer> ranks, Map<String, Double> alphas) {
        requireFew(problems, "rank", ranks.keySet());
        requireFew(problems, "alpha", alphas.keySet());
        ranks.forEach((key, value) -> {
            requirePattern(problems, key);
            if (value < 1) {
                problems.add("the rank for \"" + key + "\" must be at least 1, but is " + value);
            }
        });
        alphas.forEach((key, value) -> {
            requirePattern(problems, key);
            if (!Double.isFinite(value)) {
                problems.add("the alpha for \"" + key + "\" must be a number, but is " + value);
            }
        });
    }

    private static void requireFew(List<String> problems, String what, Set<String> keys) {
        long expressions = keys.stream().filter(key -> !isPlain(key)).count();
        if (keys.size() > MAX_PATTERNS || expressions > MAX_EXPRESSIONS) {
            problems.add("the " + what + "s by pattern are " + keys.size() + ", of which " + expressions
                    + " are no plain names; the limits are " + MAX_PATTERNS + " and " + MAX_EXPRESSIONS);
        }
    }

    private static boolean isPlain(String key) {
        return key.chars().allMatch(c -> c < 128 && (Character.isLetterOrDigit(c) || c == '_' || c == '.'));
    }

    private static void requirePattern(List<String> problems, String key) {
        String problem = PathPattern.problem(key);
        if (problem != null) {
            problems.add("\"" + key + "\" " + problem);
        }
    }

    /** Whether PEFT's {@code (.*\.)?(key)$} matches. Most keys are plain names, which need no regular expression. */
    private static boolean matches(String key, String module) {
        if (!isPlain(key)) {
            return PathPattern.of("(.*\\.)?(" + key + ")").matches(module);
        }
        int start = module.length() - key.length();
        boolean fits = start == 0 || (start > 0 && module.charAt(start - 1) == '.');
        for (int i = 0; fits && i < key.length(); i++) {
            fits = key.charAt(i) == '.' || key.charAt(i) == module.charAt(start + i);
        }
        return fits;
    }
}
