package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * The shape of a LoRA adapter (<a href="https://arxiv.org/abs/2106.09685">Hu et al. 2021</a>). Immutable. Names follow
 * PEFT's {@code LoraConfig}.
 *
 * @param rank columns of A and rows of B, r, at least 1
 * @param alpha the adapter's product is scaled by {@code alpha / rank}
 * @param dropout share of the adapter's inputs that training sets to zero, from 0 to below 1
 * @param targets the linears that get an adapter
 * @param rankStabilized whether the product is scaled by {@code alpha / √rank} instead
 *     (<a href="https://arxiv.org/abs/2312.03732">rsLoRA, Kalajdzievski 2023</a>)
 * @param weightDecomposed whether the length of each row of the weight is trained apart
 *     (<a href="https://arxiv.org/abs/2402.09353">DoRA, Liu et al. 2024</a>)
 * @param rankPattern other ranks for some linears: the first key that matches a module path, or its end behind a dot, as a
 *     regular expression decides
 * @param alphaPattern other alphas, in the same way
 */
public record LoraSettings(
        int rank,
        double alpha,
        double dropout,
        TargetModules targets,
        boolean rankStabilized,
        boolean weightDecomposed,
        Map<String, Integer> rankPattern,
        Map<String, Double> alphaPattern) {
    public LoraSettings {
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
        alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
        List<String> problems = new ArrayList<>();
        if (rank < 1) {
            problems.add("the LoRA rank must be at least 1, but is " + rank + "; 8 or 16 is usual");
        }
        if (!(alpha > 0) || Double.isInfinite(alpha)) {
            problems.add("the LoRA alpha must be above 0, but is " + alpha + "; once or twice the rank is usual");
        }
        if (!(dropout >= 0 && dropout < 1)) {
            problems.add("the LoRA dropout must be at least 0 and below 1, but is " + dropout);
        }
        rankPattern.forEach((key, value) -> {
            requirePattern(problems, key);
            if (value < 1) {
                problems.add("the rank for \"" + key + "\" must be at least 1, but is " + value);
            }
        });
        alphaPattern.forEach((key, value) -> {
            requirePattern(problems, key);
            if (!(value > 0) || Double.isInfinite(value)) {
                problems.add("the alpha for \"" + key + "\" must be above 0, but is " + value);
            }
        });
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** The same shape for all targets, scaled by {@code alpha / rank}. */
    public LoraSettings(int rank, double alpha, double dropout, TargetModules targets) {
        this(rank, alpha, dropout, targets, false, false, Map.of(), Map.of());
    }

    /** Rank 16, alpha 32, no dropout, on all linears. */
    public static LoraSettings defaults() {
        return new LoraSettings(16, 32, 0, TargetModules.allLinear());
    }

    /** The rank of the linear with this module path. */
    public int rankOf(String linear) {
        return matching(rankPattern, linear).orElse(rank);
    }

    /** Factor on the product of B and A of the linear with this module path. */
    public double scaleOf(String linear) {
        double chosen = matching(alphaPattern, linear).orElse(alpha);
        int columns = rankOf(linear);
        return chosen / (rankStabilized ? Math.sqrt(columns) : columns);
    }

    private static <T> Optional<T> matching(Map<String, T> pattern, String linear) {
        return pattern.entrySet().stream()
                .filter(entry -> linear.matches("(.*\\.)?(" + entry.getKey() + ")"))
                .map(Map.Entry::getValue)
                .findFirst();
    }

    private static void requirePattern(List<String> problems, String key) {
        try {
            Pattern.compile(key);
        } catch (PatternSyntaxException e) {
            problems.add("\"" + key + "\" is no regular expression: " + e.getDescription());
        }
    }
}
