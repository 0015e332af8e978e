package dev.finetune4j.lora;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.tensor.Precision;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** Writes a model with its configuration and tokenizer as a Hugging Face folder. */
final class ModelFolder {
    private static final List<String> COPIED = List.of(
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "chat_template.jinja");
    private static final ObjectMapper JSON = new ObjectMapper();

    private ModelFolder() {}

    static void write(LanguageModel model, Path folder, Precision precision) {
        Path source = model.directory().folder();
        try (TensorScope scope = new TensorScope()) {
            Files.createDirectories(folder);
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            model.model()
                    .parameters()
                    .forEach((name, tensor) -> tensors.put(name, Tensors.as(tensor.detach(), precision.scalarType())));
            SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, Map.of("format", "pt"));
            ObjectNode config = model.directory().config().deepCopy();
            config.remove("torch_dtype");
            config.put("dtype", precision == Precision.BF16 ? "bfloat16" : "float32");
            JSON.writerWithDefaultPrettyPrinter()
                    .writeValue(folder.resolve("config.json").toFile(), config);
            for (String name : COPIED) {
                if (Files.isRegularFile(source.resolve(name)) && !folder.equals(source)) {
                    Files.copy(source.resolve(name), folder.resolve(name), StandardCopyOption.REPLACE_EXISTING);
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(
                    String.format(Locale.ROOT, "%s: the model could not be written: %s", folder, e.getMessage()), e);
        }
    }
}
