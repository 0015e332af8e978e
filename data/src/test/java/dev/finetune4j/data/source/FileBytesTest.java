package dev.finetune4j.data.source;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileBytesTest {
    @TempDir
    private Path folder;

    @Test
    void placesBeyondFourGibibytesAreReadAndMoreThanAnArrayIsRefused() throws IOException {
        Path file = folder.resolve("sparse");
        long far = (5L << 30) + 7;
        try (RandomAccessFile out = new RandomAccessFile(file.toFile(), "rw")) {
            out.write(new byte[] {1, 2, 3});
            out.seek(far);
            out.write(new byte[] {4, 5});
        }
        FileBytes bytes = new FileBytes(file);
        assertArrayEquals(new byte[] {2, 3, 0}, bytes.bytes(1, 4));
        assertArrayEquals(new byte[] {0, 4, 5}, bytes.bytes(far - 1, far + 2));
        assertArrayEquals(new byte[0], bytes.bytes(far, far));
        assertThrows(IOException.class, () -> bytes.bytes(far, far + 3));
        String message =
                assertThrows(IOException.class, () -> bytes.bytes(0, 1L << 31)).getMessage();
        assertTrue(message.contains("2147483648 bytes, more than 2 GiB"), message);
    }
}
