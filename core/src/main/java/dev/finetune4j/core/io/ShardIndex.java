package dev.finetune4j.core.io;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.json.JsonFile;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * What a {@code model.safetensors.index.json} says: which file of its folder holds which tensor. Its totals are not
 * compared with the shards, as in transformers: published indexes often count tied tensors twice, and each shard proves
 * by its own header that it is complete.
 *
 * @param file the index, for messages
 * @param weightMap file names by tensor name, in the order of the index; the names lead to no other folder
 */
record ShardIndex(Path file, Map<String, String> weightMap) {
    /** Ten times the largest index there is. */
    private static final long MAX_BYTES = 100_000_000;

    private static final String NOT_IN_NAMES = "/\\:*?\"<>|";

    /** @throws ModelFileException when the index cannot be understood or a file name in it leaves the folder */
    static ShardIndex read(Path file) {
        ObjectNode root = JsonFile.object(file, JsonFile.bytes(file, MAX_BYTES));
        JsonNode node = root.path("weight_map");
        if (!node.isObject()) {
            throw new ModelFileException(
                    file + " has no object \"weight_map\" from tensor names to shard files;" + " fetch the file again");
        }
        JsonNode metadata = root.path("metadata");
        if (!metadata.isObject() && !metadata.isMissingNode() && !metadata.isNull()) {
            throw new ModelFileException(file + ": \"metadata\" is " + metadata.getNodeType()
                    + ", expected an object; fetch the file again");
        }
        Map<String, String> weightMap = new LinkedHashMap<>();
        List<String> problems = new ArrayList<>();
        node.properties().forEach(entry -> {
            JsonNode shard = entry.getValue();
            if (shard.isTextual() && isFileName(shard.textValue())) {
                weightMap.put(entry.getKey(), shard.textValue());
            } else {
                problems.add("tensor " + entry.getKey() + " is mapped to " + shard
                        + ", expected the name of a file in the same folder");
            }
        });
        ShardIndex index = new ShardIndex(file, Collections.unmodifiableMap(weightMap));
        index.requireNone(problems);
        return index;
    }

    /** The file names, each once. */
    SortedSet<String> shards() {
        return new TreeSet<>(weightMap.values());
    }

    /** @throws ModelFileException that names all problems of the index and its folder, when there are any */
    void requireNone(List<String> problems) {
        if (!problems.isEmpty()) {
            throw new ModelFileException(file + " does not fit its folder:\n  - "
                    + String.join("\n  - ", problems)
                    + "\nFetch the index and the missing shards again.");
        }
    }

    /**
     * Whether a name cannot lead out of its folder on any platform. The file itself may be a link, as in hub caches.
     */
    private static boolean isFileName(String name) {
        if (name.isEmpty() || name.equals(".") || name.equals("..")) {
            return false;
        }
        if (name.chars().anyMatch(c -> c < ' ' || NOT_IN_NAMES.indexOf(c) >= 0)) {
            return false;
        }
        try {
            return Path.of(name).getNameCount() == 1;
        } catch (InvalidPathException e) {
            return false;
        }
    }
}
