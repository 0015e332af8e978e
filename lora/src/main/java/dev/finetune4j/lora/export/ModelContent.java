package dev.finetune4j.lora.export;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Tensors;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * What a model that is to be written consists of, apart from the format: collecting it is one thing, writing it another.
 *
 * @param tensors by name, each made when it is written
 * @param tiedHead whether the head shares the embedding's weight; null for what the base's configuration says
 * @param files the small files, and the folder that the model was loaded from
 * @param record what {@code finetune4j.json} shall say
 * @param check compares what was written with what it was made of; null for no comparison
 */
public record ModelContent(
        Map<String, LazyTensor> tensors,
        @Nullable Boolean tiedHead,
        ChatFiles files,
        JsonNode record,
        @Nullable MergeCheck check) {
    /** A model with its own weights, which must stay open while this is written. */
    public static ModelContent of(CausalLM model, ChatFiles files, JsonNode record, Precision precision) {
        return of(model, Map.of(), files, record, precision);
    }

    /**
     * The same with other values for some of the parameters.
     *
     * @param values take the place of the parameters of those names, such as copies of what goes on changing
     */
    public static ModelContent of(
            CausalLM model, Map<String, Tensor> values, ChatFiles files, JsonNode record, Precision precision) {
        ScalarType type = Tensors.typeOf(precision);
        Map<String, LazyTensor> tensors = new LinkedHashMap<>();
        model.parameters().forEach((name, parameter) -> {
            Tensor tensor = values.getOrDefault(name, parameter);
            tensors.put(name, LazyTensor.of(type, tensor.shape(), () -> Tensors.as(tensor.detach(), type)));
        });
        return new ModelContent(tensors, null, files, record, null);
    }
}
