package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Random damage to the start of a file: it opens with tensors that its bytes cover, or it fails with our exception, and
 * either way the memory that opening takes is bounded by the size of the file.
 */
@Tag("slow")
class SafetensorsFuzzTest {
    private static final long SEED = Long.getLong("finetune4j.seed", 20_260_301L);
    private static final int TURNS = Integer.getInteger("finetune4j.fuzz", 20_000);
    private static final List<String> PIECES = List.of(
            "0",
            "-1",
            "4294967296",
            "9223372036854775807",
            "18446744073709551615",
            "1e9",
            "2.5",
            "null",
            "[]",
            "{}",
            "\"F64\"",
            "\"BOOL\"",
            "\"F6_E2M3\"",
            "\"dtype\":",
            "\"a\":",
            ",",
            "}",
            "]",
            "\u0000",
            "\u00ff",
            "\"",
            " ");

    @TempDir
    private Path folder;

    /** Buffers of the JSON parser, the message of an error, and what Java makes on the first use of some code. */
    private static final long ALLOCATED_AT_LEAST = 256 << 10;

    private static final int WARM_UP = 500;

    /** Bytes on the heap for one byte of a file: names as objects, maps, numbers. */
    private static final long ALLOCATED_PER_BYTE = 64;

    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

    @ParameterizedTest
    @ValueSource(
            strings = {
                "io/safetensors-bad/valid_01_scalar_0d.safetensors",
                "io/safetensors-bad/valid_05_metadata_unicode_names.safetensors",
                "model/granite_plain/model.safetensors"
            })
    void mutatedHeaders(String name) throws IOException {
        TorchRuntime.start();
        byte[] original = Files.readAllBytes(TestData.resource(name));
        Path file = folder.resolve("mutated.safetensors");
        SplittableRandom random = new SplittableRandom(SEED);
        SplittableRandom other = random.split();
        for (int turn = 0; turn < WARM_UP; turn++) {
            Files.write(file, mutate(original, other));
            allocatedByOpening(file);
        }
        int opened = 0;
        long most = 0;
        for (int turn = 0; turn < TURNS; turn++) {
            byte[] bytes = mutate(original, random);
            Files.write(file, bytes);
            String where = "seed " + SEED + ", turn " + turn;
            try {
                long allocated = allocatedByOpening(file);
                most = Math.max(most, allocated);
                assertTrue(
                        allocated <= ALLOCATED_AT_LEAST + ALLOCATED_PER_BYTE * bytes.length,
                        () -> where + ": " + allocated + " bytes for a file of " + bytes.length);
                opened += readAll(file, bytes.length);
            } catch (ModelFileException e) {
                assertTrue(e.getMessage().contains("mutated.safetensors"), e.getMessage());
            } catch (RuntimeException e) {
                throw new AssertionError(where + ": " + Arrays.toString(bytes), e);
            }
        }
        System.out.printf(
                "%s: seed %d, %d mutations, %d opened, %d refused, at most %d bytes allocated to open one of some %d%n",
                name, SEED, TURNS, opened, TURNS - opened, most, original.length);
        assertTrue(opened > 0 && opened < TURNS, opened + " of " + TURNS + " opened with seed " + SEED);
    }

    private static long allocatedByOpening(Path file) {
        long before = THREADS.getCurrentThreadAllocatedBytes();
        try {
            SafetensorsFile.open(file).close();
        } catch (ModelFileException e) {
            assertTrue(e.getMessage().contains("mutated.safetensors"), e.getMessage());
        }
        return THREADS.getCurrentThreadAllocatedBytes() - before;
    }

    private static int readAll(Path file, long size) {
        try (SafetensorsFile opened = SafetensorsFile.open(file);
                TensorScope scope = new TensorScope()) {
            long sum = 0;
            for (TensorInfo info : opened.tensors().values()) {
                sum += info.bytes();
                if (info.dtype().scalarType().isPresent()) {
                    assertTrue(opened.read(info.name()).nbytes() == info.bytes(), info.toString());
                }
            }
            assertTrue(sum < size, "tensors of " + sum + " bytes in a file of " + size);
            return 1;
        }
    }

    private static byte[] mutate(byte[] original, SplittableRandom random) {
        byte[] bytes = original.clone();
        int header =
                (int) ByteBuffer.wrap(original).order(ByteOrder.LITTLE_ENDIAN).getLong();
        int changes = 1 + random.nextInt(3);
        for (int i = 0; i < changes; i++) {
            int at = random.nextInt(Math.min(bytes.length, 8 + header));
            switch (random.nextInt(4)) {
                case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
                case 1 -> bytes[at] = (byte) ('0' + random.nextInt(10));
                case 2 -> bytes = splice(bytes, Math.max(at, 8), random);
                default -> bytes = random.nextInt(20) == 0 ? Arrays.copyOf(bytes, at + 1) : bytes;
            }
        }
        return bytes;
    }

    /** Puts a piece of JSON into the header, mostly with the header's length corrected, so that the parser sees it. */
    private static byte[] splice(byte[] bytes, int at, SplittableRandom random) {
        byte[] piece = PIECES.get(random.nextInt(PIECES.size())).getBytes(StandardCharsets.UTF_8);
        int from = Math.min(at, bytes.length);
        int cut = Math.min(random.nextInt(4), bytes.length - from);
        byte[] result = new byte[bytes.length - cut + piece.length];
        System.arraycopy(bytes, 0, result, 0, from);
        System.arraycopy(piece, 0, result, from, piece.length);
        System.arraycopy(bytes, from + cut, result, from + piece.length, bytes.length - from - cut);
        if (result.length >= 8 && random.nextInt(10) > 0) {
            ByteBuffer length = ByteBuffer.wrap(result).order(ByteOrder.LITTLE_ENDIAN);
            length.putLong(0, length.getLong(0) + piece.length - cut);
        }
        return result;
    }
}
