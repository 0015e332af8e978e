package dev.finetune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.cache.Sha256;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.message.Arguments;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * A model folder as the <a href="https://huggingface.co/docs/transformers/main_classes/model">save_pretrained</a> of
 * transformers writes it. The JSON files are read once, when the folder is opened; the weights when they are asked
 * for.
 *
 * <p>Immutable and thread-safe. Nothing stays open.
 */
public final class ModelFiles {
    private static final String CONFIG = "config.json";
    private static final String GENERATION_CONFIG = "generation_config.json";
    private static final String EOS = "eos_token_id";
    private static final int SAMPLE_BYTES = 4096;

    private final Path folder;
    private final byte[] configBytes;
    private final ObjectNode config;
    private final @Nullable ObjectNode generationConfig;
    private final boolean fourBit;
    private final Set<Integer> eosTokenIds;

    private ModelFiles(Path folder, byte[] configBytes, @Nullable ObjectNode generationConfig) {
        this.folder = folder;
        this.configBytes = configBytes;
        this.config = JsonFile.object(folder.resolve(CONFIG), configBytes);
        this.generationConfig = generationConfig;
        this.fourBit = QuantizationConfig.saysFourBit(folder.resolve(CONFIG), config);
        this.eosTokenIds = readEosTokenIds();
    }

    /**
     * Opens a folder.
     *
     * @throws ModelFileException when the folder or its config.json is missing, saying what the folder is instead, when one of its JSON files cannot be
     *     understood, or when config.json says that the weights are packed in a form that cannot be read
     */
    public static ModelFiles open(Path folder) {
        Arguments.given(folder, "open(folder)");
        settle(folder);
        WrongFolder.refuse(folder, CONFIG);
        Path generation = folder.resolve(GENERATION_CONFIG);
        return new ModelFiles(
                folder,
                JsonFile.bytes(folder.resolve(CONFIG), JsonFile.SETTINGS_BYTES),
                Files.isRegularFile(generation) ? JsonFile.object(generation) : null);
    }

    /**
     * Completes a save that was broken off, see {@link FolderTransaction#settle}.
     *
     * @throws ModelFileException when that is not possible
     */
    public static void settle(Path folder) {
        try {
            FolderTransaction.settle(folder);
        } catch (IOException e) {
            throw new ModelFileException(
                    folder + " holds a save that was broken off and cannot be completed: " + e.getMessage(), e);
        }
    }

    /**
     * Checks that the folder still holds the model that was opened, for a reader of several files.
     *
     * @throws ModelFileException when another model has taken its place meanwhile
     */
    public void requireUnchanged() {
        settle(folder);
        if (!Files.isRegularFile(folder.resolve(CONFIG))) {
            throw new ModelFileException(
                    folder + " is no longer there or has lost its " + CONFIG + "; put back what was opened");
        }
        if (!Arrays.equals(configBytes, JsonFile.bytes(folder.resolve(CONFIG), JsonFile.SETTINGS_BYTES))) {
            throw new ModelFileException(folder + " was replaced by another model while it was read; load it again");
        }
    }

    /** The folder, as it was given. */
    public Path folder() {
        return folder;
    }

    /** A copy of config.json, a JSON object; that of InternLM2 as the Llama that it computes. */
    public JsonNode config() {
        return InternLm2Weights.isIn(config) ? InternLm2Weights.config(config) : config.deepCopy();
    }

    /** A copy of generation_config.json, a JSON object; empty without the file. */
    public Optional<JsonNode> generationConfig() {
        return Optional.ofNullable(generationConfig).map(ObjectNode::deepCopy);
    }

    /**
     * Whether config.json says that bitsandbytes packed the weights to 4 bit. Which weights those are, and in which of
     * its forms, the files of the weights say; modules that were skipped then are dense there.
     */
    public boolean isFourBit() {
        return fourBit;
    }

    /**
     * The tokens that end an answer: those of generation_config.json, which names the end of a chat turn, then those of
     * config.json, which may name the end of a document only; empty when neither says. The tokenizer and the chat template
     * have a say too, see {@link dev.finetune4j.core.text.ChatEncoder#stopIds()}. Unmodifiable.
     */
    public Set<Integer> eosTokenIds() {
        return eosTokenIds;
    }

    /**
     * Opens the weights; the caller closes them. Their names are those of Hugging Face's decoders, such as {@code
     * model.layers.0.mlp.up_proj.weight}, also where the files leave the {@code model.} out, and those of a Llama where they are InternLM2's.
     * Experts have one tensor for each projection, also where the files hold those of a layer as one.
     *
     * @throws ModelFileException when there are none in safetensors form, when a shard or a tensor of the index is
     *     missing, or when a file is damaged
     */
    public WeightSource weights() {
        settle(folder);
        FolderWeights weights = FolderWeights.open(folder);
        try {
            ConfigTie.check(folder, CONFIG, config, weights.metadata());
        } catch (RuntimeException e) {
            weights.close();
            throw e;
        }
        WeightSource named = new RenamedWeights(weights, TensorNames.ofModel(weights.names()));
        return InternLm2Weights.isIn(config)
                ? new InternLm2Weights(named, config)
                : StackedExperts.published(named, config);
    }

    /**
     * The name of the file that has a tensor, by the names that {@link #weights} has.
     *
     * @return empty when the weights are no longer there
     * @throws ModelFileException as {@link #weights()} does
     */
    public Map<String, String> weightFiles() {
        if (!hasWeights()) {
            return Map.of();
        }
        try (FolderWeights weights = FolderWeights.open(folder)) {
            Map<String, String> there = weights.fileNames();
            Map<String, String> files = new LinkedHashMap<>();
            Map<String, String> named = TensorNames.ofModel(weights.names());
            StackedExperts.inFile(new RenamedWeights(weights, named), config)
                    .forEach((name, model) -> files.put(name, there.get(named.get(model))));
            return files;
        }
    }

    /**
     * Whether there are weights in safetensors form beside config.json, whole or not; a folder of which only the shape is
     * asked may do without.
     */
    public boolean hasWeights() {
        return FolderWeights.isThere(folder);
    }

    /**
     * A SHA-256 in hexadecimal over config.json and, for each tensor, its name, type, shape and first and last 4 KiB.
     * It tells models apart at the price of reading a few MB, and does not depend on how the tensors are spread over
     * files. A change in the middle of a tensor alone goes unseen, so it is no proof of integrity.
     *
     * @throws ModelFileException as {@link #weights()} does
     */
    public String fingerprint() {
        MessageDigest digest = Sha256.digest();
        add(digest, configBytes);
        try (FolderWeights weights = FolderWeights.open(folder)) {
            for (String name : new TreeSet<>(weights.names())) {
                TensorInfo info = weights.info(name);
                add(digest, name.getBytes(StandardCharsets.UTF_8));
                add(digest, info.dtype().name().getBytes(StandardCharsets.UTF_8));
                long[] shape = info.shape();
                ByteBuffer extents = ByteBuffer.allocate(Long.BYTES * shape.length);
                extents.asLongBuffer().put(shape);
                add(digest, extents.array());
                weights.ends(name, SAMPLE_BYTES).forEach(bytes -> add(digest, bytes));
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** Lengths go in as well, so that no two different lists of parts give the same stream of bytes. */
    private static void add(MessageDigest digest, byte[] part) {
        digest.update(ByteBuffer.allocate(Integer.BYTES).putInt(part.length).flip());
        digest.update(part);
    }

    private Set<Integer> readEosTokenIds() {
        Set<Integer> ids = new LinkedHashSet<>();
        if (generationConfig != null) {
            ids.addAll(tokenIds(GENERATION_CONFIG, generationConfig, EOS));
        }
        ids.addAll(tokenIds(CONFIG, config, EOS));
        return Collections.unmodifiableSet(ids);
    }

    private Set<Integer> tokenIds(String fileName, ObjectNode object, String key) {
        JsonNode value = object.path(key);
        Set<Integer> ids = new LinkedHashSet<>();
        for (JsonNode id : value.isArray() ? value : List.of(value)) {
            if (id.isNull() || id.isMissingNode()) {
                continue;
            }
            if (!id.isIntegralNumber() || !id.canConvertToInt()) {
                throw new ModelFileException(folder.resolve(fileName) + ": \"" + key + "\" is " + value
                        + ", expected a token's number or a list of such numbers; correct the file");
            }
            // Some configs write -1 for "there is none".
            if (id.intValue() >= 0) {
                ids.add(id.intValue());
            }
        }
        return Collections.unmodifiableSet(ids);
    }
}
