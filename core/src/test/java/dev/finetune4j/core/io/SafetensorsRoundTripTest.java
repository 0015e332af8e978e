package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Reading gives the values and types that were written; writing gives the reference library's bytes. */
class SafetensorsRoundTripTest {
    @TempDir
    private Path folder;

    @BeforeAll
    static void start() {
        TorchRuntime.start();
    }

    private static Tensor counting(int count) {
        byte[] bytes = new byte[count];
        IntStream.range(0, count).forEach(i -> bytes[i] = (byte) (i * 37 % 251));
        return Tensors.ofBytes(ComputeDevice.cpu(), bytes, count);
    }

    private static Map<String, Tensor> readAll(Path path) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            file.names().forEach(name -> tensors.put(name, file.read(name)));
        }
        return tensors;
    }

    @ParameterizedTest
    @EnumSource
    void everyDtypeRoundTrips(Dtype dtype) {
        Needs.that(dtype.scalarType().isPresent(), "libtorch has no such type");
        ScalarType type = dtype.scalarType().get();
        Path file = folder.resolve("t.safetensors");
        try (TensorScope scope = new TensorScope()) {
            Tensor values = dtype == Dtype.BOOL
                    ? Tensors.ofBytes(ComputeDevice.cpu(), new byte[] {1, 0, 0, 1, 1, 0}, 6)
                            .to(ScalarType.Bool)
                    : counting(6 * dtype.bits() / 8).view(type);
            SafetensorsWriter.write(file, Map.of("x", values.view(2, 3)));
            try (SafetensorsFile opened = SafetensorsFile.open(file)) {
                Tensor read = opened.read("x");
                assertEquals(dtype, opened.info("x").dtype());
                assertEquals(type, read.scalar_type().intern());
                assertArrayEquals(new long[] {2, 3}, read.shape());
                assertArrayEquals(TensorData.bytes(values), TensorData.bytes(read));
                assertEquals(Map.of("format", "pt"), opened.metadata());
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"io/reference/sampling", "io/reference/preference", "model/granite_plain/model"})
    void rewritingGivesTheReferenceBytes(String name) throws IOException {
        assertRewrites(TestData.resource(name + ".safetensors"));
    }

    @Test
    void rewritingGivesTheReferenceBytesOfAllSharedFiles() throws IOException {
        Path reference = Needs.shared("fixtures/reference");
        List<Path> files;
        try (Stream<Path> all = Files.walk(reference)) {
            files = all.filter(path -> path.toString().endsWith(".safetensors")).toList();
        }
        assertTrue(files.size() > 50, files.size() + " files");
        for (Path file : files) {
            assertRewrites(file);
        }
    }

    private void assertRewrites(Path original) throws IOException {
        Path copy = folder.resolve("copy.safetensors");
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> shuffled = new LinkedHashMap<>();
            List<Map.Entry<String, Tensor>> entries =
                    new ArrayList<>(readAll(original).entrySet());
            java.util.Collections.shuffle(entries, new java.util.Random(5));
            entries.forEach(entry -> shuffled.put(entry.getKey(), entry.getValue()));
            SafetensorsWriter.write(copy, shuffled);
        }
        assertEquals(-1, Files.mismatch(original, copy), original.toString());
    }

    @Test
    void headerIsSortedEscapedAndPadded() throws IOException {
        Path file = folder.resolve("t.safetensors");
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (String name : List.of("\uffee", "\ud83d\ude00", "b", "a\"\\\n\u001f/\u007f")) {
            tensors.put(name, counting(1));
        }
        tensors.put("wide", counting(8).view(ScalarType.Long));
        tensors.put("flag", counting(1).to(ScalarType.Bool));
        tensors.put("single", counting(4).view(ScalarType.Float).reshape(new long[0]));
        tensors.put("none", Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, 0, 3));
        SafetensorsWriter.write(file, tensors, Map.of());
        byte[] bytes = Files.readAllBytes(file);
        int length =
                ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.LITTLE_ENDIAN).getInt();
        String header = new String(bytes, 8, length, StandardCharsets.UTF_8);
        assertEquals(0, length % 8);
        assertEquals(
                "{\"wide\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
                        + "\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[8,8]},"
                        + "\"single\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
                        + "\"a\\\"\\\\\\n\\u001f/\u007f\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[12,13]},"
                        + "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[13,14]},"
                        + "\"\uffee\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[14,15]},"
                        + "\"\ud83d\ude00\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[15,16]},"
                        + "\"flag\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[16,17]}}",
                header.stripTrailing());
        assertEquals(tensors.keySet(), readAll(file).keySet());
        assertArrayEquals(new long[0], readAll(file).get("single").shape());
    }

    @Test
    void viewsAndGradientTensorsAreWrittenDense() {
        Path file = folder.resolve("t.safetensors");
        Tensor matrix = Tensors.ofFloats(ComputeDevice.cpu(), new float[] {1, 2, 3, 4, 5, 6}, 2, 3);
        Tensor learned = Tensors.ones(ComputeDevice.cpu(), ScalarType.Float, 2);
        learned.requires_grad_(true);
        SafetensorsWriter.write(file, Map.of("t", matrix.t(), "row", matrix.select(0, 1), "w", learned));
        Map<String, Tensor> read = readAll(file);
        assertArrayEquals(new float[] {1, 4, 2, 5, 3, 6}, Tensors.toFloats(read.get("t")));
        assertArrayEquals(new float[] {4, 5, 6}, Tensors.toFloats(read.get("row")));
        assertArrayEquals(new float[] {1, 1}, Tensors.toFloats(read.get("w")));
        assertArrayEquals(new long[] {3, 2}, read.get("t").shape());
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 7, 64, 1000})
    void tensorsThatCrossWindowsOfTheMap(long windowBytes) {
        Path file = folder.resolve("t.safetensors");
        byte[] a = TensorData.bytes(counting(501));
        SafetensorsWriter.write(
                file, Map.of("a", counting(501), "b", counting(64).view(ScalarType.Double)));
        try (SafetensorsFile opened = SafetensorsFile.open(file, windowBytes)) {
            assertArrayEquals(a, TensorData.bytes(opened.read("a")));
            assertArrayEquals(TensorData.bytes(counting(64)), TensorData.bytes(opened.read("b")));
            assertArrayEquals(a, TensorData.bytes(opened.read("a")));
        }
    }

    @Test
    void tensorBeyondTwoGibibytes() throws IOException {
        Needs.that(Boolean.getBoolean("finetune4j.long"), "-Plong is not set (this takes 2.2 GB of memory)");
        long bytes = (1L << 31) + 4096;
        Path file = folder.resolve("large.safetensors");
        byte[] start = Fixtures.file(
                "{\"x\":{\"dtype\":\"U8\",\"shape\":[" + bytes + "],\"data_offsets\":[0," + bytes + "]}}");
        Files.write(file, start);
        try (RandomAccessFile out = new RandomAccessFile(file.toFile(), "rw")) {
            out.setLength(start.length + bytes);
            for (long at : new long[] {0, (1L << 30) - 1, 1L << 30, Integer.MAX_VALUE, 1L << 31, bytes - 1}) {
                out.seek(start.length + at);
                out.write(7);
            }
        }
        Path copy = folder.resolve("copy.safetensors");
        try (SafetensorsFile opened = SafetensorsFile.open(file);
                TensorScope scope = new TensorScope()) {
            Tensor tensor = opened.read("x");
            assertEquals(bytes, tensor.numel());
            assertEquals(7, tensor.get(bytes - 1).item_int());
            assertEquals(7, tensor.get(1L << 31).item_int());
            assertEquals(6 * 7, tensor.sum().item_long());
            SafetensorsWriter.write(copy, Map.of("x", tensor), Map.of());
        }
        try (SafetensorsFile opened = SafetensorsFile.open(copy);
                TensorScope scope = new TensorScope()) {
            assertEquals(6 * 7, opened.read("x").sum().item_long());
        }
    }

    @Test
    void readTensorsOutliveFileScopeAndCollector() throws InterruptedException {
        Path file = folder.resolve("t.safetensors");
        SafetensorsWriter.write(file, Map.of("x", counting(100_000)));
        Tensor free;
        Tensor kept;
        try (TensorScope outer = new TensorScope()) {
            Tensor inOuter;
            try (SafetensorsFile opened = SafetensorsFile.open(file)) {
                inOuter = opened.read("x");
                kept = outer.release(opened.read("x"));
            }
            assertArrayEquals(TensorData.bytes(counting(100_000)), TensorData.bytes(inOuter));
        }
        try (SafetensorsFile opened = SafetensorsFile.open(file)) {
            free = opened.read("x");
        }
        for (int i = 0; i < 3; i++) {
            System.gc();
            Thread.sleep(20);
        }
        assertArrayEquals(TensorData.bytes(counting(100_000)), TensorData.bytes(free));
        assertArrayEquals(TensorData.bytes(counting(100_000)), TensorData.bytes(kept));
        free.close();
        kept.close();
    }

    @Test
    void aTensorReadInAScopeDiesWithIt() {
        Path file = folder.resolve("t.safetensors");
        SafetensorsWriter.write(file, Map.of("x", counting(10)));
        Tensor inScope;
        try (TensorScope scope = new TensorScope();
                SafetensorsFile opened = SafetensorsFile.open(file)) {
            inScope = opened.read("x");
            assertTrue(inScope.defined());
        }
        assertTrue(inScope.isNull());
    }

    @Test
    void useAfterClose() {
        SafetensorsFile file = SafetensorsFile.open(TestData.resource("io/reference/preference.safetensors"));
        String name = file.names().iterator().next();
        file.close();
        file.close();
        assertThrows(IllegalStateException.class, () -> file.read(name));
        assertThrows(IllegalStateException.class, () -> file.info(name));
        assertThrows(IllegalStateException.class, file::names);
        assertThrows(IllegalStateException.class, file::tensors);
        assertThrows(IllegalStateException.class, file::metadata);
    }

    @Test
    void aFileCutWhileOpenIsAMessageNotACrash() throws IOException {
        Path file = folder.resolve("t.safetensors");
        SafetensorsWriter.write(file, Map.of("x", counting(100_000)));
        try (SafetensorsFile opened = SafetensorsFile.open(file)) {
            opened.read("x").close();
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                channel.truncate(500);
            }
            String message = assertThrows(ModelFileException.class, () -> opened.read("x"))
                    .getMessage();
            assertTrue(message.contains("t.safetensors"), message);
        }
    }

    @Test
    void aFileMayBeReplacedWhileItIsRead() {
        Path file = folder.resolve("t.safetensors");
        SafetensorsWriter.write(file, Map.of("x", counting(300)));
        try (SafetensorsFile opened = SafetensorsFile.open(file)) {
            SafetensorsWriter.write(file, Map.of("y", counting(5)));
            assertArrayEquals(TensorData.bytes(counting(300)), TensorData.bytes(opened.read("x")));
        }
        assertEquals(java.util.Set.of("y"), readAll(file).keySet());
    }

    @Test
    void aFailedWriteLeavesTheOldFileAndNothingElse() throws IOException {
        Path file = folder.resolve("t.safetensors");
        SafetensorsWriter.write(file, Map.of("x", counting(300)));
        byte[] before = Files.readAllBytes(file);
        Tensor meta = counting(4).to(new org.bytedeco.pytorch.Device("meta"), ScalarType.Byte);
        Tensor closed = counting(4);
        closed.close();
        // The first fails in the middle of the file, the others before it is begun.
        assertNames("b", () -> SafetensorsWriter.write(file, Map.of("a", counting(9), "b", meta)));
        assertNames("shut", () -> SafetensorsWriter.write(file, Map.of("a", counting(9), "shut", closed)));
        assertNames("__metadata__", () -> SafetensorsWriter.write(file, Map.of("__metadata__", counting(9))));
        assertNames("surrogate", () -> SafetensorsWriter.write(file, Map.of("\ud800", counting(9))));
        assertNames(
                "half",
                () -> SafetensorsWriter.write(
                        file, Map.of("half", Tensors.zeros(ComputeDevice.cpu(), ScalarType.ComplexHalf, 2))));
        assertArrayEquals(before, Files.readAllBytes(file));
        assertEquals("t.safetensors", Fixtures.list(folder));
    }

    private static void assertNames(String part, org.junit.jupiter.api.function.Executable call) {
        String message = assertThrows(IllegalArgumentException.class, call).getMessage();
        assertTrue(message.contains(part), message);
    }

    @Test
    void aTargetThatCannotBeWritten() throws IOException {
        Path taken = Files.createDirectories(folder.resolve("taken/inside")).getParent();
        for (Path target : List.of(taken, folder.resolve("missing/t.safetensors"))) {
            String message = assertThrows(
                            FineTune4jException.class, () -> SafetensorsWriter.write(target, Map.of("x", counting(3))))
                    .getMessage();
            assertTrue(message.contains(folder.toString()), message);
        }
        assertEquals("taken", Fixtures.list(folder));
    }
}
