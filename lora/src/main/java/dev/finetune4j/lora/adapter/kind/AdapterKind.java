package dev.finetune4j.lora.adapter.kind;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModuleNames;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.layer.AdapterShape;
import dev.finetune4j.lora.adapter.layer.InitSources;
import java.util.List;
import java.util.Set;

/**
 * A kind of adapter: all that depends on which settings it has. Stateless. There are two forms, {@link LayerAdapterKind} of layers
 * on single modules and {@code PromptLearningKind} of virtual tokens before the first one; the kinds are registered in {@code AdapterKinds}, and nobody else asks which there are.
 *
 * @param <S> its settings
 */
public abstract class AdapterKind<S extends AdapterSettings> {
    private final Class<S> settings;
    private final String peftType;
    private final double usualLearningRate;

    /**
     * @param peftType what {@code adapter_config.json} calls it
     * @param usualLearningRate peak learning rate of a training when none is given
     */
    protected AdapterKind(Class<S> settings, String peftType, double usualLearningRate) {
        this.settings = settings;
        this.peftType = peftType;
        this.usualLearningRate = usualLearningRate;
    }

    public final Class<S> settings() {
        return settings;
    }

    public final String peftType() {
        return peftType;
    }

    /** Peak learning rate of a training when none is given; see {@link #rateDependsOnWidth}. */
    public final double usualLearningRate() {
        return usualLearningRate;
    }

    /** Whether narrow models need a higher learning rate; the usual one is then that of a model of width 4096. */
    public boolean rateDependsOnWidth() {
        return false;
    }

    /** What does not exist in a model, or cannot be together there. */
    public List<String> problems(S chosen, ModuleNames modules) {
        return List.of();
    }

    /** Whether the learning rates of LoRA+ can be given to its parameters. */
    public boolean supportsLoraPlus() {
        return false;
    }

    /**
     * What is wrong with training an adapter of these settings.
     *
     * @param quantized whether the base's weights are to be quantized when they are loaded
     */
    public List<String> trainingProblems(S chosen, boolean quantized) {
        return List.of();
    }

    /** Whether a file holds all that was trained, so that a training can go on from it. */
    public boolean isStoredWhole(S chosen) {
        return true;
    }

    /** Begins to compile what a training on a device will need; its base may still be read meanwhile. */
    public void prepare(S chosen, ComputeDevice device) {}

    /** How large an adapter on the base will be; of the base only shapes are looked at. */
    public abstract AdapterShape shape(S chosen, CausalLM base);

    /**
     * An adapter that is not trained yet.
     *
     * @throws SettingsException when the settings do not fit the model or lack a source
     */
    public abstract PeftAdapter create(S chosen, CausalLM base, InitSources sources);

    /** Reads the keys that are the kind's own; {@link ConfigFields#build} ends it. */
    public abstract S read(ConfigFields fields, CausalLM base);

    /** Writes the keys that are the kind's own. */
    public abstract void write(S chosen, ObjectNode config, CausalLM base);

    /**
     * The settings of a file where its keys alone do not tell which modules are meant.
     *
     * @param stored the names of the tensors in the file, as PEFT writes them
     */
    public S asStored(S chosen, Set<String> stored, ModuleNames modules) {
        return chosen;
    }

    /** Parts of a tensor's path behind which a state_dict of PEFT has the adapter's name. */
    public Set<String> namedByAdapter() {
        return Set.of();
    }

    /** Those among them that some versions of PEFT call a {@code weight}. */
    public Set<String> alsoCalledWeight() {
        return Set.of();
    }

    /** Tensors that belong to no module, by their whole names in a file. */
    public Set<String> outsideModules() {
        return Set.of();
    }

    /**
     * Makes an adapter of what a file holds.
     *
     * @throws dev.finetune4j.core.ModelFileException when the tensors do not fit; all differences are named at once
     */
    public abstract PeftAdapter load(S chosen, StoredAdapter file, CausalLM base);

    /** Adds the problems that a check finds to the list. */
    protected static void collect(List<String> problems, Runnable check) {
        try {
            check.run();
        } catch (SettingsException e) {
            problems.addAll(e.problems());
        }
    }
}
