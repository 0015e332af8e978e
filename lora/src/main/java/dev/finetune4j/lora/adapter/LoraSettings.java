package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.ModuleNames;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The shape of a LoRA adapter (<a href="https://arxiv.org/abs/2106.09685">Hu et al. 2021</a>). Immutable. Names follow
 * PEFT's {@code LoraConfig}.
 *
 * @param rank columns of A and rows of B, r, at least 1
 * @param alpha the adapter's product is scaled by {@code alpha / rank}; files may hold any number
 * @param dropout share of the adapter's inputs that training sets to zero, from 0 to below 1
 * @param modules the linears, and if it is named the embedding, that get an adapter
 * @param useRslora rsLoRA: the product is scaled by {@code alpha / √rank} instead
 *     (<a href="https://arxiv.org/abs/2312.03732">Kalajdzievski 2023</a>)
 * @param useDora DoRA: the weight is decomposed, the length of each of its rows (its magnitude) is trained apart from the
 *     direction (<a href="https://arxiv.org/abs/2402.09353">Liu et al. 2024</a>)
 * @param rankPattern other ranks for some modules: the first key that matches a module path, or its end behind a dot, as a
 *     regular expression decides
 * @param alphaPattern other alphas, in the same way
 * @param initWeights how the factors are initialized; PEFT's {@code init_lora_weights}
 * @param bias which of the base's biases are trained too
 * @param loraBias whether B has a bias of its own; PEFT's {@code lora_bias}
 * @param modulesToSave modules that are copied and trained themselves, such as {@code lm_head} or {@code norm}: all whose
 *     path, or that of a module around them, ends so; PEFT's {@code modules_to_save}
 * @param trainableTokenIndices rows of the embedding (or of another table, by the end of its path) that are trained themselves, as
 *     token ids; PEFT's {@code trainable_token_indices}
 */
public record LoraSettings(
        int rank,
        double alpha,
        double dropout,
        ModuleSelection modules,
        boolean useRslora,
        boolean useDora,
        Map<String, Integer> rankPattern,
        Map<String, Double> alphaPattern,
        LoraInit initWeights,
        BiasTraining bias,
        boolean loraBias,
        List<String> modulesToSave,
        Map<String, List<Integer>> trainableTokenIndices)
        implements AdapterSettings {
    /** More than a model has linears. */
    private static final int MAX_PATTERNS = 100_000;

    /** Regular expressions among them, which are compared with each module path. */
    private static final int MAX_EXPRESSIONS = 100;

    public LoraSettings {
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
        alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
        modulesToSave = List.copyOf(modulesToSave);
        Map<String, List<Integer>> tokens = new LinkedHashMap<>();
        trainableTokenIndices.forEach((table, ids) -> tokens.put(table, List.copyOf(ids)));
        trainableTokenIndices = Collections.unmodifiableMap(tokens);
        List<String> problems = new ArrayList<>();
        if (rank < 1) {
            problems.add("the LoRA rank must be at least 1, but is " + rank + "; 8 or 16 is usual");
        }
        boolean divides = initWeights.usesResidualBase() || initWeights instanceof LoraInit.Loftq;
        if (!Double.isFinite(alpha) || (divides && alpha <= 0)) {
            problems.add("the LoRA alpha must be a number" + (divides ? " above 0" : "") + ", but is " + alpha
                    + "; once or twice the rank is usual");
        }
        if (!(dropout >= 0 && dropout < 1)) {
            problems.add("the LoRA dropout must be at least 0 and below 1, but is " + dropout);
        }
        checkPatterns(problems, rankPattern, alphaPattern);
        problems.addAll(ModulesToSave.problems(modulesToSave));
        checkTokens(problems, modulesToSave, trainableTokenIndices);
        if (loraBias && (useDora || initWeights.usesResidualBase() || initWeights instanceof LoraInit.Loftq)) {
            problems.add("a bias on B goes with neither DoRA nor a start from the base's weights; leave one out");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    private static void checkPatterns(
            List<String> problems, Map<String, Integer> rankPattern, Map<String, Double> alphaPattern) {
        requireFew(problems, "rank", rankPattern.keySet());
        requireFew(problems, "alpha", alphaPattern.keySet());
        rankPattern.forEach((key, value) -> {
            requirePattern(problems, key);
            if (value < 1) {
                problems.add("the rank for \"" + key + "\" must be at least 1, but is " + value);
            }
        });
        alphaPattern.forEach((key, value) -> {
            requirePattern(problems, key);
            if (!Double.isFinite(value)) {
                problems.add("the alpha for \"" + key + "\" must be a number, but is " + value);
            }
        });
    }

    private static void checkTokens(
            List<String> problems, List<String> modulesToSave, Map<String, List<Integer>> trainableTokenIndices) {
        trainableTokenIndices.forEach((table, ids) -> {
            if (ids.isEmpty()
                    || ids.stream().anyMatch(id -> id < 0)
                    || ids.stream().distinct().count() != ids.size()) {
                problems.add(
                        "the trained tokens of \"" + table + "\" must be different token ids from 0, but are " + ids);
            }
            if (modulesToSave.contains(table)) {
                problems.add("\"" + table + "\" is trained whole, so its tokens cannot be chosen apart; leave one out");
            }
        });
    }

    /** Modules of a model that these settings would change in two ways, which PEFT cannot load either. */
    List<String> conflicts(ModuleNames names) {
        Set<String> targets = modules.matching(LoraSpecs.candidates(names), modulesToSave);
        List<String> whole = ModulesToSave.matching(names, modulesToSave);
        List<String> tables = TrainableTokens.resolve(names, trainableTokenIndices.keySet());
        List<String> conflicts = new ArrayList<>();
        for (String path : names.all()) {
            int ways =
                    (targets.contains(path) ? 1 : 0) + (whole.contains(path) ? 1 : 0) + (tables.contains(path) ? 1 : 0);
            if (ways > 1) {
                conflicts.add(
                        "the module " + path + " is in more than one of targets, modules trained whole and trained"
                                + " tokens; leave it in one");
            }
        }
        return conflicts;
    }

    /** Starts with rank 16, alpha twice the rank, no dropout, all linears. */
    public static LoraSettingsBuilder builder() {
        return new LoraSettingsBuilder();
    }

    /** Rank 16, alpha 32, no dropout, on all linears. */
    public static LoraSettings defaults() {
        return builder().build();
    }

    /** The rank of the module with this path. */
    public int rankOf(String module) {
        return matching(rankPattern, module).orElse(rank);
    }

    /** Factor on the product of B and A of the module with this path. */
    public double scaleOf(String module) {
        double chosen = matching(alphaPattern, module).orElse(alpha);
        int columns = rankOf(module);
        return chosen / (useRslora ? Math.sqrt(columns) : columns);
    }

    /**
     * The settings of the same adapter when the subtracted factors stand behind the trained ones, with their signs turned:
     * an ordinary adapter of twice the rank and the same scale, as PEFT converts it.
     */
    LoraSettings withDoubleRank() {
        double factor = useRslora ? Math.sqrt(2) : 2;
        Map<String, Integer> ranks = new LinkedHashMap<>();
        rankPattern.forEach((key, value) -> ranks.put(key, 2 * value));
        Map<String, Double> alphas = new LinkedHashMap<>();
        alphaPattern.forEach((key, value) -> alphas.put(key, factor * value));
        return new LoraSettings(
                2 * rank,
                factor * alpha,
                dropout,
                modules,
                useRslora,
                useDora,
                ranks,
                alphas,
                LoraInit.kaiming(),
                bias,
                loraBias,
                modulesToSave,
                trainableTokenIndices);
    }

    private static <T> Optional<T> matching(Map<String, T> pattern, String module) {
        return pattern.entrySet().stream()
                .filter(entry -> means(entry.getKey(), module))
                .map(Map.Entry::getValue)
                .findFirst();
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
    private static boolean means(String key, String module) {
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
