package dev.finetune4j.lora.adapter.kind;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.Tensors;
import java.nio.file.Path;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The open files of an adapter.
 *
 * @param configFile where the settings are
 * @param config what it says
 * @param file where the tensors are
 * @param weights the tensors, by the names that PEFT writes
 */
public record StoredAdapter(Path configFile, JsonNode config, Path file, WeightSource weights) {
    /** The file of the settings. */
    public static final String CONFIG = "adapter_config.json";

    /** The file of the tensors. */
    public static final String WEIGHTS = "adapter_model.safetensors";

    /** A tensor in float32, which belongs to the caller's scope. */
    public Tensor read(String name, ComputeDevice device) {
        return Tensors.convert(weights.read(name), device, ScalarType.Float);
    }
}
