package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Every switch of a family has a part in the numbers: with another value the logits are others, or the weights do not fit. */
class FamilySwitchesTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path folder;

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "smollm3_plain | rope_theta | 10000.0",
                "smollm3_plain | no_rope_layer_interval | 3",
                "smollm3_window | no_rope_layers | [1, 1, 1]",
                "smollm3_window | use_sliding_window | false",
                "smollm3_window | sliding_window | 6",
                "smollm3_window | layer_types | [\"full_attention\", \"full_attention\", \"sliding_attention\"]",
                "smollm3_window | attention_bias | false",
                "smollm3_window | mlp_bias | false",
                "granite_multipliers | embedding_multiplier | 11.0",
                "granite_multipliers | residual_multiplier | 0.25",
                "granite_multipliers | attention_multiplier | 0.5",
                "granite_multipliers | logits_scaling | 5.0",
                "granite_multipliers | rope_theta | 50.0",
                "granite_biases | attention_bias | false",
                "granite_biases | mlp_bias | false",
                "qwen3_moe_plain | num_experts_per_tok | 2",
                "qwen3_moe_plain | norm_topk_prob | false",
                "qwen3_moe_plain | moe_intermediate_size | 16",
                "qwen3_moe_plain | num_experts | 5",
                "qwen3_moe_plain | decoder_sparse_step | 2",
                "qwen3_moe_plain | mlp_only_layers | [0]",
                "qwen3_moe_mixed | attention_bias | false",
                "qwen3_moe_mixed | use_sliding_window | false",
                "qwen3_moe_mixed | sliding_window | 6",
                "qwen2_moe_shared | norm_topk_prob | true",
                "qwen2_moe_shared | shared_expert_intermediate_size | 8",
                "qwen2_moe_shared | qkv_bias | false",
                "qwen2_moe_shared | use_sliding_window | false",
                "qwen2_moe_shared | max_window_layers | 2",
                "mixtral_window | num_experts_per_tok | 3",
                "mixtral_window | num_local_experts | 5",
                "mixtral_window | sliding_window | 6",
                "mixtral_window | rope_theta | 50.0",
                "phi3_mini4 | partial_rotary_factor | 0.25",
                "phi3_mini4 | original_max_position_embeddings | 64",
                "olmo2_plain | rope_theta | 10000.0",
                "olmo2_plain | rms_norm_eps | 1e-5",
                "olmo2_biases | attention_bias | false",
                "olmo2_biases | rope_scaling | {\"rope_type\": \"linear\", \"factor\": 3.0}"
            })
    void aWrongValueIsSeen(String name, String key, String value) throws IOException {
        Path right = TestData.resource("model/" + name);
        ObjectNode config =
                (ObjectNode) JSON.readTree(right.resolve("config.json").toFile());
        config.set(key, JSON.readTree(value));
        Files.copy(right.resolve("model.safetensors"), folder.resolve("model.safetensors"));
        JSON.writeValue(folder.resolve("config.json").toFile(), config);
        assertTrue(differs(right), name + " with " + key + " = " + value);
    }

    private boolean differs(Path right) {
        try (CausalLM model =
                        ModelLoader.load(PretrainedFolder.open(folder), LinearFactory.dense(), Placement.cpuFp32());
                SafetensorsFile golden = SafetensorsFile.open(right.resolve("golden.safetensors"));
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor logits = model.logits(model.hidden(ModelInput.padded(golden.read("input_ids"))));
            float[] expected = Tensors.toFloats(golden.read("logits"));
            float[] found = Tensors.toFloats(logits);
            double largest = 0;
            for (int i = 0; i < expected.length; i++) {
                largest = Math.max(largest, Math.abs(expected[i] - found[i]));
            }
            // Ten times what parity allows.
            return largest > 1e-3;
        } catch (ModelFileException e) {
            return true;
        }
    }
}
