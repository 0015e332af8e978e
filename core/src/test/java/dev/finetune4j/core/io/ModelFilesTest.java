package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A model folder: its JSON, its weights in one file or several, and its fingerprint. */
class ModelFilesTest {
    private static final Map<String, String> PT = Map.of("format", "pt");

    @TempDir
    private Path folder;

    @BeforeAll
    static void start() {
        TorchRuntime.start();
    }

    @BeforeEach
    void config() throws IOException {
        Files.writeString(folder.resolve("config.json"), "{\"model_type\": \"llama\", \"eos_token_id\": 2}");
    }

    /** Tensors t0 to t5 of 0, 20, … 100 bytes, each filled with its number; the last with the given one. */
    private static Map<String, LazyTensor> tensors(int last) {
        Map<String, LazyTensor> tensors = new LinkedHashMap<>();
        for (int i = 0; i < 6; i++) {
            int rows = i;
            int value = i == 5 ? last : i;
            tensors.put(
                    "t" + i,
                    LazyTensor.of(
                            ScalarType.Float,
                            new long[] {rows, 5},
                            () -> filled(value, 5L * rows).view(rows, 5)));
        }
        return tensors;
    }

    private static Tensor filled(float value, long count) {
        float[] values = new float[(int) count];
        java.util.Arrays.fill(values, value);
        return Tensors.ofFloats(ComputeDevice.cpu(), values, count);
    }

    private static void fails(org.junit.jupiter.api.function.Executable call, String... parts) {
        String message = assertThrows(ModelFileException.class, call).getMessage();
        for (String part : parts) {
            assertTrue(message.contains(part), "expected \"" + part + "\" in: " + message);
        }
    }

    @Test
    void shardsHoldTheSameTensorsAsOneFile() throws IOException {
        List<Path> single = SafetensorsWriter.writeSharded(folder, tensors(5), PT, 1 << 20);
        assertEquals(List.of(folder.resolve("model.safetensors")), single);
        ModelFiles directory = ModelFiles.open(folder);
        String fingerprint = directory.fingerprint();
        // At most 100 bytes to a file: t0 to t2, t3, t4, t5.
        List<Path> shards = SafetensorsWriter.writeSharded(folder, tensors(5), PT, 100);
        assertEquals(4, shards.size());
        assertEquals(
                "config.json model-00001-of-00004.safetensors model-00002-of-00004.safetensors"
                        + " model-00003-of-00004.safetensors model-00004-of-00004.safetensors"
                        + " model.safetensors.index.json",
                Fixtures.list(folder));
        assertEquals(fingerprint, directory.fingerprint());
        try (WeightSource weights = directory.weights();
                TensorScope scope = new TensorScope()) {
            assertEquals(List.of("t0", "t1", "t2", "t3", "t4", "t5"), List.copyOf(weights.names()));
            for (int i = 0; i < 6; i++) {
                assertArrayEquals(new long[] {i, 5}, weights.info("t" + i).shape());
                assertArrayEquals(Tensors.toFloats(filled(i, 5L * i)), Tensors.toFloats(weights.read("t" + i)));
            }
            fails(() -> weights.read("t6"), "t6", folder.toString());
        }
    }

    @Test
    void indexIsWrittenAsPythonWritesIt() throws IOException {
        Map<String, LazyTensor> two = new LinkedHashMap<>();
        two.put("a", LazyTensor.of(filled(1, 2)));
        two.put("b", LazyTensor.of(filled(1, 1)));
        SafetensorsWriter.writeSharded(folder, two, PT, 1);
        assertEquals(
                "{\n  \"metadata\": {\n    \"total_parameters\": 3,\n    \"total_size\": 12\n  },\n"
                        + "  \"weight_map\": {\n"
                        + "    \"a\": \"model-00001-of-00002.safetensors\",\n"
                        + "    \"b\": \"model-00002-of-00002.safetensors\"\n  }\n}\n",
                Files.readString(folder.resolve("model.safetensors.index.json")));
        SafetensorsWriter.writeSharded(folder, two, PT, 12);
        assertEquals("config.json model.safetensors", Fixtures.list(folder));
        assertThrows(IllegalArgumentException.class, () -> SafetensorsWriter.writeSharded(folder, two, PT, 0));
    }

    @Test
    void oneTensorAtATimeWhileSharding() {
        List<Tensor> made = new ArrayList<>();
        Map<String, LazyTensor> tensors = new LinkedHashMap<>();
        for (int i = 0; i < 5; i++) {
            tensors.put("t" + i, LazyTensor.of(ScalarType.Float, new long[] {1000}, () -> {
                assertTrue(made.stream().allMatch(tensor -> tensor.isNull()), "an earlier tensor is still there");
                made.add(filled(1, 1000));
                return made.get(made.size() - 1);
            }));
        }
        assertEquals(
                3, SafetensorsWriter.writeSharded(folder, tensors, PT, 8000).size());
        assertEquals(5, made.size());
    }

    @Test
    void aFailedShardLeavesTheFolderAsItWas() throws IOException {
        SafetensorsWriter.writeSharded(folder, tensors(5), PT, 1 << 20);
        String before = ModelFiles.open(folder).fingerprint();
        Map<String, LazyTensor> broken = tensors(9);
        broken.put("late", LazyTensor.of(ScalarType.Float, new long[] {2}, () -> {
            throw new UnsupportedOperationException("no values");
        }));
        assertThrows(
                UnsupportedOperationException.class, () -> SafetensorsWriter.writeSharded(folder, broken, PT, 100));
        broken.put("late", LazyTensor.of(ScalarType.Float, new long[] {2}, () -> filled(1, 3)));
        String message = assertThrows(
                        IllegalArgumentException.class, () -> SafetensorsWriter.writeSharded(folder, broken, PT, 100))
                .getMessage();
        assertTrue(message.contains("late") && message.contains("F32[3]") && message.contains("F32[2]"), message);
        assertEquals("config.json model.safetensors", Fixtures.list(folder));
        assertEquals(before, ModelFiles.open(folder).fingerprint());
    }

    @Test
    void impossibleLazyTensors() {
        assertImpossible(ScalarType.QInt8, 1);
        assertImpossible(ScalarType.Float, -1);
        assertImpossible(ScalarType.Float, Long.MAX_VALUE, 2);
    }

    private static void assertImpossible(ScalarType type, long... shape) {
        assertThrows(IllegalArgumentException.class, () -> LazyTensor.of(type, shape, () -> filled(1, 1)));
    }

    @Test
    void fingerprintSeesValuesNamesShapesAndConfig() throws IOException {
        SafetensorsWriter.writeSharded(folder, tensors(5), PT, 1 << 20);
        String original = ModelFiles.open(folder).fingerprint();
        assertTrue(original.matches("[0-9a-f]{64}"), original);
        assertEquals(original, ModelFiles.open(folder).fingerprint());
        SafetensorsWriter.writeSharded(folder, tensors(6), PT, 1 << 20);
        assertNotEquals(original, ModelFiles.open(folder).fingerprint());
        Map<String, LazyTensor> renamed = tensors(5);
        renamed.put("u5", renamed.remove("t5"));
        SafetensorsWriter.writeSharded(folder, renamed, PT, 1 << 20);
        assertNotEquals(original, ModelFiles.open(folder).fingerprint());
        Map<String, LazyTensor> reshaped = tensors(5);
        reshaped.put("t5", LazyTensor.of(filled(5, 25)));
        SafetensorsWriter.writeSharded(folder, reshaped, PT, 1 << 20);
        assertNotEquals(original, ModelFiles.open(folder).fingerprint());
        SafetensorsWriter.writeSharded(folder, tensors(5), PT, 1 << 20);
        assertEquals(original, ModelFiles.open(folder).fingerprint());
        Files.writeString(folder.resolve("config.json"), "{\"model_type\": \"qwen2\"}");
        assertNotEquals(original, ModelFiles.open(folder).fingerprint());
    }

    @Test
    void fingerprintSamplesBothEnds() {
        long[] changed = {0, 1023, 1024, 5000, 8975, 8976, 9999};
        boolean[] seen = {true, true, false, false, false, true, true};
        SafetensorsWriter.writeSharded(folder, Map.of("x", LazyTensor.of(filled(0, 10_000))), PT, 1 << 20);
        String original = ModelFiles.open(folder).fingerprint();
        for (int i = 0; i < changed.length; i++) {
            Tensor tensor = filled(0, 10_000);
            tensor.get(changed[i]).fill_(Tensors.scalar(1));
            SafetensorsWriter.writeSharded(folder, Map.of("x", LazyTensor.of(tensor)), PT, 1 << 20);
            assertEquals(seen[i], !original.equals(ModelFiles.open(folder).fingerprint()), "at " + changed[i]);
        }
    }

    @Test
    void tokenIds() throws IOException {
        assertIds("{}", "{}", Set.of());
        assertIds("{\"eos_token_id\": 2, \"bos_token_id\": 1}", null, Set.of(2));
        assertIds("{\"eos_token_id\": [2, 7]}", "{}", Set.of(2, 7));
        assertIds("{\"eos_token_id\": 2}", "{\"eos_token_id\": [9, 8]}", Set.of(9, 8, 2));
        assertIds("{\"eos_token_id\": [5, 2]}", "{\"eos_token_id\": 5}", Set.of(5, 2));
        assertIds("{\"eos_token_id\": 2}", "{\"eos_token_id\": null}", Set.of(2));
        assertIds("{\"eos_token_id\": [null, -1, 3]}", null, Set.of(3));
        assertIds("{\"eos_token_id\": 0, \"bos_token_id\": [1, 2]}", "{\"pad_token_id\": [0, 1]}", Set.of(0));
        assertIds("{\"pad_token_id\": \"<pad>\"}", "{\"bos_token_id\": \"x\"}", Set.of());
        for (String bad : List.of("\"2\"", "2.5", "[[2]]", "{}", "true", "4294967296")) {
            Files.writeString(folder.resolve("config.json"), "{\"eos_token_id\": " + bad + "}");
            fails(() -> ModelFiles.open(folder), "config.json", "eos_token_id", bad);
            Files.writeString(folder.resolve("config.json"), "{}");
            Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [1, " + bad + "]}");
            fails(() -> ModelFiles.open(folder), "generation_config.json", "eos_token_id", bad);
            Files.delete(folder.resolve("generation_config.json"));
        }
    }

    private void assertIds(String config, String generation, Set<Integer> eos) throws IOException {
        Path file = folder.resolve("generation_config.json");
        Files.writeString(folder.resolve("config.json"), config);
        Files.deleteIfExists(file);
        if (generation != null) {
            Files.writeString(file, generation);
        }
        ModelFiles directory = ModelFiles.open(folder);
        assertEquals(eos, directory.eosTokenIds());
        assertEquals(generation != null, directory.generationConfig().isPresent());
        Files.deleteIfExists(file);
    }

    @Test
    void configIsACopyAndMayHoldInfinity() throws IOException {
        Files.writeString(folder.resolve("config.json"), "{\"limit\": [0.0, Infinity], \"name\": \"Übung\"}");
        ModelFiles directory = ModelFiles.open(folder);
        assertEquals(
                Double.POSITIVE_INFINITY,
                directory.config().path("limit").path(1).asDouble());
        ObjectNode copy = (ObjectNode) directory.config();
        copy.put("name", "changed");
        assertEquals("Übung", directory.config().path("name").asText());
        assertEquals(folder, directory.folder());
    }

    @Test
    void missingAndDamagedFiles() throws IOException {
        fails(() -> ModelFiles.open(folder.resolve("nowhere")), "nowhere", "does not exist", "config.json");
        fails(() -> ModelFiles.open(folder.resolve("config.json")), "is no folder");
        Files.writeString(folder.resolve("tokenizer.json"), "{}");
        Files.writeString(folder.resolve("config.json"), "{\"a\": ");
        fails(() -> ModelFiles.open(folder), "config.json", "line 1");
        Files.writeString(folder.resolve("config.json"), "{} {}");
        fails(() -> ModelFiles.open(folder), "config.json");
        Files.writeString(folder.resolve("config.json"), "");
        fails(() -> ModelFiles.open(folder), "config.json", "no JSON object");
        Files.write(folder.resolve("config.json"), new byte[] {'{', '"', (byte) 0xff, '"', ':', '1', '}'});
        fails(() -> ModelFiles.open(folder), "config.json", "UTF-8");
        Files.delete(folder.resolve("config.json"));
        fails(() -> ModelFiles.open(folder), "no config.json", "Found: tokenizer.json");
    }

    @Test
    void weightsThatAreNotThere() throws IOException {
        ModelFiles directory = ModelFiles.open(folder);
        fails(directory::weights, folder.toString(), "model.safetensors", "found: config.json");
        Files.createFile(folder.resolve("some.gguf"));
        fails(directory::weights, "GGUF");
        Files.createFile(folder.resolve("model-00001-of-00002.safetensors"));
        fails(directory::weights, "index is missing");
        Files.createFile(folder.resolve("pytorch_model-00001-of-00002.bin"));
        fails(directory::weights, "Convert", "safetensors");
    }

    @Test
    void hostileAndBrokenIndexes() throws IOException {
        Path outside = Files.createDirectories(folder.resolve("outside"));
        SafetensorsWriter.write(outside.resolve("evil.safetensors"), Map.of("a", filled(1, 1)));
        Path model = Files.createDirectories(folder.resolve("model"));
        SafetensorsWriter.write(model.resolve("x.safetensors"), Map.of("a", filled(1, 1)));
        Path index = model.resolve("model.safetensors.index.json");
        String absolute = outside.resolve("evil.safetensors").toString();
        for (String shard : List.of(
                "../outside/evil.safetensors",
                absolute,
                "..",
                ".",
                "",
                "..\\evil.safetensors",
                "sub/x.safetensors",
                "C:evil.safetensors")) {
            String text = new com.fasterxml.jackson.databind.ObjectMapper()
                    .writeValueAsString(Map.of("weight_map", Map.of("a", shard)));
            Files.writeString(index, text);
            fails(() -> FolderWeights.open(model), index.toString(), "tensor a", "same folder");
        }
        for (String map : List.of(
                "{\"a\": 1}",
                "{\"a\": null}",
                "[]",
                "null",
                "\"x.safetensors\"",
                "{\"a\": \"x.safetensors\", \"a\": \"x.safetensors\"}",
                "{\"a\": \"\\u0000\"}")) {
            Files.writeString(index, "{\"weight_map\": " + map + "}");
            fails(() -> FolderWeights.open(model), index.toString());
        }
        Files.writeString(
                index,
                "{\"weight_map\": {\"a\": \"x.safetensors\", \"b\": \"x.safetensors\", \"c\": \"y.safetensors\"}}");
        fails(() -> FolderWeights.open(model), index.toString(), "tensor b", "shard y.safetensors");
        Files.writeString(index, "{\"weight_map\": {\"a\": \"x.safetensors\"}}");
        WeightSource weights = FolderWeights.open(model);
        assertEquals(Set.of("a"), weights.names());
        weights.close();
        weights.close();
        assertThrows(IllegalStateException.class, weights::names);
        assertThrows(IllegalStateException.class, () -> weights.info("a"));
        assertThrows(IllegalStateException.class, () -> weights.read("a"));
    }

    @Test
    void whatShardsHoldBesideTheIndex() throws IOException {
        Path index = folder.resolve("model.safetensors.index.json");
        SafetensorsWriter.write(folder.resolve("x.safetensors"), Map.of("a", filled(1, 1), "b", filled(2, 1)));
        SafetensorsWriter.write(folder.resolve("y.safetensors"), Map.of("c", filled(3, 1), "a", filled(4, 1)));
        // As in transformers, the totals are not believed and unnamed tensors are there.
        for (String metadata : List.of("{\"total_size\": 999}", "{\"total_size\": \"12 GB\"}", "{}", "null")) {
            Files.writeString(
                    index,
                    "{\"metadata\": " + metadata + ", \"weight_map\": {\"a\": \"x.safetensors\","
                            + " \"c\": \"y.safetensors\"}}");
            try (WeightSource weights = FolderWeights.open(folder);
                    TensorScope scope = new TensorScope()) {
                assertEquals(List.of("a", "c", "b"), List.copyOf(weights.names()));
                assertArrayEquals(new float[] {1}, Tensors.toFloats(weights.read("a")));
                assertArrayEquals(new float[] {2}, Tensors.toFloats(weights.read("b")));
            }
        }
        Files.writeString(index, "{\"weight_map\": {\"b\": \"x.safetensors\", \"c\": \"y.safetensors\"}}");
        fails(() -> FolderWeights.open(folder), "tensor a", "x.safetensors and y.safetensors");
        Files.writeString(index, "{\"metadata\": [], \"weight_map\": {\"a\": \"x.safetensors\"}}");
        fails(() -> FolderWeights.open(folder), index.toString(), "metadata", "ARRAY");
        Files.writeString(index, "{\"weight_map\": {}}");
        try (WeightSource weights = FolderWeights.open(folder)) {
            assertEquals(Set.of(), weights.names());
        }
        Files.writeString(index, "{\"weight_map\": {\"a\": \"x.safetensors\"}} {}");
        fails(() -> FolderWeights.open(folder), index.toString());
    }

    @Test
    void aShardMayBeALinkAsInHubCaches() throws IOException {
        Path blobs = Files.createDirectories(folder.resolve("blobs"));
        Path snapshot = Files.createDirectories(folder.resolve("snapshot"));
        SafetensorsWriter.write(blobs.resolve("0123abcd"), Map.of("a", filled(1, 1)));
        Files.createSymbolicLink(snapshot.resolve("x.safetensors"), Path.of("../blobs/0123abcd"));
        Files.createSymbolicLink(snapshot.resolve("gone.safetensors"), Path.of("../blobs/gone"));
        Path index = snapshot.resolve("model.safetensors.index.json");
        Files.writeString(index, "{\"weight_map\": {\"a\": \"x.safetensors\"}}");
        try (WeightSource weights = FolderWeights.open(snapshot)) {
            assertEquals(Set.of("a"), weights.names());
        }
        Files.writeString(index, "{\"weight_map\": {\"a\": \"gone.safetensors\"}}");
        fails(() -> FolderWeights.open(snapshot), index.toString(), "gone.safetensors is not in the folder");
    }

    @Test
    void aHugeJsonFileIsNotRead() throws IOException {
        try (RandomAccessFile huge =
                new RandomAccessFile(folder.resolve("config.json").toFile(), "rw")) {
            huge.setLength(5_000_000_000L);
        }
        fails(() -> ModelFiles.open(folder), "config.json", "5000000000 bytes");
    }

    @Test
    void everySharedReferenceModelOpens() throws IOException {
        Path models = Needs.shared("fixtures/reference/models");
        Path llama = models.resolve("llama");
        ModelFiles directory = ModelFiles.open(llama);
        assertEquals(Set.of(2), directory.eosTokenIds());
        String fingerprint = directory.fingerprint();
        Files.copy(
                llama.resolve("config.json"),
                folder.resolve("config.json"),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        try (WeightSource weights = directory.weights()) {
            assertFalse(weights.names().isEmpty());
            Map<String, LazyTensor> lazy = new LinkedHashMap<>();
            for (String name : weights.names()) {
                TensorInfo info = weights.info(name);
                lazy.put(
                        name,
                        LazyTensor.of(info.dtype().scalarType().orElseThrow(), info.shape(), () -> weights.read(name)));
            }
            assertTrue(SafetensorsWriter.writeSharded(folder, lazy, PT, 100_000).size() > 4);
        }
        assertEquals(fingerprint, ModelFiles.open(folder).fingerprint());
    }
}
