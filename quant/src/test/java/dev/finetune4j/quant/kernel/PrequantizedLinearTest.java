package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every form in which bitsandbytes stores a 4-bit linear, from files that the test makes by hand. */
@EveryLevel
class PrequantizedLinearTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();
    private static final QuantSettings OTHER = new QuantSettings(QuantType.NF4, 32, true);

    @TempDir
    private Path folder;

    private TensorScope scope;
    private final SplittableRandom random = new SplittableRandom(3);

    @BeforeEach
    void open() {
        scope = new TensorScope();
    }

    @AfterEach
    void close() {
        scope.close();
    }

    static Stream<Arguments> forms() {
        List<Arguments> forms = new ArrayList<>();
        for (QuantType type : QuantType.values()) {
            for (boolean nested : new boolean[] {false, true}) {
                for (int block = 64; block <= 4096; block *= 2) {
                    for (ScalarType storage :
                            List.of(ScalarType.Byte, ScalarType.BFloat16, ScalarType.Half, ScalarType.Float)) {
                        forms.add(Arguments.of(type, nested, block, storage));
                    }
                }
            }
        }
        return forms.stream();
    }

    @ParameterizedTest
    @MethodSource("forms")
    void computesWithWhatTheFileHolds(QuantType type, boolean nested, int block, ScalarType storage) {
        // 5,760 weights: short last blocks for the larger sizes, and more than 64 blocks for the smallest.
        compare(new Form(type, nested, block, storage, 72, 80), true);
    }

    @Test
    void manyBlocksNeedManyOuterScales() {
        // 640 blocks: three groups of 256 of which the last is short.
        compare(new Form(QuantType.NF4, true, 64, ScalarType.Byte, 320, 128), false);
        compare(new Form(QuantType.FP4, true, 64, ScalarType.BFloat16, 128, 320), true);
    }

    @Test
    void anOddNumberOfWeights() {
        compare(new Form(QuantType.NF4, true, 64, ScalarType.Byte, 7, 31), true);
        compare(new Form(QuantType.FP4, false, 128, ScalarType.Byte, 5, 1), false);
    }

    private void compare(Form form, boolean bias) {
        Map<String, Tensor> stored = new LinkedHashMap<>();
        float[] dense = form.write("a.b", stored, random);
        if (bias) {
            stored.put("a.b.bias", Tensors.uniform(CPU, random, 1, form.rows).to(ScalarType.Half));
        }
        Path file = folder.resolve("model.safetensors");
        SafetensorsWriter.write(file, stored);
        LinearSpec spec = new LinearSpec("a.b", form.columns, form.rows, bias, false);
        try (WeightSource weights = SafetensorsFile.open(file);
                Linear linear = new QuantizedLinearFactory(OTHER).create(spec, weights, Placement.cpuFp32())) {
            QuantizedTensor weight =
                    assertInstanceOf(QuantizedLinear.class, linear).weight();
            assertEquals(new QuantSettings(form.type, form.block, form.nested), weight.settings());
            assertArrayEquals(dense, Tensors.toFloats(linear.denseWeight()));
            checkGradient(linear, Tensors.ofFloats(CPU, dense, form.rows, form.columns), stored.get("a.b.bias"));
        }
    }

    private void checkGradient(Linear linear, Tensor dense, Tensor bias) {
        Tensor x = Tensors.uniform(CPU, random, 1, 2, 3, dense.size(1)).set_requires_grad(true);
        Tensor twin = x.detach().clone().set_requires_grad(true);
        Tensor pull = Tensors.uniform(CPU, random, 1, 2, 3, dense.size(0));
        Tensor y = linear.forward(x);
        Tensor expected = bias == null
                ? torch.linear(twin, dense)
                : torch.linear(twin, dense, new TensorOptional(bias.to(ScalarType.Float)));
        Sums.assertSame(expected, y);
        y.mul(pull).sum().backward();
        expected.mul(pull).sum().backward();
        Sums.assertSame(twin.grad(), x.grad());
    }

    /** As {@code llm_int8_skip_modules} leaves it: transformers keeps such a linear dense too. */
    @Test
    void aDenseWeightAmongPackedOnesStaysDense() {
        Map<String, Tensor> stored = new LinkedHashMap<>();
        new Form(QuantType.NF4, true, 64, ScalarType.Byte, 16, 32).write("layers.0.q", stored, random);
        Tensor skipped = Tensors.uniform(CPU, random, 1, 16, 32).to(ScalarType.BFloat16);
        stored.put("layers.1.q.weight", skipped);
        stored.put("layers.1.q.bias", Tensors.uniform(CPU, random, 1, 16));
        Path file = folder.resolve("model.safetensors");
        SafetensorsWriter.write(file, stored);
        QuantizedLinearFactory factory = new QuantizedLinearFactory(QuantSettings.nf4());
        try (WeightSource weights = SafetensorsFile.open(file);
                Linear packed = factory.create(
                        new LinearSpec("layers.0.q", 32, 16, false, false), weights, Placement.cpuFp32());
                Linear dense = factory.create(
                        new LinearSpec("layers.1.q", 32, 16, true, false), weights, Placement.cpuFp32())) {
            assertInstanceOf(QuantizedLinear.class, packed);
            assertInstanceOf(DenseLinear.class, dense);
            assertArrayEquals(Tensors.toFloats(skipped), Tensors.toFloats(dense.denseWeight()));
            checkGradient(dense, skipped.to(ScalarType.Float), stored.get("layers.1.q.bias"));
        }
    }

    @Test
    void aPackedHeadIsReadAsItIs() {
        Map<String, Tensor> stored = new LinkedHashMap<>();
        float[] dense = new Form(QuantType.FP4, false, 64, ScalarType.Half, 16, 32).write("lm_head", stored, random);
        Path file = folder.resolve("model.safetensors");
        SafetensorsWriter.write(file, stored);
        try (WeightSource weights = SafetensorsFile.open(file);
                Linear head = new QuantizedLinearFactory(OTHER)
                        .create(new LinearSpec("lm_head", 32, 16, false, true), weights, Placement.cpuFp32())) {
            assertInstanceOf(QuantizedLinear.class, head);
            assertArrayEquals(dense, Tensors.toFloats(head.denseWeight()));
        }
    }

    /** One linear in bytes, by the description of the layout alone. */
    private record Form(QuantType type, boolean nested, int block, ScalarType storage, int rows, int columns) {
        /** Adds the tensors of a random weight and returns its numbers. */
        float[] write(String module, Map<String, Tensor> stored, SplittableRandom random) {
            String name = module + ".weight";
            int count = rows * columns;
            byte[] codes = new byte[(count + 1) / 2];
            random.nextBytes(codes);
            stored.put(
                    name,
                    Tensors.ofBytes(CPU, codes, codes.length).view(storage).view(-1, 1));
            float[] table = FourBitCodebook.of(type).table();
            stored.put(name + ".quant_map", Tensors.ofFloats(CPU, table, 16));
            float offset = (float) random.nextDouble(0.01, 0.1);
            float[] scales = scales(name, stored, random, offset);
            String state = "{\"quant_type\": \"" + type.label() + "\", \"blocksize\": " + block
                    + ", \"dtype\": \"bfloat16\", \"shape\": [" + rows + ", " + columns + "]"
                    + (nested
                            ? ", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": " + offset
                            : "")
                    + "}";
            byte[] json = state.getBytes(StandardCharsets.UTF_8);
            stored.put(name + ".quant_state.bitsandbytes__" + type.label(), Tensors.ofBytes(CPU, json, json.length));
            float[] dense = new float[count];
            for (int i = 0; i < count; i++) {
                dense[i] = table[i % 2 == 0 ? codes[i / 2] >> 4 & 15 : codes[i / 2] & 15] * scales[i / block];
            }
            return dense;
        }

        private float[] scales(String name, Map<String, Tensor> stored, SplittableRandom random, float offset) {
            int blocks = (rows * columns + block - 1) / block;
            float[] scales = floats(random, blocks);
            if (!nested) {
                stored.put(name + ".absmax", Tensors.ofFloats(CPU, scales, blocks));
                return scales;
            }
            byte[] codes = new byte[blocks];
            random.nextBytes(codes);
            float[] outer = floats(random, (blocks + 255) / 256);
            float[] map = DynamicCodebook.signed().table();
            stored.put(name + ".absmax", Tensors.ofBytes(CPU, codes, blocks));
            stored.put(name + ".nested_absmax", Tensors.ofFloats(CPU, outer, outer.length));
            stored.put(name + ".nested_quant_map", Tensors.ofFloats(CPU, map, 256));
            for (int i = 0; i < blocks; i++) {
                scales[i] = map[codes[i] & 255] * outer[i / 256] + offset;
            }
            return scales;
        }

        private static float[] floats(SplittableRandom random, int count) {
            float[] values = new float[count];
            for (int i = 0; i < count; i++) {
                values[i] = (float) random.nextDouble(0.001, 0.2);
            }
            return values;
        }
    }
}
