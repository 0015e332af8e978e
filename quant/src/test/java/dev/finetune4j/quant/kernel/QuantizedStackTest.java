package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.Dtype;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearSpec;
import dev.finetune4j.core.nn.WeightStack;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.testsupport.Needs;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Weights in a stack have the bytes that each has alone, and the stack the numbers of all. */
class QuantizedStackTest {
    private static final int COUNT = 6;

    /** Some experts' weights, each with a mean of its own. */
    private record Experts(int out, int in) implements WeightSource {
        @Override
        public Set<String> names() {
            return Set.copyOf(specs(this).stream().map(LinearSpec::weightName).toList());
        }

        @Override
        public TensorInfo info(String name) {
            return new TensorInfo(name, Dtype.BF16, new long[] {out, in}, 0, 2L * out * in);
        }

        @Override
        public Tensor read(String name) {
            SplittableRandom random = new SplittableRandom(name.hashCode());
            double deviation = 0.01 * (1 + name.charAt(0) - '0');
            return Tensors.normal(ComputeDevice.cpu(), random, deviation, out, in)
                    .to(ScalarType.BFloat16);
        }

        @Override
        public void close() {
            // Nothing is open.
        }
    }

    private static List<LinearSpec> specs(Experts shape) {
        return IntStream.range(0, COUNT)
                .mapToObj(i -> new LinearSpec(i + ".up", shape.in(), shape.out(), false, false))
                .toList();
    }

    private static Map<String, byte[]> bytes(QuantizedTensor weight) {
        Map<String, byte[]> bytes = new LinkedHashMap<>();
        weight.toCheckpoint("w").forEach((name, tensor) -> {
            Tensor here = tensor.cpu().contiguous();
            byte[] all = new byte[(int) here.nbytes()];
            new org.bytedeco.javacpp.BytePointer(here.data_ptr()).get(all);
            bytes.put(name, all);
        });
        return bytes;
    }

    private static void check(ComputeDevice device, QuantSettings settings, Experts shape) {
        Placement placement = new Placement(device, Precision.BF16);
        try (TensorScope scope = new TensorScope()) {
            List<Linear> linears = new QuantizedLinearFactory(settings).createStacked(specs(shape), shape, placement);
            List<float[]> alone = linears.stream()
                    .map(linear -> Tensors.toFloats(linear.denseWeight()))
                    .toList();
            for (int i = 0; i < COUNT; i++) {
                QuantizedTensor stacked = ((QuantizedLinear) linears.get(i)).weight();
                Tensor dense = shape.read(i + ".up.weight").to(Tensors.handleOf(device), ScalarType.BFloat16);
                try (QuantizedTensor expected = QuantizedTensor.quantize(dense, settings)) {
                    Map<String, byte[]> wanted = bytes(expected);
                    bytes(stacked).forEach((name, found) -> assertArrayEquals(wanted.get(name), found, name));
                }
            }
            WeightStack stack = linears.get(0).stackedWith(linears, COUNT / 2).orElseThrow();
            Tensor all = stack.dense(ScalarType.BFloat16);
            assertArrayEquals(new long[] {COUNT / 2, 2L * shape.out(), shape.in()}, all.shape());
            float[] numbers = Tensors.toFloats(all);
            int size = shape.out() * shape.in();
            for (int i = 0; i < numbers.length; i++) {
                // Rounded once, to bfloat16.
                assertEquals(alone.get(i / size)[i % size], numbers[i], Math.abs(numbers[i]) / 128);
            }
            assertFalse(linears.get(0).stackedWith(linears.subList(0, 4), 2).isPresent());
            linears.get(0).close();
            assertTrue(Tensors.toFloats(Objects.requireNonNull(linears.get(1)).denseWeight()).length > 0);
            linears.subList(1, COUNT).forEach(Linear::close);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void haveTheBytesThatEachHasAlone(boolean twice) {
        QuantSettings settings =
                QuantSettings.builder().doubleQuantization(twice).build();
        // The scales of the second do not fill their own blocks.
        check(ComputeDevice.cpu(), settings, new Experts(32, 64));
        check(ComputeDevice.cpu(), settings, new Experts(50, 48));
    }

    @Test
    void onAGpuToo() {
        Needs.gpu();
        for (boolean twice : new boolean[] {true, false}) {
            QuantSettings settings =
                    QuantSettings.builder().doubleQuantization(twice).build();
            check(ComputeDevice.cuda(0), settings, new Experts(192, 256));
            check(ComputeDevice.cuda(0), settings, new Experts(50, 48));
        }
    }
}
