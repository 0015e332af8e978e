package dev.finetune4j.testsupport;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A Llama that says what a test wants: its attention and its feed-forward add nothing, and the row of a token in its head is the vector
 * of the token before it.
 */
public final class SayingModel {
    private static final int WIDTH = 64;

    private SayingModel() {}

    /**
     * Writes config.json and the weights.
     *
     * @param vocabulary number of tokens
     * @param said after the first, the last of the prompt, comes the second, and so on; each token once
     */
    public static void write(Path folder, int vocabulary, List<Integer> said) {
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> weights = new LinkedHashMap<>();
            SplittableRandom random = new SplittableRandom(7);
            Tensor table = Tensors.normal(ComputeDevice.cpu(), random, 1, vocabulary, WIDTH);
            Tensor head = Tensors.normal(ComputeDevice.cpu(), random, 0.01, vocabulary, WIDTH);
            for (int i = 1; i < said.size(); i++) {
                head.select(0, said.get(i)).copy_(table.select(0, said.get(i - 1)));
            }
            weights.put("model.embed_tokens.weight", table);
            weights.put("lm_head.weight", head);
            weights.put("model.norm.weight", ones());
            String layer = "model.layers.0.";
            weights.put(layer + "input_layernorm.weight", ones());
            weights.put(layer + "post_attention_layernorm.weight", ones());
            for (String linear : List.of("q_proj", "k_proj", "v_proj", "o_proj")) {
                weights.put(layer + "self_attn." + linear + ".weight", zeros());
            }
            for (String linear : List.of("gate_proj", "up_proj", "down_proj")) {
                weights.put(layer + "mlp." + linear + ".weight", zeros());
            }
            SafetensorsWriter.write(folder.resolve("model.safetensors"), weights);
            Files.writeString(folder.resolve("config.json"), """
                    {"model_type": "llama", "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": 1,
                     "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16, "vocab_size": %d,
                     "rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "tie_word_embeddings": false}
                    """.formatted(WIDTH, WIDTH, vocabulary));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Tensor zeros() {
        return Tensors.zeros(ComputeDevice.cpu(), ScalarType.Float, WIDTH, WIDTH);
    }

    private static Tensor ones() {
        return Tensors.zeros(ComputeDevice.cpu(), ScalarType.Float, WIDTH).add(Tensors.scalar(1));
    }
}
