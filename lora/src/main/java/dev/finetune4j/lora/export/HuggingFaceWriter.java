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
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;

/**
 * Writes a model with its configuration and tokenizer as a Hugging Face folder, as a whole or not at all, see {@link
 * FolderTransaction}.
 *
 * @param precision the number format of the weights in the file
 * @param shardBytes the most bytes of a file of weights, unless one tensor alone is larger; 0 for the files of the base, each tensor in
 *     the one that it has there
 */
public record HuggingFaceWriter(Precision precision, long shardBytes) implements ModelWriter {
    /** Where the base's files are no longer there. */
    private static final long USUAL_SHARD_BYTES = 5_000_000_000L;

    private static final String CONFIG = "config.json";
    private static final String CARD = "README.md";
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Writes the files of the base. */
    public HuggingFaceWriter(Precision precision) {
        this(precision, 0);
    }

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
            SafetensorsWriter.writeSharded(
                    transaction,
                    model.tensors(),
                    ConfigTie.ofModel(config),
                    shardBytes == 0 ? model.files().source().files().weightFiles() : Map.of(),
                    shardBytes == 0 ? USUAL_SHARD_BYTES : shardBytes);
            ObjectNode recorded = model.record().deepCopy();
            if (model.check() != null) {
                MergeCheck.Figure figure = model.check().run(transaction.files());
                recorded.putObject("merge")
                        .put("prompts", figure.prompts())
                        .put("tokens", figure.tokens())
                        .put("largest_difference", figure.difference())
                        .put("same_choice", figure.sameChoice());
                writeCard(transaction, model.files().source().path(), figure);
            }
            transaction.hashes().forEach(recorded.putObject("files")::put);
            transaction.write(FolderTransaction.RECORD, pretty(recorded));
            transaction.commit();
        } catch (IOException e) {
            throw new FineTune4jException(
                    folder + ": the model could not be written (" + e
                            + "); what was there before is unchanged. Check space"
                            + " and rights, or choose another folder",
                    e);
        }
    }

    /** The base's model card with what the comparison came to, unless somebody has written another one there. */
    private static void writeCard(FolderTransaction transaction, Path base, MergeCheck.Figure figure)
            throws IOException {
        if (transaction.isForeign(CARD)) {
            return;
        }
        Path own = base.resolve(CARD);
        String before = Files.isRegularFile(own) ? Files.readString(own) : "---\ntags:\n- finetune4j\n---\n";
        String section = String.format(
                Locale.ROOT,
                """

                ## Merged adapter

                An adapter was merged into the weights of %s. The merged model was compared with base and adapter on %d prompts (%d
                tokens), both in float32:

                | | |
                |---|---|
                | largest difference of the log-probability of the likeliest token | %.2e |
                | same likeliest token | %d of %d |
                """,
                Objects.requireNonNullElse(base.toAbsolutePath().getFileName(), base),
                figure.prompts(),
                figure.tokens(),
                figure.difference(),
                figure.sameChoice(),
                figure.tokens());
        transaction.write(CARD, (before + section).getBytes(StandardCharsets.UTF_8));
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
