package dev.finetune4j;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.LoraSettingsBuilder;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.train.loop.LoraPlus;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The choices that LoRA and QLoRA share. Not thread-safe; every method returns this object. Values are checked together
 * when the fine-tuner is built.
 *
 * @param <T> the class itself, so that calls can be chained
 */
public abstract sealed class LoraChoices<T extends LoraChoices<T>> permits LoraOptions, QloraOptions {
    private final LoraSettingsBuilder settings = LoraSettings.builder();
    private final Map<String, Integer> ranks = new LinkedHashMap<>();
    private final Map<String, Double> alphas = new LinkedHashMap<>();
    private @Nullable Double ratio;

    LoraChoices() {}

    abstract T self();

    /** Columns of A and rows of B; 16 by default. */
    public T rank(int value) {
        settings.rank(value);
        return self();
    }

    /** The adapter's product is scaled by {@code alpha / rank}; alpha is twice the rank by default. */
    public T alpha(double value) {
        settings.alpha(value);
        return self();
    }

    /** Scales the product by {@code alpha / √rank} instead (rsLoRA), which suits high ranks; off by default. */
    public T rankStabilized(boolean value) {
        settings.rankStabilized(value);
        return self();
    }

    /** Trains the length of each row of the weight apart from its direction (DoRA); off by default. */
    public T weightDecomposed(boolean value) {
        settings.weightDecomposed(value);
        return self();
    }

    /** Share of the adapter's inputs that training sets to zero; 0 by default. */
    public T dropout(double value) {
        settings.dropout(value);
        return self();
    }

    /** Adapts the modules with these names, such as {@code "q_proj", "v_proj"}; all linears but the head by default. */
    public T targets(String... names) {
        settings.targets(TargetModules.named(names));
        return self();
    }

    /** Adapts the modules whose whole path matches a regular expression, such as {@code .*layers\\.1\\..*_proj}. */
    public T targetsMatching(String regex) {
        settings.targets(TargetModules.matching(regex));
        return self();
    }

    /** Leaves these modules without an adapter although they are targets. */
    public T exclude(String... names) {
        settings.exclude(TargetModules.named(names));
        return self();
    }

    /** Adapts only these layers, counted from 0; all by default. */
    public T layers(int... numbers) {
        settings.layers(Arrays.stream(numbers).boxed().toList());
        return self();
    }

    /**
     * Another rank for some modules. Earlier calls count first.
     *
     * @param pattern a regular expression for the end of a module path, such as {@code mlp\\.down_proj}
     */
    public T rankFor(String pattern, int value) {
        ranks.put(pattern, value);
        return self();
    }

    /** Another alpha for some modules, see {@link #rankFor}. */
    public T alphaFor(String pattern, double value) {
        alphas.put(pattern, value);
        return self();
    }

    /** How the factors start; {@link LoraInit#kaiming()} by default. */
    public T start(LoraInit value) {
        settings.start(value);
        return self();
    }

    /** Which biases of the base are trained too; none by default. */
    public T trainBias(BiasTraining value) {
        settings.bias(value);
        return self();
    }

    /** Trains copies of whole modules too, such as {@code "lm_head", "embed_tokens"}; the adapter becomes large by them. */
    public T trainWhole(String... names) {
        settings.trainedWhole(List.of(names));
        return self();
    }

    /** Trains the embedding's rows of these tokens too, and the head's when it shares them: cheap for new tokens. */
    public T trainTokens(int... ids) {
        settings.trainedTokens(Map.of("embed_tokens", Arrays.stream(ids).boxed().toList()));
        return self();
    }

    /** Lets B learn so many times as fast as A (LoRA+); 1 by default, 16 is usual. */
    public T learningRateRatio(double value) {
        ratio = value;
        return self();
    }

    /**
     * The settings that follow from the choices.
     *
     * @throws SettingsException naming every value that cannot work
     */
    LoraSettings settings() {
        LoraSettings chosen = settings.rankPattern(ranks).alphaPattern(alphas).build();
        if (chosen.alpha() <= 0 || alphas.values().stream().anyMatch(alpha -> alpha <= 0)) {
            throw new SettingsException(List.of("the LoRA alpha must be above 0 for training, but is " + chosen.alpha()
                    + (alphas.isEmpty() ? "" : " and " + alphas) + "; once or twice the rank is usual"));
        }
        return chosen;
    }

    /** The learning rates by LoRA+, or null for one rate. */
    @Nullable
    LoraPlus plus() {
        return ratio == null ? null : LoraPlus.withRatio(ratio);
    }
}
