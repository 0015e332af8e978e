package dev.finetune4j.core.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/** One writing of a model's weights to a folder, in one file or in shards with an index. */
final class ShardedWrite {
    private final Path folder;
    private final Map<String, String> metadata;
    private final Map<String, String> fileOf;
    private final long maxShardBytes;

    /**
     * @param folder where nothing looks for a model yet
     * @param fileOf the names of the files that the tensors come from, whose split is kept; empty for one by size
     */
    ShardedWrite(Path folder, Map<String, String> metadata, Map<String, String> fileOf, long maxShardBytes) {
        this.folder = folder;
        this.metadata = metadata;
        this.fileOf = fileOf;
        this.maxShardBytes = maxShardBytes;
    }

    /** The names of the weight files, first shard first. */
    List<String> write(Map<String, LazyTensor> tensors) throws IOException {
        List<Map<String, LazyTensor>> shards = fileOf.isEmpty() ? split(tensors) : splitAsBefore(tensors);
        List<SafetensorsLayout> layouts = new ArrayList<>();
        shards.forEach(shard -> layouts.add(SafetensorsLayout.of(shard, metadata)));
        List<String> names = new ArrayList<>();
        for (int i = 0; i < shards.size(); i++) {
            names.add(fileName(i, shards.size()));
            try (Disk.Output out = Disk.create(folder.resolve(names.get(i)))) {
                SafetensorsWriter.writeContent(out, layouts.get(i));
            }
        }
        if (shards.size() > 1) {
            try (Disk.Output out = Disk.create(folder.resolve(FolderWeights.INDEX))) {
                out.write(ByteBuffer.wrap(index(shards)));
                out.finish();
            }
        }
        return names;
    }

    /**
     * Fills shards in the order of the tensors. As in transformers, a tensor that is larger than a shard gets one of
     * its own, before the shard that is being filled.
     */
    private List<Map<String, LazyTensor>> split(Map<String, LazyTensor> tensors) {
        List<Map<String, LazyTensor>> shards = new ArrayList<>();
        Map<String, LazyTensor> shard = new LinkedHashMap<>();
        long bytes = 0;
        for (Map.Entry<String, LazyTensor> entry : tensors.entrySet()) {
            long size = entry.getValue().bytes();
            if (size > maxShardBytes) {
                shards.add(Map.of(entry.getKey(), entry.getValue()));
                continue;
            }
            if (size > maxShardBytes - bytes) {
                shards.add(shard);
                shard = new LinkedHashMap<>();
                bytes = 0;
            }
            shard.put(entry.getKey(), entry.getValue());
            bytes += size;
        }
        if (!shard.isEmpty() || shards.isEmpty()) {
            shards.add(shard);
        }
        return shards;
    }

    /** As many shards as the tensors come from, in the order of their names. */
    private List<Map<String, LazyTensor>> splitAsBefore(Map<String, LazyTensor> tensors) {
        Map<String, Map<String, LazyTensor>> shards = new TreeMap<>();
        Map<String, LazyTensor> added = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> {
            String file = fileOf.get(name);
            (file == null ? added : shards.computeIfAbsent(file, key -> new LinkedHashMap<>())).put(name, tensor);
        });
        List<Map<String, LazyTensor>> all = new ArrayList<>(shards.values());
        if (all.isEmpty()) {
            return List.of(added);
        }
        all.get(all.size() - 1).putAll(added);
        return all;
    }

    private static String fileName(int shard, int shards) {
        return shards == 1
                ? FolderWeights.SINGLE_FILE
                : String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", shard + 1, shards);
    }

    /** The same text that transformers writes: everything sorted by name. */
    private static byte[] index(List<Map<String, LazyTensor>> shards) throws IOException {
        long parameters = 0;
        long bytes = 0;
        Map<String, String> weightMap = new TreeMap<>(SafetensorsLayout::compareCodePoints);
        for (int i = 0; i < shards.size(); i++) {
            for (Map.Entry<String, LazyTensor> entry : shards.get(i).entrySet()) {
                parameters += entry.getValue().elements();
                bytes += entry.getValue().bytes();
                weightMap.put(entry.getKey(), fileName(i, shards.size()));
            }
        }
        Map<String, Object> totals = new LinkedHashMap<>();
        totals.put("total_parameters", parameters);
        totals.put("total_size", bytes);
        Map<String, Object> index = new LinkedHashMap<>();
        index.put("metadata", totals);
        index.put("weight_map", weightMap);
        return JsonLayout.pretty(index);
    }
}
