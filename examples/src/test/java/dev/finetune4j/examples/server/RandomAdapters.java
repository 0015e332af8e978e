package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;

/** LoRA adapters with random factors, as PEFT writes them. */
final class RandomAdapters {
    private static final int RANK = 8;

    private RandomAdapters() {}

    /**
     * Writes one.
     *
     * @param base folder of the model
     * @param size how far its factors are from 0
     * @param seed another adapter for each
     */
    static Path write(Path folder, Path base, double size, long seed) throws IOException {
        JsonNode config =
                new ObjectMapper().readTree(base.resolve("config.json").toFile());
        long hidden = config.get("hidden_size").asLong();
        long heads = config.get("num_attention_heads").asLong();
        long headSize = config.path("head_dim").asLong(hidden / heads);
        long kv = config.path("num_key_value_heads").asLong(heads) * headSize;
        Map<String, Long> outputs = new LinkedHashMap<>();
        outputs.put("q_proj", heads * headSize);
        outputs.put("v_proj", kv);
        SplittableRandom random = new SplittableRandom(seed);
        Files.createDirectories(folder);
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (int layer = 0; layer < config.get("num_hidden_layers").asInt(); layer++) {
                for (Map.Entry<String, Long> output : outputs.entrySet()) {
                    String name = "base_model.model.model.layers." + layer + ".self_attn." + output.getKey();
                    tensors.put(
                            name + ".lora_A.weight", Tensors.uniform(ComputeDevice.cpu(), random, size, RANK, hidden));
                    tensors.put(
                            name + ".lora_B.weight",
                            Tensors.uniform(ComputeDevice.cpu(), random, size, output.getValue(), RANK));
                }
            }
            SafetensorsWriter.write(folder.resolve("adapter_model.safetensors"), tensors);
        }
        Files.writeString(
                folder.resolve("adapter_config.json"),
                "{\"peft_type\": \"LORA\", \"task_type\": \"CAUSAL_LM\", \"r\": " + RANK + ", \"lora_alpha\": "
                        + 2 * RANK
                        + ", \"lora_dropout\": 0.0, \"bias\": \"none\", \"target_modules\": [\"q_proj\", \"v_proj\"]}");
        return folder;
    }
}
