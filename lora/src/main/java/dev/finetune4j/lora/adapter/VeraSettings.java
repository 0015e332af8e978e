package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.message.SetOnce;
import java.util.ArrayList;
import java.util.List;

/**
 * VeRA, {@code y = W x + λb ⊙ B (λd ⊙ A x)}: one pair of random matrices A and B for all linears, which stays as it is, and two
 * trained vectors for each linear that scale what the matrices put out
 * (<a href="https://arxiv.org/abs/2310.11454">Kopiczko et al. 2023</a>). Immutable. Names follow PEFT's {@code VeraConfig}.
 *
 * @param rank columns of B and rows of A, r, at least 1; larger than LoRA's, because only r values for each linear are trained
 *     on this side
 * @param projectionPrngKey seed of the random matrices, which are PyTorch's for it
 * @param saveProjection whether a file holds the random matrices; otherwise who loads it draws them anew from the key
 * @param dropout share of the adapter's inputs that training sets to zero, from 0 to below 1
 * @param dInitial what the vector behind A starts with; the one behind B starts at zero
 * @param modules the linears that get an adapter; VeRA knows no exceptions
 * @param bias which of the base's biases are trained too; {@link BiasTraining#LORA_ONLY} is PEFT's {@code vera_only}
 * @param modulesToSave as {@link LoraSettings#modulesToSave()}
 */
public record VeraSettings(
        int rank,
        long projectionPrngKey,
        boolean saveProjection,
        double dropout,
        double dInitial,
        ModuleSelection modules,
        BiasTraining bias,
        List<String> modulesToSave)
        implements AdapterSettings {
    public VeraSettings {
        modulesToSave = List.copyOf(modulesToSave);
        List<String> problems = new ArrayList<>();
        if (rank < 1) {
            problems.add("the VeRA rank must be at least 1, but is " + rank + "; 256 is usual");
        }
        if (!(dropout >= 0 && dropout < 1)) {
            problems.add("the VeRA dropout must be at least 0 and below 1, but is " + dropout);
        }
        if (!Double.isFinite(dInitial)) {
            problems.add("the first value of VeRA's vector d must be a number, but is " + dInitial + "; 0.1 is usual");
        }
        if (modules.exclude() != null) {
            problems.add("VeRA cannot leave out modules that are targets; name the targets without them");
        }
        problems.addAll(SettingsChecks.modulesToSave(modulesToSave));
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Starts with rank 256, key 0, saved matrices, no dropout, 0.1 and all linears. */
    public static Builder builder() {
        return new Builder();
    }

    /** Rank 256 on all linears. */
    public static VeraSettings defaults() {
        return builder().build();
    }

    /** Starts with these values, each of which may be set anew. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.rank = rank;
        builder.projectionPrngKey = projectionPrngKey;
        builder.saveProjection = saveProjection;
        builder.dropout = dropout;
        builder.dInitial = dInitial;
        builder.modules = modules;
        builder.bias = bias;
        builder.modulesToSave = modulesToSave;
        return builder;
    }

    /**
     * Collects the values, whose components say what each is. Each is set once; a second call is an {@link
     * IllegalStateException}. Not thread-safe.
     */
    public static final class Builder {
        private final SetOnce once = new SetOnce();
        private int rank = 256;
        private long projectionPrngKey;
        private boolean saveProjection = true;
        private double dropout;
        private double dInitial = 0.1;
        private ModuleSelection modules = ModuleSelection.of(TargetModules.allLinear());
        private BiasTraining bias = BiasTraining.NONE;
        private List<String> modulesToSave = List.of();

        private Builder() {}

        /** 256 by default. */
        public Builder rank(int value) {
            rank = once.set("rank", value);
            return this;
        }

        /** 0 by default. */
        public Builder projectionPrngKey(long value) {
            projectionPrngKey = once.set("projectionPrngKey", value);
            return this;
        }

        /** The matrices are saved by default. */
        public Builder saveProjection(boolean value) {
            saveProjection = once.set("saveProjection", value);
            return this;
        }

        /** 0 by default. */
        public Builder dropout(double value) {
            dropout = once.set("dropout", value);
            return this;
        }

        /** 0.1 by default. */
        public Builder dInitial(double value) {
            dInitial = once.set("dInitial", value);
            return this;
        }

        /** Adapts the modules with these names; all linears but the head, in all layers, by default. */
        public Builder targetModules(String... names) {
            return targetModules(TargetModules.named(names));
        }

        /** As {@link #targetModules(String...)}, also by a regular expression. */
        public Builder targetModules(TargetModules value) {
            return modules(ModuleSelection.of(Arguments.given(value, "targetModules(value)")));
        }

        /** As {@link #targetModules(TargetModules)}, with a choice of layers. */
        public Builder modules(ModuleSelection value) {
            modules = once.set("targetModules", value);
            return this;
        }

        /** No bias by default. */
        public Builder bias(BiasTraining value) {
            bias = once.set("bias", value);
            return this;
        }

        /** No module by default. */
        public Builder modulesToSave(String... names) {
            modulesToSave = once.set("modulesToSave", List.of(names));
            return this;
        }

        /**
         * The settings.
         *
         * @throws SettingsException naming every value that cannot work
         */
        public VeraSettings build() {
            return new VeraSettings(
                    rank, projectionPrngKey, saveProjection, dropout, dInitial, modules, bias, modulesToSave);
        }
    }
}
