package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.SetOnce;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * LoRA, {@code y = W x + (alpha / r) · B A x} (<a href="https://arxiv.org/abs/2106.09685">Hu et al. 2021</a>): which modules get
 * factors A and B, and of which shape. Immutable. Names follow PEFT's {@code LoraConfig}.
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
 * @param targetParameters weights of all experts of a layer that get factors together, by the end of their name in transformers,
 *     such as {@code mlp.experts.gate_up_proj} and {@code mlp.experts.down_proj}; PEFT's {@code target_parameters}
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
        List<String> targetParameters,
        Map<String, List<Integer>> trainableTokenIndices)
        implements AdapterSettings {
    public LoraSettings {
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
        alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
        modulesToSave = List.copyOf(modulesToSave);
        targetParameters = List.copyOf(targetParameters);
        Map<String, List<Integer>> tokens = new LinkedHashMap<>();
        trainableTokenIndices.forEach((table, ids) -> tokens.put(table, List.copyOf(ids)));
        trainableTokenIndices = Collections.unmodifiableMap(tokens);
        List<String> problems = new ArrayList<>();
        if (rank < 1) {
            problems.add("the LoRA rank must be at least 1, but is " + rank + "; 8 or 16 is usual");
        }
        boolean divides = initWeights.readsBase();
        if (!Double.isFinite(alpha) || (divides && alpha <= 0)) {
            problems.add("the LoRA alpha must be a number" + (divides ? " above 0" : "") + ", but is " + alpha
                    + "; once or twice the rank is usual");
        }
        if (!(dropout >= 0 && dropout < 1)) {
            problems.add("the LoRA dropout must be at least 0 and below 1, but is " + dropout);
        }
        ModulePatterns.check(problems, rankPattern, alphaPattern);
        problems.addAll(SettingsChecks.modulesToSave(modulesToSave));
        checkTokens(problems, modulesToSave, trainableTokenIndices);
        if (!targetParameters.isEmpty() && (dropout > 0 || useDora || loraBias || initWeights.readsBase())) {
            problems.add("factors of target parameters go with neither dropout, DoRA, a bias on B nor a start from the"
                    + " base's weights, as in PEFT; leave that out or name linears instead");
        }
        if (modules.targets() instanceof TargetModules.None && targetParameters.isEmpty()) {
            problems.add("neither target modules nor target parameters are named; name at least one");
        }
        if (loraBias && (useDora || initWeights.readsBase())) {
            problems.add("a bias on B goes with neither DoRA nor a start from the base's weights; leave one out");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
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

    /** Starts with rank 16, alpha twice the rank, no dropout, all linears. */
    public static Builder builder() {
        return new Builder();
    }

    /** Starts with these values, each of which may be set anew. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.rank = rank;
        builder.alpha = alpha;
        builder.dropout = dropout;
        builder.targetModules = modules.targets();
        builder.excludeModules = modules.exclude();
        builder.layersToTransform = modules.layers();
        builder.layersPattern = modules.layersPattern();
        builder.useRslora = useRslora;
        builder.useDora = useDora;
        builder.rankPattern = rankPattern;
        builder.alphaPattern = alphaPattern;
        builder.initWeights = initWeights;
        builder.bias = bias;
        builder.loraBias = loraBias;
        builder.modulesToSave = modulesToSave;
        builder.targetParameters = targetParameters;
        builder.trainableTokenIndices = trainableTokenIndices;
        return builder;
    }

    /** The same, with the linears of single experts among many excluded from the targets. */
    public LoraSettings withoutExperts() {
        Builder builder = toBuilder();
        builder.excludeModules = modules.withoutExperts().exclude();
        return builder.build();
    }

    /** Rank 16, alpha 32, no dropout, on all linears. */
    public static LoraSettings defaults() {
        return builder().build();
    }

    /** The rank of the module with this path. */
    public int rankOf(String module) {
        return ModulePatterns.find(rankPattern, module).orElse(rank);
    }

    /** Factor on the product of B and A of the module with this path. */
    public double scaleOf(String module) {
        double chosen = ModulePatterns.find(alphaPattern, module).orElse(alpha);
        int columns = rankOf(module);
        return chosen / (useRslora ? Math.sqrt(columns) : columns);
    }

    /**
     * Collects the values, under PEFT's names: {@code r} is {@code rank}, and what begins with {@code lora_} there does without.
     * Each is set once; a second call is an {@link IllegalStateException}. Values are checked together at the end. Not
     * thread-safe.
     */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private int rank = 16;
        private @Nullable Double alpha;
        private double dropout;
        private @Nullable TargetModules targetModules;
        private @Nullable TargetModules excludeModules;
        private List<Integer> layersToTransform = List.of();
        private List<String> layersPattern = List.of();
        private boolean useRslora;
        private boolean useDora;
        private Map<String, Integer> rankPattern = Map.of();
        private Map<String, Double> alphaPattern = Map.of();
        private LoraInit initWeights = LoraInit.kaiming();
        private BiasTraining bias = BiasTraining.NONE;
        private boolean loraBias;
        private List<String> modulesToSave = List.of();
        private List<String> targetParameters = List.of();
        private Map<String, List<Integer>> trainableTokenIndices = Map.of();

        private Builder() {}

        /** Columns of A and rows of B; 16 by default. */
        public Builder rank(int value) {
            rank = once.set("rank", value);
            return this;
        }

        /** The adapter's product is scaled by {@code alpha / rank}; alpha is twice the rank by default. */
        public Builder alpha(double value) {
            alpha = once.set("alpha", value);
            return this;
        }

        /** Share of the adapter's inputs that training sets to zero; 0 by default. */
        public Builder dropout(double value) {
            dropout = once.set("dropout", value);
            return this;
        }

        /**
         * Adapts the weights of all experts of a layer together, such as {@code "mlp.experts.gate_up_proj",
         * "mlp.experts.down_proj"}; none by default. Without target modules no linear is adapted besides.
         */
        public Builder targetParameters(String... names) {
            targetParameters = once.set("targetParameters", List.of(names));
            return this;
        }

        /** Adapts the modules with these names, such as {@code "q_proj", "v_proj"}; all linears but the head by default. */
        public Builder targetModules(String... names) {
            return targetModules(TargetModules.named(names));
        }

        /** As {@link #targetModules(String...)}, also by a regular expression. */
        public Builder targetModules(TargetModules value) {
            targetModules = once.set("targetModules", value);
            return this;
        }

        /** Leaves these modules without an adapter although they are targets. */
        public Builder excludeModules(String... names) {
            return excludeModules(TargetModules.named(names));
        }

        /** As {@link #excludeModules(String...)}, also by a regular expression. */
        public Builder excludeModules(TargetModules value) {
            excludeModules = once.set("excludeModules", value);
            return this;
        }

        /** Adapts only these layers, counted from 0; all by default. */
        public Builder layersToTransform(int... layers) {
            layersToTransform =
                    once.set("layersToTransform", Arrays.stream(layers).boxed().toList());
            return this;
        }

        /** What stands before the layer's number in a module path; its first number by default. */
        public Builder layersPattern(String... names) {
            layersPattern = once.set("layersPattern", List.of(names));
            return this;
        }

        /** Scales the product by {@code alpha / √rank} instead (rsLoRA), which suits high ranks; off by default. */
        public Builder useRslora(boolean value) {
            useRslora = once.set("useRslora", value);
            return this;
        }

        /** Trains the length of each row of the weight apart from its direction (DoRA); off by default. */
        public Builder useDora(boolean value) {
            useDora = once.set("useDora", value);
            return this;
        }

        /** Other ranks for some modules, by regular expressions for the end of a path, such as {@code mlp\\.down_proj}. */
        public Builder rankPattern(Map<String, Integer> value) {
            rankPattern = once.set("rankPattern", value);
            return this;
        }

        /** Other alphas for some modules, see {@link #rankPattern}. */
        public Builder alphaPattern(Map<String, Double> value) {
            alphaPattern = once.set("alphaPattern", value);
            return this;
        }

        /** How the factors are initialized; {@link LoraInit#kaiming()} by default. */
        public Builder initWeights(LoraInit value) {
            initWeights = once.set("initWeights", value);
            return this;
        }

        /** Which biases of the base are trained too; none by default. */
        public Builder bias(BiasTraining value) {
            bias = once.set("bias", value);
            return this;
        }

        /** Whether B has a bias of its own; off by default. */
        public Builder loraBias(boolean value) {
            loraBias = once.set("loraBias", value);
            return this;
        }

        /** Trains copies of whole modules too, such as {@code "lm_head", "embed_tokens"}; the adapter becomes large by them. */
        public Builder modulesToSave(String... names) {
            modulesToSave = once.set("modulesToSave", List.of(names));
            return this;
        }

        /** Trains the embedding's rows of these tokens too, and the head's when it shares them: cheap for new tokens. */
        public Builder trainableTokenIndices(int... ids) {
            return trainableTokenIndices(
                    Map.of("embed_tokens", Arrays.stream(ids).boxed().toList()));
        }

        /** As {@link #trainableTokenIndices(int...)}, for any table by the end of its path. */
        public Builder trainableTokenIndices(Map<String, List<Integer>> value) {
            trainableTokenIndices = once.set("trainableTokenIndices", value);
            return this;
        }

        /**
         * The settings.
         *
         * @throws SettingsException naming every value that cannot work
         */
        public LoraSettings build() {
            return new LoraSettings(
                    rank,
                    alpha == null ? 2.0 * Math.max(1, rank) : alpha,
                    dropout,
                    new ModuleSelection(targets(), excludeModules, layersToTransform, layersPattern),
                    useRslora,
                    useDora,
                    rankPattern,
                    alphaPattern,
                    initWeights,
                    bias,
                    loraBias,
                    modulesToSave,
                    targetParameters,
                    trainableTokenIndices);
        }

        private TargetModules targets() {
            if (targetModules != null) {
                return targetModules;
            }
            return targetParameters.isEmpty() ? TargetModules.allLinear() : TargetModules.none();
        }
    }
}
