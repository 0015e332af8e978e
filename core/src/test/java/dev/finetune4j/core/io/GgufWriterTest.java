package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class GgufWriterTest {
    private static final int ROWS = 3;
    private static final int WIDTH = 64;

    @TempDir
    Path folder;

    @AfterEach
    void watchNoMore() {
        Disk.watch(null);
    }

    private static GgufMetadata metadata() {
        return new GgufMetadata()
                .text("general.architecture", "llama")
                .count("a.count", 4_294_967_295L)
                .number("a.number", 0.1)
                .flag("a.flag", true)
                .text("a.text", "中 text")
                .texts("a.texts", List.of("<s>", "▁t", ""))
                .numbers("a.numbers", new float[] {0, -1.5f, 1e-6f})
                .integers("a.integers", new int[] {1, -2, 3});
    }

    /** Ties, zeros, a block with one large number and one of tiny ones. */
    private static float[] numbers() {
        float[] x = new float[ROWS * WIDTH];
        for (int i = 0; i < x.length; i++) {
            x[i] = (i * 7919 % 1009 - 504) / 37f;
        }
        for (int i = 0; i < 32; i++) {
            x[WIDTH + i] = 0;
            x[2 * WIDTH + 32 + i] *= 1e-6f;
        }
        x[2 * WIDTH] = 1000;
        return x;
    }

    private static GgufTensor tensor(String name, GgmlType type, float[] values, long... shape) {
        return new GgufTensor(
                name,
                type,
                LazyTensor.of(ScalarType.Float, shape, () -> Tensors.ofFloats(ComputeDevice.cpu(), values, shape)));
    }

    private static List<GgufTensor> tensors() {
        float[] x = numbers();
        return List.of(
                tensor("f32.weight", GgmlType.F32, x, ROWS, WIDTH),
                tensor("f16.weight", GgmlType.F16, x, ROWS, WIDTH),
                tensor("q8.weight", GgmlType.Q8_0, x, ROWS, WIDTH),
                tensor("bf16.weight", GgmlType.BF16, x, ROWS, WIDTH),
                tensor("odd.weight", GgmlType.F32, Arrays.copyOf(x, 5), 5));
    }

    /** The expected file was written by the Python package gguf. */
    @Test
    void writesTheBytesOfTheReferenceLibrary() throws IOException {
        Path file = folder.resolve("model.gguf");
        GgufWriter.write(file, metadata(), tensors());
        assertArrayEquals(
                Files.readAllBytes(TestData.resource("gguf/golden.gguf")),
                Files.readAllBytes(file),
                "bytes of the file");
    }

    /** A stack is written part by part, with the bytes that it has as one tensor. */
    @ParameterizedTest
    @EnumSource(GgmlType.class)
    void partsOfAStackLieBehindOneAnother(GgmlType type) throws IOException {
        float[] x = numbers();
        List<LazyTensor> parts = IntStream.range(0, ROWS)
                .mapToObj(row -> Arrays.copyOfRange(x, row * WIDTH, (row + 1) * WIDTH))
                .map(row -> tensor("", type, row, 1, WIDTH).parts().get(0))
                .toList();
        Path stack = folder.resolve("stack.gguf");
        Path whole = folder.resolve("whole.gguf");
        GgufWriter.write(stack, metadata(), List.of(new GgufTensor("a", type, parts, true)));
        GgufWriter.write(whole, metadata(), List.of(tensor("a", type, x, ROWS, 1, WIDTH)));
        assertArrayEquals(Files.readAllBytes(whole), Files.readAllBytes(stack));
    }

    @Test
    void refusesPartsOfSeveralShapes() {
        LazyTensor one = tensor("a", GgmlType.F32, new float[4], 2, 2).parts().get(0);
        LazyTensor other = tensor("a", GgmlType.F32, new float[4], 1, 4).parts().get(0);
        IllegalArgumentException refused = assertThrows(
                IllegalArgumentException.class,
                () -> new GgufTensor("a.weight", GgmlType.F32, List.of(one, other), true));
        assertTrue(refused.getMessage().contains("a.weight"), refused.getMessage());
    }

    @Test
    void leavesTheOldFileWhenWritingEndsAtAnyStep() throws IOException {
        Path file = folder.resolve("model.gguf");
        GgufWriter.write(file, metadata(), tensors());
        byte[] before = Files.readAllBytes(file);
        int[] steps = {0};
        Disk.watch((step, path) -> steps[0]++);
        GgufWriter.write(file, metadata(), tensors());
        int all = steps[0];
        assertTrue(all > 5, "steps of a writing: " + all);
        for (int end = 0; end < all - 1; end++) {
            int last = end;
            int[] now = {0};
            Disk.watch((step, path) -> {
                if (now[0]++ >= last) {
                    throw new IOException("disk full");
                }
            });
            assertThrows(FineTune4jException.class, () -> GgufWriter.write(file, metadata(), tensors()));
            Disk.watch(null);
            assertArrayEquals(before, Files.readAllBytes(file), "after " + end + " steps");
        }
    }

    @Test
    void refusesWhatIsNotItsOwnToReplace() throws IOException {
        Path file = folder.resolve("notes.txt");
        Files.writeString(file, "mine");
        FineTune4jException refused =
                assertThrows(FineTune4jException.class, () -> GgufWriter.write(file, metadata(), List.of()));
        assertTrue(refused.getMessage().contains("no GGUF file"), refused.getMessage());
        assertEquals("mine", Files.readString(file));
    }

    @Test
    void refusesNumbersThatHalfPrecisionDoesNotHold() throws IOException {
        Path file = folder.resolve("model.gguf");
        GgufTensor large = tensor("large.weight", GgmlType.F16, new float[] {1, 70_000}, 2);
        FineTune4jException refused =
                assertThrows(FineTune4jException.class, () -> GgufWriter.write(file, metadata(), List.of(large)));
        assertTrue(refused.getMessage().contains("large.weight"), refused.getMessage());
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(List.of(), left.toList());
        }
    }

    @Test
    void refusesRowsThatBlocksDoNotFill() {
        assertThrows(IllegalArgumentException.class, () -> tensor("a", GgmlType.Q8_0, new float[48], 1, 48));
    }
}
