package dev.finetune4j.lora.adapter.layer;

import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.nn.RmsNorm;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * What an adapter holds for one module of a base, or for several that share it: its tensors and the module that computes with
 * them. A layer owns its tensors; the modules that it makes borrow them and the base's.
 */
public interface AdapterLayer extends AutoCloseable {
    /** The tensors to train, float32, by the end of their name in a PEFT file, such as {@code lora_A.weight}. */
    Map<String, Tensor> trained();

    /**
     * The same as parameters, of which a layer that computes with a low-precision copy hands out those that it reads itself.
     */
    default Map<String, Parameter> parameters() {
        return Parameter.named(trained());
    }

    /** What a file holds, by the same names. What is made for it belongs to the caller's scope. */
    default Map<String, Tensor> stored() {
        return trained();
    }

    /**
     * Tensors that training leaves as they are but that the start has computed, by the same names; a training that is gone on
     * with must find the same ones.
     */
    default Map<String, Tensor> frozen() {
        return Map.of();
    }

    /** All tensors that this layer owns. */
    default List<Tensor> owned() {
        return new ArrayList<>(trained().values());
    }

    /** Whether it adds a bias of its own to a linear. */
    default boolean addsBias() {
        return false;
    }

    /**
     * The linear with this layer around it.
     *
     * @param path of the module
     */
    default Linear wrap(String path, Linear base) {
        return wrap(base);
    }

    /** The same, for a layer that does not ask which module it is. */
    default Linear wrap(Linear base) {
        throw new IllegalStateException(getClass().getSimpleName() + " does not fit a linear");
    }

    /** The embedding with this layer around it. */
    default Embedding wrap(Embedding base) {
        throw new IllegalStateException(getClass().getSimpleName() + " does not fit an embedding");
    }

    /** The norm with this layer around it. */
    default RmsNorm wrap(RmsNorm base) {
        throw new IllegalStateException(getClass().getSimpleName() + " does not fit a norm");
    }

    /** Frees the tensors. Closing twice is fine. */
    @Override
    default void close() {
        owned().forEach(Tensor::close);
    }
}
