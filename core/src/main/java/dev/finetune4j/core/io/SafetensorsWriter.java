package dev.finetune4j.core.io;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Writes tensors as <a href="https://github.com/huggingface/safetensors#format">safetensors</a>, with the same bytes
 * that the reference library in Python gives for the same tensors.
 *
 * <p>A tensor may be on any device, a view, or require a gradient: a dense copy on the CPU is made of what is not
 * dense there already, one tensor at a time. A tensor given under two names is written twice. A file that was there
 * before is replaced in one move after everything has been written; when writing fails it stays as it was and nothing
 * is left beside it. Thread-safe, as long as two calls do not write the same files.
 */
public final class SafetensorsWriter {
    /** What transformers writes as metadata and asks for when it loads. */
    private static final Map<String, String> DEFAULT_METADATA = Map.of("format", "pt");

    private static final long CHUNK_BYTES = 64L << 20;

    private SafetensorsWriter() {}

    /**
     * Writes a file with the metadata {@code format=pt}, without which transformers does not load it.
     *
     * @throws IllegalArgumentException if a tensor is closed, not dense, or of a type that the format does not know
     * @throws FineTune4jException when the file cannot be written
     */
    public static void write(Path file, Map<String, Tensor> tensors) {
        write(file, tensors, DEFAULT_METADATA);
    }

    /**
     * Writes a file.
     *
     * @param file where to; its folder has to exist
     * @param tensors in any order
     * @param metadata free text, written in the order of the map; with an empty map there is no {@code __metadata__}
     * @throws IllegalArgumentException if a tensor is closed, not dense, or of a type that the format does not know
     * @throws FineTune4jException when the file cannot be written
     */
    public static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata) {
        SafetensorsLayout layout = layout(tensors, metadata);
        requireFolder(file.toAbsolutePath().getParent());
        try (AtomicFile out = AtomicFile.create(file)) {
            writeContent(out.output(), layout);
            out.commit();
        } catch (IOException e) {
            throw failed(file, e);
        }
    }

    /**
     * Writes the weights of a model folder: {@code model.safetensors} when they fit into one file, otherwise shards
     * and {@code model.safetensors.index.json}, with the same names, shares and index that transformers gives them. All
     * files are complete before the first takes its place, and
     * weight files of these names from an earlier write go with it, see {@link FolderTransaction}.
     *
     * @param folder where to; it has to exist
     * @param tensors in the order in which they shall fill the shards
     * @param metadata for each file, as in {@link #write(Path, Map, Map)}
     * @param maxShardBytes the most tensor bytes of one file; only a tensor that is larger alone makes a larger file
     * @return the weight files, first shard first
     * @throws IllegalArgumentException if the limit is below 1, or a tensor is closed, not dense or not as announced
     * @throws FineTune4jException when a file cannot be written
     */
    public static List<Path> writeSharded(
            Path folder, Map<String, LazyTensor> tensors, Map<String, String> metadata, long maxShardBytes) {
        if (maxShardBytes < 1) {
            throw new IllegalArgumentException("maxShardBytes must be at least 1, but was " + maxShardBytes);
        }
        requireFolder(folder);
        try (FolderTransaction transaction = FolderTransaction.begin(folder, FolderTransaction.Kind.WEIGHTS)) {
            List<String> names = writeSharded(transaction, tensors, metadata, maxShardBytes);
            transaction.commit();
            return names.stream().map(folder::resolve).toList();
        } catch (IOException e) {
            throw failed(folder, e);
        }
    }

    /**
     * As {@link #writeSharded(Path, Map, Map, long)}, as a part of what a transaction writes.
     *
     * @return the names of the weight files, first shard first
     */
    public static List<String> writeSharded(
            FolderTransaction transaction,
            Map<String, LazyTensor> tensors,
            Map<String, String> metadata,
            long maxShardBytes)
            throws IOException {
        return writeSharded(transaction, tensors, metadata, Map.of(), maxShardBytes);
    }

    /**
     * As the other method, with the split of the files that the tensors come from.
     *
     * @param fileOf the names of these files by tensor; tensors that it does not name go to the last one. Empty for shards of at most {@code
     *     maxShardBytes}
     */
    public static List<String> writeSharded(
            FolderTransaction transaction,
            Map<String, LazyTensor> tensors,
            Map<String, String> metadata,
            Map<String, String> fileOf,
            long maxShardBytes)
            throws IOException {
        TorchRuntime.start();
        return new ShardedWrite(transaction.files(), metadata, fileOf, maxShardBytes).write(tensors);
    }

    /** As {@link #write(Path, Map, Map)}, as a part of what a transaction writes. */
    public static void write(
            FolderTransaction transaction, String name, Map<String, Tensor> tensors, Map<String, String> metadata)
            throws IOException {
        SafetensorsLayout layout = layout(tensors, metadata);
        try (Disk.Output out = Disk.create(transaction.files().resolve(name))) {
            writeContent(out, layout);
        }
    }

    private static SafetensorsLayout layout(Map<String, Tensor> tensors, Map<String, String> metadata) {
        TorchRuntime.start();
        Map<String, LazyTensor> lazy = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> lazy.put(name, wrap(name, tensor)));
        return SafetensorsLayout.of(lazy, metadata);
    }

    static void writeContent(Disk.Output out, SafetensorsLayout layout) throws IOException {
        out.write(layout.start());
        for (Map.Entry<String, LazyTensor> entry : layout.tensors()) {
            long bytes = entry.getValue().bytes();
            try (TensorScope scope = new TensorScope()) {
                Tensor tensor = entry.getValue().materialize(entry.getKey());
                if (bytes > 0) {
                    writeMemory(out, new TensorBytes(tensor), bytes);
                }
            }
        }
        out.finish();
    }

    private static void writeMemory(Disk.Output out, TensorBytes memory, long bytes) throws IOException {
        for (long done = 0; done < bytes; done += CHUNK_BYTES) {
            out.write(memory.view(done, (int) Math.min(CHUNK_BYTES, bytes - done)));
        }
    }

    private static LazyTensor wrap(String name, Tensor tensor) {
        try {
            return LazyTensor.of(tensor);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("tensor " + name + ": " + e.getMessage(), e);
        }
    }

    private static void requireFolder(@Nullable Path folder) {
        if (folder == null || !Files.isDirectory(folder)) {
            throw new FineTune4jException(folder + " is no folder, so nothing can be written there; create it first");
        }
    }

    static FineTune4jException failed(Path file, IOException cause) {
        return new FineTune4jException(
                file + " could not be written: " + cause + "; what was there before is unchanged. Check the free space"
                        + " and the rights of the folder",
                cause);
    }
}
