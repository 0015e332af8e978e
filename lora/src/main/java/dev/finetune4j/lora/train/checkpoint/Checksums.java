package dev.finetune4j.lora.train.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/** Lengths and checksums (CRC-32C) of the files of a folder, by which is known later whether they are whole. Stateless. */
final class Checksums {
    private static final int BUFFER_BYTES = 1 << 20;

    private Checksums() {}

    /** Adds those of all files in a folder, by their paths in it. */
    static void write(Path folder, ObjectNode into) throws IOException {
        List<Path> files;
        try (Stream<Path> walk = Files.walk(folder)) {
            files = walk.filter(Files::isRegularFile).sorted().toList();
        }
        for (Path file : files) {
            ObjectNode entry = into.putObject(folder.relativize(file).toString().replace('\\', '/'));
            entry.put("bytes", Files.size(file));
            entry.put("crc32c", crc(file));
        }
    }

    /** What is wrong with a folder whose files had these; null when they still have them. */
    static @Nullable String problem(Path folder, JsonNode recorded) {
        if (recorded.isEmpty()) {
            return "it does not say which files it has";
        }
        for (Map.Entry<String, JsonNode> entry : recorded.properties()) {
            Path file = folder.resolve(entry.getKey());
            long bytes = entry.getValue().path("bytes").asLong();
            try {
                if (!Files.isRegularFile(file)) {
                    return entry.getKey() + " is missing";
                }
                if (Files.size(file) != bytes) {
                    return entry.getKey() + " has " + Files.size(file) + " bytes, but had " + bytes;
                }
                if (crc(file) != entry.getValue().path("crc32c").asLong()) {
                    return entry.getKey() + " has another content than was written (its checksum differs)";
                }
            } catch (IOException e) {
                return entry.getKey() + " cannot be read: " + e;
            }
        }
        return null;
    }

    private static long crc(Path file) throws IOException {
        CRC32C crc = new CRC32C();
        byte[] buffer = new byte[BUFFER_BYTES];
        try (InputStream in = Files.newInputStream(file)) {
            for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
                crc.update(buffer, 0, read);
            }
        }
        return crc.getValue();
    }
}
