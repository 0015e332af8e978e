package dev.finetune4j.lora.export;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.ConfigTie;
import dev.finetune4j.core.io.FolderTransaction;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Writes a model with its configuration and tokenizer as a Hugging Face folder, as a whole or not at all, see {@link
 * FolderTransaction}. Stateless.
 */
public final class HuggingFaceWriter {
    private static final long SHARD_BYTES = 5_000_000_000L;
    private static final String CONFIG = "config.json";
    private static final ObjectMapper JSON = new ObjectMapper();

    private HuggingFaceWriter() {}

    /**
     * Writes a model with its own weights.
     *
     * @param model whose parameters are written, one tensor in memory at a time
     * @param files the small files, and the folder that the model was loaded from
     * @param record what {@code finetune4j.json} shall say
     * @param folder made if absent; the model or adapter that is there is replaced as a whole, or stays when writing fails
     * @param precision the number format of the weights in the file
     * @throws FineTune4jException when the folder cannot be written
     */
    public static void write(CausalLM model, ChatFiles files, JsonNode record, Path folder, Precision precision) {
        write(weights(model, Tensors.typeOf(precision)), files, record, folder, precision, config -> {});
    }

    /** @param change what is different in config.json beside the number format */
    static void write(
            Map<String, LazyTensor> tensors,
            ChatFiles files,
            JsonNode record,
            Path folder,
            Precision precision,
            Consumer<ObjectNode> change) {
        try (FolderTransaction transaction = FolderTransaction.begin(folder, FolderTransaction.Kind.MODEL)) {
            requireNoOtherProgram(folder.resolve(CONFIG));
            files.writeForModel(transaction);
            ObjectNode config = files.source().files().config().deepCopy();
            config.remove("torch_dtype");
            config.remove("quantization_config"); // what is written is dense
            config.put("dtype", precision == Precision.BF16 ? "bfloat16" : "float32");
            change.accept(config);
            transaction.write(CONFIG, pretty(config));
            ObjectNode recorded = record.deepCopy();
            transaction.hashes().forEach(recorded.putObject("files")::put);
            transaction.write(FolderTransaction.RECORD, pretty(recorded));
            SafetensorsWriter.writeSharded(transaction, tensors, ConfigTie.ofModel(config), SHARD_BYTES);
            transaction.commit();
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": the model could not be written (" + e
                            + "); what was there before is unchanged. Check space"
                            + " and rights, or choose another folder",
                    e);
        }
    }

    private static byte[] pretty(JsonNode node) throws IOException {
        return JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(node);
    }

    /** A config.json that configures something else is not ours to replace. */
    private static void requireNoOtherProgram(Path config) throws IOException {
        if (!Files.isRegularFile(config)) {
            return;
        }
        JsonNode existing;
        try {
            existing = JsonFile.object(config);
        } catch (ModelFileException e) {
            return; // such as one that an earlier program left half-written
        }
        if (!existing.isEmpty() && !existing.has("model_type") && !existing.has("architectures")) {
            throw new IOException(config + " is no model's configuration, so another program may need it");
        }
    }

    /** One tensor at a time is converted, when it is written. */
    private static Map<String, LazyTensor> weights(CausalLM model, ScalarType type) {
        Map<String, LazyTensor> tensors = new LinkedHashMap<>();
        model.parameters()
                .forEach((name, tensor) -> tensors.put(
                        name, LazyTensor.of(type, tensor.shape(), () -> Tensors.as(tensor.detach(), type))));
        return tensors;
    }
}
