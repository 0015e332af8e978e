package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.CheckpointException;
import dev.finetune4j.core.TestData;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.TorchRuntime;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Random damage to the start of a file: it opens with tensors that its bytes cover, or it fails with our exception. */
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

    @Test
    void mutatedHeaders() throws IOException {
        TorchRuntime.start();
        byte[] original =
                Files.readAllBytes(TestData.resource("io/safetensors-bad/valid_05_metadata_unicode_names.safetensors"));
        Path file = folder.resolve("mutated.safetensors");
        SplittableRandom random = new SplittableRandom(SEED);
        int opened = 0;
        for (int turn = 0; turn < TURNS; turn++) {
            byte[] bytes = mutate(original, random);
            Files.write(file, bytes);
            try {
                opened += open(file, bytes.length);
            } catch (CheckpointException e) {
                assertTrue(e.getMessage().contains("mutated.safetensors"), e.getMessage());
            } catch (RuntimeException | Error e) {
                throw new AssertionError("seed " + SEED + ", turn " + turn + ": " + Arrays.toString(bytes), e);
            }
        }
        assertTrue(opened > 0 && opened < TURNS, opened + " of " + TURNS + " opened with seed " + SEED);
    }

    private static int open(Path file, long size) {
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
