package dev.finetune4j.lora.reference;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;

/** Model folders that can be exported, made of those of a collection that have weights or a tokenizer only. */
public final class GgufModels {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int BYTES = 256;
    private static final String BLANK_TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}";

    private GgufModels() {}

    /** A copy of a model with placeholder tokens, one for each row. */
    public static Path withPlaceholders(Path model, Path copy) throws IOException {
        Files.createDirectories(copy);
        for (Path file : ReferenceFolder.checkpoint(model)) {
            if (Files.exists(file)) {
                Files.copy(file, copy.resolve(file.getFileName()));
            }
        }
        addPlaceholders(
                copy,
                TestData.json(model.resolve("config.json")).path("vocab_size").intValue());
        return copy;
    }

    /** Adds placeholder tokens, one for each row, and a chat template to a folder. */
    public static void addPlaceholders(Path folder, int rows) throws IOException {
        JSON.writeValue(folder.resolve("tokenizer.json").toFile(), placeholders(rows));
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"eos_token\": \"<end>\"}");
        Files.writeString(folder.resolve("chat_template.jinja"), BLANK_TEMPLATE);
    }

    private static ObjectNode placeholders(int rows) {
        ObjectNode definition = JSON.createObjectNode();
        for (String part : new String[] {"pre_tokenizer", "decoder"}) {
            definition
                    .putObject(part)
                    .put("type", "ByteLevel")
                    .put("add_prefix_space", false)
                    .put("trim_offsets", false)
                    .put("use_regex", true);
        }
        ObjectNode model = definition.putObject("model").put("type", "BPE");
        model.putArray("merges");
        ObjectNode vocabulary = model.putObject("vocab");
        vocabulary.put("<end>", 0);
        int next = BYTES;
        for (int b = 0; b < BYTES && b < rows - 1; b++) {
            boolean printable = (b > 32 && b < 127) || (b > 160 && b != 173);
            vocabulary.put(Character.toString(printable ? b : next++), b + 1);
        }
        for (int id = BYTES + 1; id < rows; id++) {
            vocabulary.put("placeholder" + id, id);
        }
        ArrayNode added = definition.putArray("added_tokens");
        added.addObject()
                .put("id", 0)
                .put("content", "<end>")
                .put("special", true)
                .put("single_word", false)
                .put("lstrip", false)
                .put("rstrip", false)
                .put("normalized", false);
        return definition;
    }

    /** A tiny model with a tokenizer and a row for each of its tokens. */
    static Path around(Path tokenizer, Path folder, int rows) throws IOException {
        Files.createDirectories(folder);
        for (String name : new String[] {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}) {
            if (Files.exists(tokenizer.resolve(name))) {
                Files.copy(tokenizer.resolve(name), folder.resolve(name));
            }
        }
        Files.writeString(folder.resolve("chat_template.jinja"), BLANK_TEMPLATE);
        Files.writeString(folder.resolve("config.json"), """
                {"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
                 "num_attention_heads": 1, "num_key_value_heads": 1, "vocab_size": %d, "max_position_embeddings": 64,
                 "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "tie_word_embeddings": true, "hidden_act": "silu"}
                """.formatted(rows));
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> weights = new LinkedHashMap<>();
            weights.put("model.embed_tokens.weight", random(rows, 8));
            weights.put("model.norm.weight", random(8));
            String block = "model.layers.0.";
            for (String norm : new String[] {"input_layernorm", "post_attention_layernorm"}) {
                weights.put(block + norm + ".weight", random(8));
            }
            for (String linear : new String[] {
                "self_attn.q_proj",
                "self_attn.k_proj",
                "self_attn.v_proj",
                "self_attn.o_proj",
                "mlp.gate_proj",
                "mlp.up_proj",
                "mlp.down_proj"
            }) {
                weights.put(block + linear + ".weight", random(8, 8));
            }
            SafetensorsWriter.write(folder.resolve("model.safetensors"), weights);
        }
        return folder;
    }

    private static Tensor random(long... shape) {
        return Tensors.uniform(ComputeDevice.cpu(), new SplittableRandom(1), 0.1, shape);
    }
}
