package dev.finetune4j;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.kind.AdapterKind;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.LoraPlus;
import dev.finetune4j.lora.train.loop.ParameterGroups;
import dev.finetune4j.quant.QuantSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What a fine-tuning trains. Immutable. */
sealed interface TuningMethod {
    /** Peak learning rate when none is given; of methods that depend on it, for a model of width 4096. */
    double usualRate();

    /** Whether narrow models need a higher learning rate. */
    boolean dependsOnWidth();

    /** Kind and shape of the adapter; null when the weights themselves are trained. */
    @Nullable
    AdapterSettings adapter();

    /** Form of the base's weights; null to leave them as they are in the folder. */
    @Nullable
    QuantSettings quantization();

    /** Which parameters learn at which rate, and which of them decay. */
    ParameterGroups groups(TrainingSettings settings);

    /** All parameters together where none decays. */
    private static ParameterGroups decayed(TrainingSettings settings) {
        return settings.weightDecay() == 0 ? ParameterGroups.ONE : ParameterGroups.DECAY;
    }

    /**
     * The method with what was chosen apart from it.
     *
     * @param form of the base's weights; null to leave it as it is
     * @param ratio of LoRA+; null to train all factors alike
     * @throws SettingsException when they do not go together
     */
    TuningMethod with(@Nullable QuantSettings form, @Nullable Double ratio);

    /** Folder of the adapter whose training goes on; null where a new one begins, or none is trained. */
    default @Nullable Path continued() {
        return null;
    }

    /**
     * The training of an adapter that goes on, with all of its settings.
     *
     * @param folder in PEFT's format
     * @param model folder of its base; null when none was chosen, which is said elsewhere
     * @throws SettingsException when it cannot be trained further
     * @throws dev.finetune4j.core.ModelFileException when the folder is no adapter's, or the model's is no model's
     */
    static TuningMethod continuing(Path folder, @Nullable Path model) {
        if (model == null) {
            throw new SettingsException(List.of("continueAdapter(…) needs the model that the adapter was trained on"));
        }
        try (CausalLM meta = ModelLoader.meta(PretrainedFolder.open(model))) {
            return new WithAdapter(AdapterFiles.trainableSettings(folder, meta), null, null, folder);
        }
    }

    /** Positions that stand before each example. */
    default int virtualTokens() {
        AdapterSettings adapter = adapter();
        return adapter == null ? 0 : adapter.virtualTokens();
    }

    /**
     * An adapter; on a base in 4 bits a LoRA adapter is QLoRA
     * (<a href="https://arxiv.org/abs/2305.14314">Dettmers et al. 2023</a>).
     *
     * @param plus gives B its own learning rate; null to train all factors alike
     * @param continued folder of the adapter whose training goes on; null for a new one
     */
    record WithAdapter(
            AdapterSettings adapter,
            @Nullable QuantSettings quantization,
            @Nullable LoraPlus plus,
            @Nullable Path continued)
            implements TuningMethod {
        /** A new adapter. */
        WithAdapter(AdapterSettings adapter, @Nullable QuantSettings quantization) {
            this(adapter, quantization, null, null);
        }

        /** The same on a base whose weights have a form already. */
        WithAdapter on(@Nullable QuantSettings form) {
            return new WithAdapter(adapter, form, plus, continued);
        }

        @Override
        public double usualRate() {
            return AdapterKinds.of(adapter).usualLearningRate();
        }

        @Override
        public boolean dependsOnWidth() {
            return AdapterKinds.of(adapter).rateDependsOnWidth();
        }

        @Override
        public ParameterGroups groups(TrainingSettings settings) {
            return plus == null ? decayed(settings) : ParameterGroups.of(plus, settings.learningRate());
        }

        @Override
        public TuningMethod with(@Nullable QuantSettings form, @Nullable Double ratio) {
            WithAdapter chosen = new WithAdapter(
                    adapter,
                    form == null ? quantization : form,
                    ratio == null ? null : LoraPlus.withRatio(ratio),
                    continued);
            AdapterKind<AdapterSettings> kind = AdapterKinds.of(adapter);
            List<String> problems = new ArrayList<>(kind.trainingProblems(adapter, chosen.quantization() != null));
            if (ratio != null && !kind.supportsLoraPlus()) {
                problems.add("loraPlus(…) gives the factors of a LoRA adapter their learning rates, but another kind of"
                        + " adapter is trained; leave it out");
            }
            if (!problems.isEmpty()) {
                throw new SettingsException(problems);
            }
            return chosen;
        }
    }

    /** All weights of the model. */
    record Full() implements TuningMethod {
        @Override
        public double usualRate() {
            return 2e-5;
        }

        @Override
        public boolean dependsOnWidth() {
            return true;
        }

        @Override
        public @Nullable AdapterSettings adapter() {
            return null;
        }

        @Override
        public @Nullable QuantSettings quantization() {
            return null;
        }

        @Override
        public ParameterGroups groups(TrainingSettings settings) {
            return decayed(settings);
        }

        @Override
        public TuningMethod with(@Nullable QuantSettings form, @Nullable Double ratio) {
            List<String> problems = new ArrayList<>();
            if (form != null) {
                problems.add("full fine-tuning trains the weights themselves, which cannot be kept in 4 bits;"
                        + " leave quantize(…) out or train an adapter");
            }
            if (ratio != null) {
                problems.add(
                        "loraPlus(…) gives the factors of a LoRA adapter their learning rates, but full fine-tuning"
                                + " has none; leave it out");
            }
            if (!problems.isEmpty()) {
                throw new SettingsException(problems);
            }
            return this;
        }
    }
}
