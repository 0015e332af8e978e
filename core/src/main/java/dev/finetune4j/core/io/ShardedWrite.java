package dev.finetune4j.core.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One writing of a model's weights to a folder, in one file or in shards with an index. */
final class ShardedWrite {
    private static final Logger LOG = LoggerFactory.getLogger(ShardedWrite.class);
    private static final Pattern WEIGHT_FILE =
            Pattern.compile("model(-[0-9]{5}-of-[0-9]{5})?\\.safetensors|model\\.safetensors\\.index\\.json");

    private final Path folder;
    private final Map<String, String> metadata;
    private final long maxShardBytes;
    private final List<AtomicFile> written = new ArrayList<>();

    ShardedWrite(Path folder, Map<String, String> metadata, long maxShardBytes) {
        this.folder = folder;
        this.metadata = metadata;
        this.maxShardBytes = maxShardBytes;
    }

    List<Path> write(Map<String, LazyTensor> tensors) {
        List<Map<String, LazyTensor>> shards = split(tensors);
        List<SafetensorsLayout> layouts = new ArrayList<>();
        shards.forEach(shard -> layouts.add(SafetensorsLayout.of(shard, metadata)));
        List<Path> files = new ArrayList<>();
        for (int i = 0; i < shards.size(); i++) {
            files.add(folder.resolve(fileName(i, shards.size())));
        }
        List<Path> all = new ArrayList<>(files);
        try {
            for (int i = 0; i < files.size(); i++) {
                SafetensorsWriter.writeContent(create(files.get(i)), layouts.get(i));
            }
            if (files.size() > 1) {
                Path index = folder.resolve(FolderWeights.INDEX);
                all.add(index);
                writeIndex(create(index), shards);
            }
            for (AtomicFile file : written) {
                file.commit();
            }
        } catch (IOException e) {
            throw SafetensorsWriter.failed(folder, e);
        } finally {
            written.forEach(ShardedWrite::discard);
        }
        removeOthers(all);
        return List.copyOf(files);
    }

    private AtomicFile create(Path file) throws IOException {
        AtomicFile created = AtomicFile.create(file);
        written.add(created);
        return created;
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

    private static String fileName(int shard, int shards) {
        return shards == 1
                ? FolderWeights.SINGLE_FILE
                : String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", shard + 1, shards);
    }

    /** The same text that transformers writes: everything sorted by name. */
    private static void writeIndex(AtomicFile out, List<Map<String, LazyTensor>> shards) throws IOException {
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
        out.write(ByteBuffer.wrap(JsonLayout.pretty(index)));
        out.finish();
    }

    /** A file of an older set beside the new one would make two models of one folder. */
    private void removeOthers(List<Path> current) {
        try (Stream<Path> entries = Files.list(folder)) {
            for (Path entry : entries.toList()) {
                if (WEIGHT_FILE.matcher(folder.relativize(entry).toString()).matches() && !current.contains(entry)) {
                    Files.delete(entry);
                }
            }
        } catch (IOException e) {
            throw SafetensorsWriter.failed(folder, e);
        }
    }

    private static void discard(AtomicFile file) {
        try {
            file.close();
        } catch (IOException e) {
            LOG.warn("a temporary file is left behind: {}", e.toString());
        }
    }
}
