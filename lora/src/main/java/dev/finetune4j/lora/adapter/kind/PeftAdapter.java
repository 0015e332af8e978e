package dev.finetune4j.lora.adapter.kind;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.ModuleTransform;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.AdapterSettings;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/**
 * The trained part of a parameter-efficient fine-tuning, in the sense of <a href="https://github.com/huggingface/peft">
 * PEFT</a>.
 *
 * <p>An adapter owns its tensors and nothing of the base. {@link #attachTo} gives a model that uses them; the base itself
 * is unchanged. Safe to use from several threads while nothing trains it. Closing waits for passes in progress; later ones
 * end with {@link IllegalStateException}. The tensors that it hands out are there as long as a {@link #use} is held.
 */
public interface PeftAdapter extends AutoCloseable {
    /** That of a new adapter. */
    static Lifetime lifetime() {
        return Lifetime.shared("the adapter is closed; load it again to use it");
    }

    /** What kind of adapter this is and how it is shaped. */
    AdapterSettings settings();

    /**
     * Keeps the tensors from being freed until the use is closed, by the same thread.
     *
     * @throws IllegalStateException if the adapter is closed
     */
    Lifetime.Use use();

    /**
     * A model over the base's parts that computes with this adapter.
     *
     * @throws IllegalStateException if this or the base is closed
     */
    CausalLM attachTo(CausalLM base);

    /**
     * The tensors to train, float32, by the names that they have in PEFT.
     *
     * @throws IllegalStateException if the adapter is closed
     */
    Map<String, Tensor> parameters();

    /**
     * The same as parameters, whose compute copies this adapter's modules read while they are trained.
     *
     * @throws IllegalStateException if the adapter is closed
     */
    default Map<String, Parameter> trainable() {
        return Parameter.named(parameters());
    }

    /**
     * Replaces modules by those with this adapter in them, so that their dense weights are the merged ones.
     *
     * @throws IllegalStateException when an adapter of this kind cannot be merged into weights
     */
    ModuleTransform merging();

    /** Paths of the linears to which the adapter adds a bias of its own. */
    default Set<String> addedBiases() {
        return Set.of();
    }

    /**
     * What a file holds, by the names there. Tensors that are made for it belong to the caller's {@link TensorScope}.
     *
     * @throws IllegalStateException when the adapter is closed
     */
    Map<String, Tensor> stored();

    /**
     * Tensors that training leaves as they are but that the start has computed, such as the factors that PiSSA takes from the base, by
     * the names of the parameters that they belong to.
     *
     * @throws IllegalStateException when the adapter is closed
     */
    default Map<String, Tensor> frozen() {
        return Map.of();
    }

    /** Number of trainable values. */
    default long parameterCount() {
        try (Lifetime.Use use = use()) {
            return parameters().values().stream().mapToLong(Tensor::numel).sum();
        }
    }

    /**
     * Frees the tensors, once the passes in progress are through. Closing twice is fine.
     *
     * @throws IllegalStateException if this thread is in the middle of a pass or holds a {@link #use}
     */
    @Override
    void close();
}
