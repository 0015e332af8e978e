package dev.finetune4j.core.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Shards and index are those that transformers writes for the same tensors and the same limit. */
class ShardedWriteTest {
    private static final JsonNode CASES =
            TestData.json(TestData.resource("io/shards/expected.json")).path("cases");
    private static final Map<String, ScalarType> TYPES =
            Map.of("F32", ScalarType.Float, "BF16", ScalarType.BFloat16, "F16", ScalarType.Half);

    @TempDir
    private Path folder;

    @BeforeAll
    static void start() {
        TorchRuntime.start();
    }

    static IntStream cases() {
        return IntStream.range(0, CASES.size());
    }

    @ParameterizedTest
    @MethodSource("cases")
    void writesWhatTransformersWrites(int number) throws IOException, NoSuchAlgorithmException {
        JsonNode expected = CASES.get(number);
        SafetensorsWriter.writeSharded(
                folder,
                tensors(expected),
                Map.of("format", "pt"),
                expected.path("max_shard_bytes").asLong());
        boolean sharded = expected.path("index").isTextual();
        Path index = folder.resolve("model.safetensors.index.json");
        assertEquals(sharded, Files.exists(index));
        if (sharded) {
            assertEquals(expected.path("index").textValue(), Files.readString(index));
        }
        List<String> files = expected.has("files")
                ? StreamSupport.stream(expected.path("files").spliterator(), false)
                        .map(JsonNode::textValue)
                        .toList()
                : expected.path("sha256").properties().stream()
                        .map(Map.Entry::getKey)
                        .toList();
        assertEquals(String.join(" ", files), Fixtures.list(folder).replace(" model.safetensors.index.json", ""));
        for (Map.Entry<String, JsonNode> entry : expected.path("sha256").properties()) {
            byte[] digest =
                    MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(folder.resolve(entry.getKey())));
            assertEquals(entry.getValue().textValue(), HexFormat.of().formatHex(digest), entry.getKey());
        }
        try (WeightSource weights = FolderWeights.open(folder);
                TensorScope scope = new TensorScope()) {
            assertEquals(expected.path("tensors").size(), weights.names().size());
            for (JsonNode tensor : expected.path("tensors")) {
                String name = tensor.get(0).textValue();
                assertTrue(weights.read(name).equal(values(tensor)), name);
            }
        }
    }

    private static Map<String, LazyTensor> tensors(JsonNode expected) {
        Map<String, LazyTensor> tensors = new LinkedHashMap<>();
        for (JsonNode tensor : expected.path("tensors")) {
            tensors.put(tensor.get(0).textValue(), LazyTensor.of(type(tensor), shape(tensor), () -> values(tensor)));
        }
        return tensors;
    }

    private static ScalarType type(JsonNode tensor) {
        return TYPES.get(tensor.get(1).textValue());
    }

    private static long[] shape(JsonNode tensor) {
        return StreamSupport.stream(tensor.get(2).spliterator(), false)
                .mapToLong(JsonNode::longValue)
                .toArray();
    }

    /** 0, 1, … 250, 0, 1, … as in the files that the checksums are of. */
    private static Tensor values(JsonNode tensor) {
        long[] shape = shape(tensor);
        int count = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = i % 251;
        }
        return Tensors.ofFloats(ComputeDevice.cpu(), values, shape).to(type(tensor));
    }
}
