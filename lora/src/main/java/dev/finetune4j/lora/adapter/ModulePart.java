package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.nn.Embedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.RmsNorm;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/**
 * What an adapter holds for one module of a base: its tensors and the module that computes with them. A part owns its
 * tensors; the modules that it makes borrow them and the base's.
 */
interface ModulePart extends AutoCloseable {
    /** The tensors to train, float32, by the end of their name in a PEFT file, such as {@code lora_A.weight}. */
    Map<String, Tensor> trained();

    /**
     * What a file holds, by the same names. What is made for it belongs to the caller's scope.
     *
     * @param doubleRank whether the file states twice the rank, because some module has factors that the base goes without
     */
    default Map<String, Tensor> stored(boolean doubleRank) {
        return trained();
    }

    /** All tensors that this part owns. */
    default List<Tensor> owned() {
        return new ArrayList<>(trained().values());
    }

    /** The linear with this part around it. */
    default Linear around(Linear base) {
        throw new IllegalStateException(getClass().getSimpleName() + " does not fit a linear");
    }

    /** The embedding with this part around it. */
    default Embedding around(Embedding base) {
        throw new IllegalStateException(getClass().getSimpleName() + " does not fit an embedding");
    }

    /** The norm with this part around it. */
    default RmsNorm around(RmsNorm base) {
        throw new IllegalStateException(getClass().getSimpleName() + " does not fit a norm");
    }

    /** Frees the tensors. Closing twice is fine. */
    @Override
    default void close() {
        owned().forEach(Tensor::close);
    }
}
