package dev.finetune4j.core.kernel.cuda;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.io.CacheFolder;
import dev.finetune4j.core.io.Sha256;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Which kernel was chosen for a product, in a file for each kind of GPU and version of cuBLAS. A file that cannot be read or
 * written only costs the time to choose again. Thread-safe; of two processes the last one's choices stay.
 */
final class AlgorithmCache {
    private static final Logger LOG = LoggerFactory.getLogger(AlgorithmCache.class);
    private static final ObjectMapper JSON = new ObjectMapper();
    /** The way in which {@link AlgorithmBenchmark} chooses; what an earlier way has chosen is not taken over. */
    private static final int TRIAL = 2;

    private final Path file;
    private final Map<String, long[]> chosen = new TreeMap<>();

    private AlgorithmCache(Path file) {
        this.file = file;
    }

    /** What is known of products on such a GPU. */
    static AlgorithmCache of(String gpu, long version) {
        return in(CacheFolder.of("cuda")
                .resolve("products-" + Sha256.hex(gpu + '\n' + version + '\n' + TRIAL) + ".json"));
    }

    /** What a file holds. */
    static AlgorithmCache in(Path file) {
        AlgorithmCache choices = new AlgorithmCache(file);
        choices.chosen.putAll(choices.read());
        return choices;
    }

    private Map<String, long[]> read() {
        try {
            @Nullable
            Map<String, long[]> all =
                    Files.isRegularFile(file) ? JSON.readValue(file.toFile(), new TypeReference<>() {}) : null;
            Map<String, long[]> whole = new TreeMap<>(all == null ? Map.of() : all);
            whole.values().removeIf(numbers -> numbers == null || numbers.length != GemmPlan.NUMBERS_OF_ALGORITHM);
            return whole;
        } catch (IOException e) {
            LOG.debug("{} cannot be read: {}", file, e.toString());
            return Map.of();
        }
    }

    /** The numbers of the kernel that was chosen for a shape, or else for one of nearly as many rows. */
    synchronized Optional<long[]> get(GemmShape shape) {
        return Optional.ofNullable(chosen.getOrDefault(shape.exactKey(), chosen.get(shape.key())));
    }

    /** Keeps a choice; for this number of rows alone where one of nearly as many has a choice, which did not serve then. */
    synchronized void put(GemmShape shape, long[] kernel) {
        chosen.put(chosen.containsKey(shape.key()) ? shape.exactKey() : shape.key(), kernel);
        Map<String, long[]> all = new TreeMap<>(read());
        all.putAll(chosen);
        try {
            Files.createDirectories(file.getParent());
            Path partial = Files.createTempFile(file.getParent(), "products", ".part");
            try {
                JSON.writeValue(partial.toFile(), all);
                Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } finally {
                Files.deleteIfExists(partial);
            }
        } catch (IOException e) {
            LOG.debug("the choice of a product's kernel is not kept: {}", e.toString());
        }
    }
}
