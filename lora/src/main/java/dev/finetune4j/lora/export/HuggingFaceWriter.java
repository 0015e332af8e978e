package dev.finetune4j.lora.export;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.ConfigTie;
import dev.finetune4j.core.io.FolderTransaction;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.json.JsonFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Writes a model with its configuration and tokenizer as a Hugging Face folder, as a whole or not at all, see {@link
 * FolderTransaction}.
 *
 * @param precision the number format of the weights in the file
 */
public record HuggingFaceWriter(Precision precision) implements ModelWriter {
    private static final long SHARD_BYTES = 5_000_000_000L;
    private static final String CONFIG = "config.json";
    private static final ObjectMapper JSON = new ObjectMapper();

    @Override
    public void write(ModelContent model, Path folder) {
        try (FolderTransaction transaction = FolderTransaction.begin(folder, FolderTransaction.Kind.MODEL)) {
            requireOurs(folder, model.files().source().path());
            model.files().writeForModel(transaction);
            ObjectNode config = model.files().source().files().config().deepCopy();
            config.remove("torch_dtype");
            config.remove("quantization_config"); // what is written is dense
            config.put("dtype", precision == Precision.BF16 ? "bfloat16" : "float32");
            if (model.tiedHead() != null) {
                config.put("tie_word_embeddings", model.tiedHead());
            }
            transaction.write(CONFIG, pretty(config));
            ObjectNode recorded = model.record().deepCopy();
            transaction.hashes().forEach(recorded.putObject("files")::put);
            transaction.write(FolderTransaction.RECORD, pretty(recorded));
            SafetensorsWriter.writeSharded(transaction, model.tensors(), ConfigTie.ofModel(config), SHARD_BYTES);
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

    /**
     * A model that somebody else has put there, or a config.json that configures something else, is not ours to replace; the
     * place of its own base a model may take.
     */
    static void requireOurs(Path folder, Path base) throws IOException {
        Path config = folder.resolve(CONFIG);
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
        boolean ours = Files.exists(folder.resolve(FolderTransaction.RECORD))
                || (Files.exists(base) && Files.isSameFile(folder, base));
        if (!existing.isEmpty() && !ours) {
            throw new IOException("the model that is there was not written by this library, as it has no "
                    + FolderTransaction.RECORD + ", and may be the only copy; delete it yourself to have its place");
        }
    }
}
