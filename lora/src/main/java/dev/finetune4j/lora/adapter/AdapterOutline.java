package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModuleNames;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * How large an adapter will be and what it will put around the projections of a model, before either exists.
 *
 * @param trainedValues how many numbers are trained
 * @param frozenValues how many more the adapter holds, such as the factors that its base goes without
 * @param linears what happens to each projection, by module path; those that stay as they are are not there
 */
public record AdapterOutline(long trainedValues, long frozenValues, Map<String, Change> linears) {
    /** What an adapter does to a projection. */
    public sealed interface Change permits LowRank, Rescaled, Trained {}

    /**
     * Factors beside the weight.
     *
     * @param rank r
     * @param dropout share of the inputs that is hidden
     * @param plain whether they are added and nothing else, so that their backward pass is written by hand
     * @param decomposed whether the rows of the weight have trained lengths
     */
    public record LowRank(int rank, double dropout, boolean plain, boolean decomposed) implements Change {}

    /**
     * Factors on what goes in or comes out.
     *
     * @param input which of the two
     */
    public record Rescaled(boolean input) implements Change {}

    /** The weight is replaced by a copy that is trained. */
    public record Trained() implements Change {}

    public AdapterOutline {
        linears = Collections.unmodifiableMap(new LinkedHashMap<>(linears));
    }

    /**
     * The outline of an adapter on a model.
     *
     * @param base the model, or one of its shapes without weights ({@link
     *     dev.finetune4j.core.model.ModelLoader#hollow}): no weight is looked at
     * @throws dev.finetune4j.core.SettingsException when the settings do not fit the model
     */
    public static AdapterOutline of(AdapterSettings settings, CausalLM base) {
        settings.check(base.moduleNames());
        if (settings instanceof LoraSettings lora) {
            return ofLora(lora, base);
        }
        if (settings instanceof Ia3Settings ia3) {
            Map<String, Change> linears = new LinkedHashMap<>();
            ModuleNames names = base.moduleNames();
            for (String path : ia3.modules().matching(names.linears(), ia3.trainedWhole())) {
                linears.put(path, new Rescaled(ia3.rescalesInput(path)));
            }
            addTrained(linears, names, ia3.trainedWhole());
            return new AdapterOutline(values(Ia3Plans.of(ia3, BaseModules.of(base))), 0, linears);
        }
        return new AdapterOutline(virtual(settings, base.config()), 0, Map.of());
    }

    private static AdapterOutline ofLora(LoraSettings settings, CausalLM base) {
        BaseModules modules = BaseModules.of(base);
        ModuleNames names = base.moduleNames();
        Map<String, Change> linears = new LinkedHashMap<>();
        boolean leaves = settings.start().leavesBase();
        boolean plain = !settings.weightDecomposed() && !leaves && !settings.outputBias() && settings.dropout() == 0;
        Set<String> targets = settings.modules().matching(LoraPlans.candidates(names), settings.trainedWhole());
        long frozen = 0;
        for (String path : targets) {
            if (!CausalLM.isEmbedding(path)) {
                int rank = settings.rankOf(path);
                linears.put(path, new LowRank(rank, settings.dropout(), plain, settings.weightDecomposed()));
                var linear = modules.linears().get(path);
                frozen += leaves && linear != null ? rank * (linear.inFeatures() + linear.outFeatures()) : 0;
            }
        }
        addTrained(linears, names, settings.trainedWhole());
        return new AdapterOutline(values(LoraPlans.of(settings, modules)), frozen, linears);
    }

    private static void addTrained(Map<String, Change> linears, ModuleNames names, List<String> whole) {
        for (String path : TrainedModules.matching(names, whole)) {
            if (names.linears().contains(path)) {
                linears.put(path, new Trained());
            }
        }
    }

    private static long values(List<PartPlan> plans) {
        return plans.stream()
                .flatMap(plan -> plan.shapes().values().stream())
                .mapToLong(shape -> Arrays.stream(shape).reduce(1, Math::multiplyExact))
                .sum();
    }

    /** What {@link FreshEncoders} makes. */
    private static long virtual(AdapterSettings settings, ModelConfig config) {
        long count = settings.virtualTokens();
        long width = config.hiddenSize();
        if (settings instanceof PrefixSettings prefix) {
            long keys = VirtualTokenAdapter.keyWidth(config);
            long all = 2 * keys * config.layers();
            long size = prefix.projectionSize();
            return size == 0 ? count * all : count * keys + layer(keys, size) + layer(size, all);
        }
        if (!(settings instanceof PTuningSettings pTuning)) {
            return count * width;
        }
        long size = pTuning.encoderSize(width);
        if (pTuning.encoder() == PTuningSettings.Encoder.MLP) {
            return count * width + layer(width, size) + layer(size, size) + layer(size, width);
        }
        long recurrent = 0;
        for (int i = 0; i < pTuning.lstmLayers(); i++) {
            long in = i == 0 ? width : 2 * size;
            recurrent += 2 * (4 * size * in + 4 * size * size + 8 * size);
        }
        return count * width + layer(2 * size, 2 * size) + layer(2 * size, width) + recurrent;
    }

    private static long layer(long in, long out) {
        return in * out + out;
    }
}
