package dev.finetune4j.lora.export;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.io.ModelDirectory;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Precision;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Writes a model with its configuration and tokenizer as a Hugging Face folder. Stateless; do not write one folder from two
 * threads.
 */
public final class ModelFolder {
    private static final long SHARD_BYTES = 5_000_000_000L;
    private static final List<String> COPIED = List.of(
            "tokenizer.json",
            "generation_config.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "chat_template.jinja");
    private static final ObjectMapper JSON = new ObjectMapper();

    private ModelFolder() {}

    /**
     * Writes a model with its own weights: the small files first, so that a folder with weights is complete.
     *
     * @param model whose parameters are written, one tensor in memory at a time
     * @param source the folder that the model was loaded from; gives configuration and tokenizer
     * @param folder made if absent
     * @param precision the number format of the weights in the file
     * @throws FineTune4jException when the folder cannot be written
     */
    public static void write(CausalLM model, ModelDirectory source, Path folder, Precision precision) {
        write(weights(model, precision.scalarType()), source, folder, precision, config -> {});
    }

    /** @param change what is different in config.json beside the number format */
    static void write(
            Map<String, LazyTensor> tensors,
            ModelDirectory source,
            Path folder,
            Precision precision,
            Consumer<ObjectNode> change) {
        try {
            Files.createDirectories(folder);
            if (!Files.isSameFile(folder, source.folder())) {
                copyTokenizer(source.folder(), folder);
            }
            ObjectNode config = source.config().deepCopy();
            config.remove("torch_dtype");
            config.remove("quantization_config"); // what is written is dense
            config.put("dtype", precision == Precision.BF16 ? "bfloat16" : "float32");
            change.accept(config);
            Path unfinished = folder.resolve("config.json.new");
            JSON.writerWithDefaultPrettyPrinter().writeValue(unfinished.toFile(), config);
            Files.move(unfinished, folder.resolve("config.json"), StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": the model could not be written (" + e
                            + "); check space and rights, or choose another folder",
                    e);
        }
        SafetensorsWriter.writeSharded(folder, tensors, Map.of("format", "pt"), SHARD_BYTES);
    }

    /** One tensor at a time is converted, when it is written. */
    private static Map<String, LazyTensor> weights(CausalLM model, ScalarType type) {
        Map<String, LazyTensor> tensors = new LinkedHashMap<>();
        model.parameters()
                .forEach((name, tensor) -> tensors.put(
                        name, LazyTensor.of(type, tensor.shape(), () -> Tensors.as(tensor.detach(), type))));
        return tensors;
    }

    private static void copyTokenizer(Path source, Path folder) throws IOException {
        if (!Files.isRegularFile(source.resolve(COPIED.get(0)))) {
            throw new IOException(source.resolve(COPIED.get(0)) + " is no longer there to be copied");
        }
        for (String name : COPIED) {
            if (Files.isRegularFile(source.resolve(name))) {
                Files.copy(source.resolve(name), folder.resolve(name), StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }
}
