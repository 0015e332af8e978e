package dev.finetune4j.core.io;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/** What the tests of this package share. */
final class Fixtures {
    private Fixtures() {}

    /** A safetensors file of any header, right or wrong. */
    static byte[] file(String header, byte... data) {
        byte[] json = header.getBytes(StandardCharsets.UTF_8);
        ByteBuffer start = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(json.length);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(start.array());
        bytes.writeBytes(json);
        bytes.writeBytes(data);
        return bytes.toByteArray();
    }

    /** The names in a folder, sorted. */
    static String list(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return String.join(
                    " ",
                    entries.map(path -> path.getFileName().toString()).sorted().toList());
        }
    }
}
