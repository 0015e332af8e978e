package dev.finetune4j.core.hub;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.json.JsonFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SortedSet;
import java.util.TreeSet;

/** Which files make a model's folder complete. Stateless. */
final class ModelFolder {
    static final String CONFIG = "config.json";
    static final String TOKENIZER = "tokenizer.json";
    static final String WEIGHTS = "model.safetensors";
    static final String INDEX = "model.safetensors.index.json";
    private static final long MAX_INDEX_BYTES = 100_000_000;

    private ModelFolder() {}

    /** Whether all is there that plans and reports need. */
    static boolean hasSettings(Path folder) {
        return Files.isRegularFile(folder.resolve(CONFIG)) && Files.isRegularFile(folder.resolve(TOKENIZER));
    }

    /** Whether all is there that loading needs: a cache that other programs fill may hold some files of a model alone. */
    static boolean isComplete(Path folder) {
        if (!hasSettings(folder)) {
            return false;
        }
        if (Files.isRegularFile(folder.resolve(WEIGHTS))) {
            return true;
        }
        Path index = folder.resolve(INDEX);
        try {
            return Files.isRegularFile(index)
                    && shards(index).stream().allMatch(shard -> Files.isRegularFile(folder.resolve(shard)));
        } catch (FineTune4jException e) {
            return false;
        }
    }

    /**
     * The files of weights that an index names.
     *
     * @throws FineTune4jException when it cannot be understood or names a file elsewhere
     */
    static SortedSet<String> shards(Path index) {
        SortedSet<String> shards = new TreeSet<>();
        for (JsonNode shard :
                JsonFile.object(index, JsonFile.bytes(index, MAX_INDEX_BYTES)).path("weight_map")) {
            String name = shard.asText();
            if (!SafeName.isInside(name) || name.contains("/") || !name.endsWith(".safetensors")) {
                throw new HubException(
                        HubException.Reason.UNUSABLE,
                        index.getFileName() + " of the repository names " + shard
                                + " as a file of weights, expected safetensors files beside it; do not use this repository");
            }
            shards.add(name);
        }
        if (shards.isEmpty()) {
            throw new HubException(
                    HubException.Reason.UNUSABLE,
                    index.getFileName()
                            + " of the repository names no file of weights in \"weight_map\"; use another repository");
        }
        return shards;
    }
}
