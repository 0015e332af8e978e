package dev.finetune4j.core.io;

import dev.finetune4j.core.ModelFileException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;

/**
 * The weights of a Hugging Face model folder: {@code model.safetensors}, or shards tied together by the {@code
 * weight_map} of {@code model.safetensors.index.json}. As in transformers, the single file wins when both are there.
 */
final class FolderWeights implements WeightSource {
    static final String SINGLE_FILE = "model.safetensors";
    static final String INDEX = "model.safetensors.index.json";

    private static final int LISTED = 20;
    private static final int COMPARED = 1 << 22;

    private final Path folder;
    private final Map<String, SafetensorsFile> files;
    private final Map<String, SafetensorsFile> fileOf;
    private volatile boolean closed;

    private FolderWeights(Path folder, Map<String, SafetensorsFile> files, Map<String, SafetensorsFile> fileOf) {
        this.folder = folder;
        this.files = files;
        this.fileOf = Collections.unmodifiableMap(fileOf);
    }

    static boolean isThere(Path folder) {
        return Files.exists(folder.resolve(SINGLE_FILE)) || Files.exists(folder.resolve(INDEX));
    }

    /** @throws ModelFileException when there are no weights, or a file of them is missing or damaged */
    static FolderWeights open(Path folder) {
        Path single = folder.resolve(SINGLE_FILE);
        if (Files.exists(single)) {
            SafetensorsFile file = SafetensorsFile.open(single);
            Map<String, SafetensorsFile> fileOf = new LinkedHashMap<>();
            file.names().forEach(name -> fileOf.put(name, file));
            return new FolderWeights(folder, Map.of(SINGLE_FILE, file), fileOf);
        }
        Path index = folder.resolve(INDEX);
        if (Files.exists(index)) {
            return openShards(folder, index);
        }
        throw new ModelFileException(folder + " has no " + SINGLE_FILE + " and no " + INDEX + "; " + remedy(folder));
    }

    private static FolderWeights openShards(Path folder, Path indexFile) {
        ShardIndex index = ShardIndex.read(indexFile);
        List<String> problems = new ArrayList<>();
        Map<String, SafetensorsFile> files = new TreeMap<>();
        boolean done = false;
        try {
            for (String shard : index.shards()) {
                if (Files.isRegularFile(folder.resolve(shard))) {
                    files.put(shard, SafetensorsFile.open(folder.resolve(shard)));
                } else {
                    problems.add("the shard " + shard + " is not in the folder");
                }
            }
            Map<String, SafetensorsFile> fileOf = assign(index.weightMap(), files, problems);
            index.requireNone(problems);
            done = true;
            return new FolderWeights(folder, files, fileOf);
        } finally {
            if (!done) {
                files.values().forEach(SafetensorsFile::close);
            }
        }
    }

    /** The tensors of the index, then those that the shards hold beside them, which transformers loads as well. */
    private static Map<String, SafetensorsFile> assign(
            Map<String, String> weightMap, Map<String, SafetensorsFile> files, List<String> problems) {
        Map<String, SafetensorsFile> fileOf = new LinkedHashMap<>();
        weightMap.forEach((name, shard) -> {
            SafetensorsFile file = files.get(shard);
            if (file != null && !file.tensors().containsKey(name)) {
                problems.add("tensor " + name + " is not in the shard " + shard);
            } else if (file != null) {
                fileOf.put(name, file);
            }
        });
        Map<String, String> unnamed = new LinkedHashMap<>();
        files.forEach((shard, file) -> file.names().forEach(name -> {
            if (weightMap.containsKey(name)) {
                return;
            }
            String other = unnamed.putIfAbsent(name, shard);
            if (other != null) {
                problems.add("tensor " + name + " is in the shards " + other + " and " + shard
                        + ", and the index does not say which counts");
            }
            fileOf.put(name, file);
        }));
        return fileOf;
    }

    private static String remedy(Path folder) {
        List<String> names = list(folder);
        if (names.contains("adapter_config.json")) {
            return WrongFolder.adapter(folder); // some trainers leave the base's config.json in it
        }
        if (names.stream().anyMatch(name -> name.matches("pytorch_model.*\\.bin"))) {
            return "it has weights in PyTorch's pickle form only, which can run code when they are read. Convert them"
                    + " to safetensors, in Python with model.save_pretrained(folder), or fetch a safetensors revision";
        }
        if (names.stream().anyMatch(name -> name.matches("model-.*\\.safetensors"))) {
            return "it has shards, so the index is missing: fetch it too";
        }
        if (names.stream().anyMatch(name -> name.endsWith(".gguf"))) {
            return "it has a GGUF file, which is not supported: fetch the safetensors model that it was made from";
        }
        return "fetch the weights of the model; found: " + describe(folder);
    }

    /** The names in a folder, for a message. */
    static String describe(Path folder) {
        List<String> names = list(folder);
        if (names.isEmpty()) {
            return "nothing";
        }
        String listed = String.join(", ", names.subList(0, Math.min(LISTED, names.size())));
        return names.size() > LISTED ? listed + " and " + (names.size() - LISTED) + " more" : listed;
    }

    private static List<String> list(Path folder) {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.map(entry -> folder.relativize(entry).toString())
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new ModelFileException(folder + " cannot be listed: " + e, e);
        }
    }

    @Override
    public Set<String> names() {
        requireOpen();
        return fileOf.keySet();
    }

    @Override
    public TensorInfo info(String name) {
        return fileOf(name).info(name);
    }

    @Override
    public Tensor read(String name) {
        return fileOf(name).read(name);
    }

    @Override
    public Tensor readRows(String name, long first, long count) {
        return fileOf(name).readRows(name, first, count);
    }

    /** Compares piece by piece, so that tables of gigabytes are not copied and a difference is soon found. */
    @Override
    public boolean areEqual(String name, String other) {
        TensorInfo one = info(name);
        TensorInfo two = info(other);
        if (one.dtype() != two.dtype() || !Arrays.equals(one.shape(), two.shape())) {
            return false;
        }
        SafetensorsFile fileOfOne = fileOf(name);
        SafetensorsFile fileOfTwo = fileOf(other);
        for (long from = 0; from < one.bytes(); from += COMPARED) {
            if (!Arrays.equals(fileOfOne.bytes(one, from, COMPARED), fileOfTwo.bytes(two, from, COMPARED))) {
                return false;
            }
        }
        return true;
    }

    /** The name of each tensor's file. */
    Map<String, String> fileNames() {
        Map<String, String> names = new LinkedHashMap<>();
        files.forEach((name, file) -> file.names().forEach(tensor -> {
            if (file.equals(fileOf.get(tensor))) {
                names.put(tensor, name);
            }
        }));
        return names;
    }

    /** The free text of the first file; each file of one model has the same. */
    Map<String, String> metadata() {
        return files.values().stream()
                .findFirst()
                .map(SafetensorsFile::metadata)
                .orElse(Map.of());
    }

    /** The first and the last bytes of a tensor, or all of it when it is no longer than both. */
    List<byte[]> ends(String name, int length) {
        SafetensorsFile file = fileOf(name);
        TensorInfo info = file.info(name);
        if (info.bytes() <= 2L * length) {
            return List.of(file.bytes(info, 0, 2 * length));
        }
        return List.of(file.bytes(info, 0, length), file.bytes(info, info.bytes() - length, length));
    }

    private SafetensorsFile fileOf(String name) {
        requireOpen();
        SafetensorsFile file = fileOf.get(name);
        if (file == null) {
            throw new ModelFileException(folder + " has no tensor " + name + " among the " + fileOf.size()
                    + " of its weights; use the weights that belong to this config.json");
        }
        return file;
    }

    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("the weights of " + folder + " are closed; open them again to read them");
        }
    }

    @Override
    public void close() {
        closed = true;
        files.values().forEach(SafetensorsFile::close);
    }
}
