package dev.finetune4j.lora.adapter;

import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Collects the values of {@link LoraSettings}, whose components say what each is. Not thread-safe. */
public final class LoraSettingsBuilder {
    private int rank = 16;
    private @Nullable Double alpha;
    private double dropout;
    private TargetModules targets = TargetModules.allLinear();
    private @Nullable TargetModules exclude;
    private List<Integer> layers = List.of();
    private List<String> layersPattern = List.of();
    private boolean rankStabilized;
    private boolean weightDecomposed;
    private Map<String, Integer> rankPattern = Map.of();
    private Map<String, Double> alphaPattern = Map.of();
    private LoraInit start = LoraInit.kaiming();
    private BiasTraining bias = BiasTraining.NONE;
    private boolean outputBias;
    private List<String> trainedWhole = List.of();
    private Map<String, List<Integer>> trainedTokens = Map.of();

    LoraSettingsBuilder() {}

    /** 16 by default. */
    public LoraSettingsBuilder rank(int value) {
        rank = value;
        return this;
    }

    /** Twice the rank by default. */
    public LoraSettingsBuilder alpha(double value) {
        alpha = value;
        return this;
    }

    /** 0 by default. */
    public LoraSettingsBuilder dropout(double value) {
        dropout = value;
        return this;
    }

    /** All linears but the head by default. */
    public LoraSettingsBuilder targets(TargetModules value) {
        targets = value;
        return this;
    }

    /** No exception by default. */
    public LoraSettingsBuilder exclude(@Nullable TargetModules value) {
        exclude = value;
        return this;
    }

    /** All layers by default. */
    public LoraSettingsBuilder layers(List<Integer> value) {
        layers = value;
        return this;
    }

    /** The first number in a module path by default. */
    public LoraSettingsBuilder layersPattern(List<String> value) {
        layersPattern = value;
        return this;
    }

    /** Off by default. */
    public LoraSettingsBuilder rankStabilized(boolean value) {
        rankStabilized = value;
        return this;
    }

    /** Off by default. */
    public LoraSettingsBuilder weightDecomposed(boolean value) {
        weightDecomposed = value;
        return this;
    }

    /** One rank for all by default. */
    public LoraSettingsBuilder rankPattern(Map<String, Integer> value) {
        rankPattern = value;
        return this;
    }

    /** One alpha for all by default. */
    public LoraSettingsBuilder alphaPattern(Map<String, Double> value) {
        alphaPattern = value;
        return this;
    }

    /** {@link LoraInit#kaiming()} by default. */
    public LoraSettingsBuilder start(LoraInit value) {
        start = value;
        return this;
    }

    /** {@link BiasTraining#NONE} by default. */
    public LoraSettingsBuilder bias(BiasTraining value) {
        bias = value;
        return this;
    }

    /** Off by default. */
    public LoraSettingsBuilder outputBias(boolean value) {
        outputBias = value;
        return this;
    }

    /** None by default. */
    public LoraSettingsBuilder trainedWhole(List<String> value) {
        trainedWhole = value;
        return this;
    }

    /** None by default. */
    public LoraSettingsBuilder trainedTokens(Map<String, List<Integer>> value) {
        trainedTokens = value;
        return this;
    }

    /**
     * The settings.
     *
     * @throws dev.finetune4j.core.SettingsException naming every value that cannot work
     */
    public LoraSettings build() {
        return new LoraSettings(
                rank,
                alpha == null ? 2.0 * Math.max(1, rank) : alpha,
                dropout,
                new ModuleSelection(targets, exclude, layers, layersPattern),
                rankStabilized,
                weightDecomposed,
                rankPattern,
                alphaPattern,
                start,
                bias,
                outputBias,
                trainedWhole,
                trainedTokens);
    }
}
