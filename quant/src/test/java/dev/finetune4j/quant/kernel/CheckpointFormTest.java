package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@EveryLevel
class CheckpointFormTest {
    private static final String STATE = "w.quant_state.bitsandbytes__nf4";

    private TensorScope scope;

    @BeforeEach
    void open() {
        scope = new TensorScope();
    }

    @AfterEach
    void close() {
        scope.close();
    }

    @Test
    void writesBackTheBytesOfBitsandbytes() {
        assertEquals(2, requireSameBytes(StoredTensors.resource("bnb/packed.safetensors")));
    }

    @Test
    void readsThroughTheLibrarysOwnReader() {
        StoredTensors expected = StoredTensors.resource("bnb/packed.safetensors");
        Path path = TestData.resource("bnb/packed.safetensors");
        try (WeightSource file = SafetensorsFile.open(path)) {
            for (String weight : weightsOf(expected)) {
                try (QuantizedTensor read = QuantizedTensor.read(file, weight)) {
                    requireStored(expected, read.toCheckpoint(weight));
                }
            }
        }
    }

    @Test
    void writesBackTheBytesOfAWholeModel() {
        assertEquals(14, requireSameBytes(StoredTensors.shared("bnb/llama_nf4_double/model.safetensors")));
    }

    @Test
    void quantizesAWholeModelToTheSameBytes() {
        StoredTensors packed = StoredTensors.shared("bnb/llama_nf4_double/model.safetensors");
        StoredTensors dense = StoredTensors.shared("models/llama/model.safetensors");
        int count = 0;
        for (String weight : weightsOf(packed)) {
            try (QuantizedTensor made = QuantizedTensor.quantize(dense.read(weight), QuantSettings.nf4())) {
                requireStored(packed, made.toCheckpoint(weight));
                count++;
            }
        }
        assertEquals(14, count);
    }

    private static int requireSameBytes(StoredTensors file) {
        List<String> weights = weightsOf(file);
        for (String weight : weights) {
            assertTrue(QuantizedTensor.isStoredIn(file, weight));
            try (QuantizedTensor read = QuantizedTensor.read(file, weight)) {
                requireStored(file, read.toCheckpoint(weight));
            }
        }
        return weights.size();
    }

    private static List<String> weightsOf(StoredTensors file) {
        List<String> weights = new ArrayList<>();
        for (String name : file.names()) {
            int mark = name.indexOf(".quant_state.");
            if (mark > 0) {
                weights.add(name.substring(0, mark));
            }
        }
        return weights;
    }

    private static void requireStored(StoredTensors file, Map<String, Tensor> written) {
        assertEquals(6, written.size());
        written.forEach((name, tensor) -> {
            assertArrayEquals(file.bytes(name), TensorData.bytes(tensor), name);
            assertArrayEquals(file.tensors.get(name).shape(), tensor.shape(), name);
            assertEquals(file.tensors.get(name).type(), tensor.scalar_type().intern(), name);
        });
    }

    @ParameterizedTest
    @CsvSource({"NF4, 64, true", "NF4, 32, false", "FP4, 128, true", "FP4, 4096, false"})
    void comesBackAsItWas(QuantType type, int block, boolean nested) {
        QuantSettings settings = new QuantSettings(type, block, nested);
        try (QuantizedTensor made = QuantizedTensor.quantize(weight().to(ScalarType.Half), settings)) {
            Map<String, Tensor> written = made.toCheckpoint("w");
            assertEquals(nested ? 6 : 4, written.size());
            StoredTensors file = new StoredTensors().putAll(written);
            try (QuantizedTensor read = QuantizedTensor.read(file, "w")) {
                assertEquals(settings, read.settings());
                assertEquals(ScalarType.Half, read.dtype());
                assertArrayEquals(new long[] {37, 65}, read.shape());
                assertArrayEquals(
                        TensorData.bytes(made.dequantize(ScalarType.Float)),
                        TensorData.bytes(read.dequantize(ScalarType.Float)));
                read.toCheckpoint("w")
                        .forEach((name, tensor) -> assertArrayEquals(file.bytes(name), TensorData.bytes(tensor)));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"BFloat16", "Float"})
    void codesMayBeDeclaredAsAnotherType(ScalarType storage) {
        Tensor dense = Tensors.uniform(ComputeDevice.cpu(), new SplittableRandom(2), 1, 32, 64);
        try (QuantizedTensor made = QuantizedTensor.quantize(dense, QuantSettings.nf4())) {
            StoredTensors file = new StoredTensors().putAll(made.toCheckpoint("w"));
            file.put("w", made.packed().view(-1).view(storage).view(-1, 1));
            try (QuantizedTensor read = QuantizedTensor.read(file, "w")) {
                assertArrayEquals(new long[] {1024, 1}, read.packed().shape());
                assertArrayEquals(TensorData.bytes(made.packed()), TensorData.bytes(read.packed()));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"w", "w.absmax", "w.quant_map", "w.nested_absmax", "w.nested_quant_map"})
    void namesAMissingOrMisshapenTensor(String name) {
        StoredTensors file = file();
        byte[] bytes = file.bytes(name);
        ScalarType type = file.tensors.get(name).type();
        file.tensors.remove(name);
        requireRefusal(file, name);
        int unit = type == ScalarType.Byte ? 1 : 4;
        file.tensors.put(
                name,
                new StoredTensors.Stored(
                        type, new long[] {bytes.length / unit - 1}, Arrays.copyOf(bytes, bytes.length - unit)));
        requireRefusal(file, name);
        file.put(name, Tensors.zeros(ComputeDevice.cpu(), ScalarType.Double, 3));
        requireRefusal(file, name);
    }

    @ParameterizedTest
    @ValueSource(strings = {"w.nested_absmax", "w.nested_quant_map", "w.quant_map"})
    void refusesScalesThatAreNotFinite(String name) {
        StoredTensors file = file();
        Arrays.fill(file.bytes(name), (byte) 0xff);
        requireRefusal(file, name);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "{",
                "[]",
                "null",
                "{\"quant_type\": \"fp4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [37, 65]}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 63, \"dtype\": \"float32\", \"shape\": [37, 65]}",
                "{\"quant_type\": \"nf4\", \"blocksize\": \"64\", \"dtype\": \"float32\", \"shape\": [37, 65]}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"int8\", \"shape\": [37, 65]}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [37, 65]}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": []}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": 5}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [-37, -65]}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\","
                        + " \"shape\": [4294967296, 4294967296]}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [37, 6.5]}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [37, 65],"
                        + " \"nested_blocksize\": 128, \"nested_dtype\": \"float32\", \"nested_offset\": 0.1}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [37, 65],"
                        + " \"nested_blocksize\": 256, \"nested_dtype\": \"float16\", \"nested_offset\": 0.1}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [37, 65],"
                        + " \"nested_blocksize\": 256, \"nested_dtype\": \"float32\"}",
                "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [37, 65],"
                        + " \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": 1e99}"
            })
    void refusesAStateThatCannotBe(String json) {
        StoredTensors file = file();
        byte[] bytes = json.getBytes(StandardCharsets.UTF_8);
        file.put(STATE, Tensors.ofBytes(ComputeDevice.cpu(), bytes, bytes.length));
        requireRefusal(file, STATE);
    }

    @Test
    void aDenseWeightIsNotPacked() {
        StoredTensors file = new StoredTensors().put("w", weight());
        assertFalse(QuantizedTensor.isStoredIn(file, "w"));
        requireRefusal(file, STATE);
    }

    @ParameterizedTest
    @CsvSource({
        "0.20476505160331726, 0.20476505160331726",
        "1, 1.0",
        "0, 0.0",
        "-0.5, -0.5",
        "0.0001, 0.0001",
        "0.00001, 1e-05",
        "1.5e-7, 1.5e-07",
        "2e-3, 0.002",
        "1e16, 1e+16",
        "123456789012345680, 1.2345678901234568e+17",
        "1234567890123456, 1234567890123456.0",
        "100, 100.0",
        "2.2250738585072014E-308, 2.2250738585072014e-308",
        "4.9E-324, 5e-324",
        "-1e-100, -1e-100",
        "2.0E22, 2e+22"
    })
    void numbersAreSpelledAsPythonDoes(double value, String text) {
        assertEquals(text, QuantState.pythonNumber(value));
    }

    private static void requireRefusal(StoredTensors file, String tensor) {
        ModelFileException refused = assertThrows(ModelFileException.class, () -> QuantizedTensor.read(file, "w"));
        assertTrue(refused.getMessage().contains("tensor " + tensor + " "), refused.getMessage());
    }

    private static Tensor weight() {
        return Tensors.uniform(ComputeDevice.cpu(), new SplittableRandom(1), 1, 37, 65);
    }

    private static StoredTensors file() {
        try (QuantizedTensor made = QuantizedTensor.quantize(weight(), QuantSettings.nf4())) {
            return new StoredTensors().putAll(made.toCheckpoint("w"));
        }
    }
}
