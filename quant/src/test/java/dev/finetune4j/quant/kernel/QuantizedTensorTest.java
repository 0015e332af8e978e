package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.testsupport.TensorData;
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
class QuantizedTensorTest {
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
    void ownCasesAreByteEqual() {
        assertEquals(14, requireByteEqual(StoredTensors.resource("bnb/quantize.safetensors")));
    }

    /** Every byte of every case, without exemption: there is no all-zero block and no 8-bit tie that goes elsewhere. */
    private static int requireByteEqual(StoredTensors cases) {
        int count = 0;
        for (String name : cases.names()) {
            if (!name.endsWith(".x")) {
                continue;
            }
            String id = name.substring(0, name.length() - 2);
            String[] parts = id.split("\\.", -1);
            boolean nested = parts[2].equals("nested");
            QuantType type = QuantType.ofLabel(parts[0]).orElseThrow();
            try (TensorScope one = new TensorScope();
                    QuantizedTensor weight =
                            QuantizedTensor.quantize(cases.read(name), new QuantSettings(type, 64, nested))) {
                assertArrayEquals(cases.bytes(id + ".q"), TensorData.bytes(weight.packed()), id + ".q");
                if (weight.scales() instanceof BlockScales.Nested scales) {
                    assertArrayEquals(cases.bytes(id + ".absmax"), TensorData.bytes(scales.codes()), id);
                    assertArrayEquals(cases.bytes(id + ".nested_absmax"), TensorData.bytes(scales.absmax()), id);
                    assertArrayEquals(cases.bytes(id + ".nested_map"), TensorData.bytes(scales.map()), id);
                    assertEquals(cases.floats(id + ".offset")[0], scales.offset(), id);
                } else if (weight.scales() instanceof BlockScales.Plain scales) {
                    assertArrayEquals(cases.bytes(id + ".absmax"), TensorData.bytes(scales.absmax()), id);
                }
                assertEquals(nested, weight.settings().doubleQuantization(), id);
                Tensor y = weight.dequantize(weight.dtype());
                assertArrayEquals(cases.bytes(id + ".y"), TensorData.bytes(y), id + ".y");
                count++;
            }
        }
        return count;
    }

    @Test
    void numbersAreWrittenIntoMemoryThatIsThere() {
        SplittableRandom random = new SplittableRandom(5);
        Tensor dense = Tensors.uniform(ComputeDevice.cpu(), random, 0.1, 7, 33);
        try (QuantizedTensor weight = QuantizedTensor.quantize(dense, QuantSettings.nf4())) {
            for (ScalarType type : new ScalarType[] {ScalarType.Float, ScalarType.BFloat16, ScalarType.Half}) {
                Tensor out = Tensors.ones(ComputeDevice.cpu(), type, 7, 33);
                weight.dequantizeInto(out);
                assertTrue(out.equal(weight.dequantize(type)), type.toString());
            }
            Tensor gaps =
                    Tensors.ones(ComputeDevice.cpu(), ScalarType.Float, 33, 7).t();
            Tensor other = Tensors.ones(ComputeDevice.cpu(), ScalarType.Float, 33, 7);
            Tensor integers = Tensors.zeros(ComputeDevice.cpu(), ScalarType.Int, 7, 33);
            for (Tensor wrong : new Tensor[] {gaps, other, integers}) {
                assertThrows(IllegalArgumentException.class, () -> weight.dequantizeInto(wrong));
            }
            assertTrue(gaps.equal(Tensors.ones(ComputeDevice.cpu(), ScalarType.Float, 7, 33)));
            weight.close();
            assertThrows(IllegalStateException.class, () -> weight.dequantizeInto(gaps));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "NF4, 64, false, 1", "NF4, 64, true, 63", "NF4, 32, true, 1025", "FP4, 32, false, 31",
        "FP4, 128, true, 40001", "NF4, 256, true, 65536", "FP4, 4096, false, 4097", "NF4, 4096, true, 100003",
        "NF4, 64, true, 1100001", "FP4, 2048, true, 600000"
    })
    void everySizeFollowsTheDefinition(QuantType type, int block, boolean nested, int count) {
        SplittableRandom random = new SplittableRandom(count);
        Tensor dense = Tensors.uniform(ComputeDevice.cpu(), random, 0.1, count).to(ScalarType.BFloat16);
        float[] w = Tensors.toFloats(dense);
        try (QuantizedTensor weight = QuantizedTensor.quantize(dense, new QuantSettings(type, block, nested))) {
            int blocks = (count + block - 1) / block;
            float[] absmax = new float[blocks];
            for (int i = 0; i < count; i++) {
                absmax[i / block] = Math.max(absmax[i / block], Math.abs(w[i]));
            }
            byte[] packed = TensorData.bytes(weight.packed());
            assertEquals((count + 1) / 2, packed.length);
            float[] scales = absmax;
            if (weight.scales() instanceof BlockScales.Nested stored) {
                scales = denest(stored, blocks);
                float[] outer = Tensors.toFloats(stored.absmax());
                for (int i = 0; i < blocks; i++) {
                    assertEquals(absmax[i], scales[i], outer[i / 256] * 0.0071f, "half of the widest step of the map");
                }
            }
            float[] decoded = Tensors.toFloats(weight.dequantize(ScalarType.Float));
            for (int i = 0; i < count; i++) {
                int code = i % 2 == 0 ? packed[i / 2] >> 4 & 15 : packed[i / 2] & 15;
                int expected = FourBitCodebook.of(type).encode(w[i] * CudaRounding.reciprocal(absmax[i / block]));
                int at = i;
                assertEquals(expected, code, () -> "code " + at);
                assertEquals(
                        FourBitCodebook.of(type).table()[code] * scales[i / block], decoded[i], () -> "value " + at);
            }
            if (count % 2 == 1) {
                assertEquals(
                        FourBitCodebook.of(type).encode(0f), packed[count / 2] & 15, "the padding is the code of zero");
            }
        }
    }

    private static float[] denest(BlockScales.Nested stored, int blocks) {
        byte[] codes = TensorData.bytes(stored.codes());
        float[] map = Tensors.toFloats(stored.map());
        float[] outer = Tensors.toFloats(stored.absmax());
        float[] scales = new float[blocks];
        for (int i = 0; i < blocks; i++) {
            scales[i] = map[codes[i] & 255] * outer[i / 256] + stored.offset();
        }
        return scales;
    }

    @ParameterizedTest
    @CsvSource({"NF4, false", "NF4, true", "FP4, false", "FP4, true"})
    void allZeroBlocksGetCodeZero(QuantType type, boolean nested) {
        float[] values = new float[192];
        values[64] = 1f;
        values[65] = -1f;
        Tensor dense = Tensors.ofFloats(ComputeDevice.cpu(), values, 192);
        try (QuantizedTensor weight = QuantizedTensor.quantize(dense, new QuantSettings(type, 64, nested))) {
            byte[] packed = TensorData.bytes(weight.packed());
            for (int i = 0; i < 32; i++) {
                assertEquals(0, packed[i]);
                assertEquals(0, packed[64 + i]);
            }
            float[] decoded = Tensors.toFloats(weight.dequantize(ScalarType.Float));
            assertArrayEquals(values, decoded, nested ? 0.01f : 0f);
        }
        Tensor zeros = Tensors.zeros(ComputeDevice.cpu(), ScalarType.Half, 5, 33);
        try (QuantizedTensor weight = QuantizedTensor.quantize(zeros, new QuantSettings(type, 64, nested))) {
            assertArrayEquals(new byte[83], TensorData.bytes(weight.packed()));
            assertArrayEquals(new float[165], Tensors.toFloats(weight.dequantize(ScalarType.Float)), 0f);
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void refusesNumbersThatAreNotFinite(float bad) {
        float[] values = new float[130];
        values[129] = bad;
        Tensor dense = Tensors.ofFloats(ComputeDevice.cpu(), values, 130);
        IllegalArgumentException refused = assertThrows(
                IllegalArgumentException.class, () -> QuantizedTensor.quantize(dense, QuantSettings.nf4()));
        assertTrue(refused.getMessage().contains("128 and 130"), refused.getMessage());
    }

    @Test
    void refusesOtherTypesAndNothing() {
        Tensor longs = Tensors.ofLongs(ComputeDevice.cpu(), new long[] {1, 2}, 2);
        assertThrows(IllegalArgumentException.class, () -> QuantizedTensor.quantize(longs, QuantSettings.nf4()));
        Tensor none = Tensors.zeros(ComputeDevice.cpu(), ScalarType.Float, 0, 4);
        assertThrows(IllegalArgumentException.class, () -> QuantizedTensor.quantize(none, QuantSettings.nf4()));
    }

    @Test
    void aTransposedViewIsReadRowByRow() {
        Tensor dense = Tensors.uniform(ComputeDevice.cpu(), new SplittableRandom(5), 1, 40, 70);
        try (QuantizedTensor viewed = QuantizedTensor.quantize(dense.t(), QuantSettings.nf4());
                QuantizedTensor copied = QuantizedTensor.quantize(dense.t().contiguous(), QuantSettings.nf4())) {
            assertArrayEquals(new long[] {70, 40}, viewed.shape());
            assertArrayEquals(TensorData.bytes(copied.packed()), TensorData.bytes(viewed.packed()));
        }
    }

    @Test
    void takesFourAndAnEighthBitsPerWeight() {
        Tensor dense = Tensors.uniform(ComputeDevice.cpu(), new SplittableRandom(1), 1, 1024, 1024);
        try (QuantizedTensor weight = QuantizedTensor.quantize(dense, QuantSettings.nf4())) {
            double bits = weight.storedBytes() * 8.0 / (1024 * 1024);
            assertEquals(4.127, bits, 0.01);
        }
    }

    @Test
    void knowsThatItIsClosed() {
        QuantizedTensor weight = QuantizedTensor.quantize(
                Tensors.ones(ComputeDevice.cpu(), ScalarType.Float, 4, 4), QuantSettings.nf4());
        weight.close();
        weight.close();
        assertThrows(IllegalStateException.class, () -> weight.dequantize(ScalarType.Float));
        assertThrows(IllegalStateException.class, () -> weight.toCheckpoint("w"));
        assertThrows(IllegalStateException.class, weight::storedBytes);
    }
}
