package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.FrozenMatmul;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestGpu;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Dense copies have the numbers of their codes, and are there as long as they are lent. */
class DequantizedCopiesTest {
    private static final int IN = 96;
    private static final int[] OUTS = {64, 40, 33};

    private static List<Linear> linears(ComputeDevice device) {
        List<Linear> linears = new ArrayList<>();
        try (TensorScope scope = new TensorScope()) {
            for (int out : OUTS) {
                Tensor dense = Tensors.normal(device, new SplittableRandom(out), 0.05, out, IN);
                linears.add(new QuantizedLinear(QuantizedTensor.quantize(dense, QuantSettings.nf4()), null));
            }
            linears.add(1, new DenseLinear(scope.release(Tensors.ones(device, ScalarType.Float, 8, IN)), null));
        }
        return linears;
    }

    private static QuantizedTensor weight(Linear linear) {
        return ((QuantizedLinear) linear).weight();
    }

    @Test
    void asManyAsThereIsRoomForAreLentUntilTheyAreClosed() {
        List<Linear> linears = linears(ComputeDevice.cpu());
        long room = 2L * IN * (OUTS[0] + OUTS[1]);
        Placement placement = new Placement(ComputeDevice.cpu(), Precision.BF16);
        try (DequantizedCopies copies = DequantizedCopies.of(linears, placement, room + 100);
                TensorScope scope = new TensorScope()) {
            assertEquals(room, copies.bytes());
            for (int i : new int[] {0, 2}) {
                QuantizedTensor weight = weight(linears.get(i));
                assertTrue(weight.isDense(ScalarType.BFloat16));
                assertFalse(weight.isDense(ScalarType.Float));
                assertTrue(weight.dequantize(ScalarType.BFloat16).equal(weight.dense(ScalarType.BFloat16)));
                assertTrue(weight.dequantize(ScalarType.Float).equal(weight.dense(ScalarType.Float)));
            }
            assertFalse(weight(linears.get(3)).isDense(ScalarType.BFloat16));
            copies.close();
        }
        assertFalse(weight(linears.get(0)).isDense(ScalarType.BFloat16));
        linears.forEach(Linear::close);
    }

    @ParameterizedTest
    @EnumSource(Precision.class)
    void productsOnAGpuAreTheSame(Precision precision) {
        Needs.gpu();
        ComputeDevice gpu = TestGpu.device();
        List<Linear> linears = linears(gpu);
        List<FrozenMatmul> weights = List.of(
                new QuantizedMatmul(List.of(weight(linears.get(0)))),
                new QuantizedMatmul(List.of(weight(linears.get(2)))),
                new QuantizedMatmul(List.of(weight(linears.get(0)), weight(linears.get(2)), weight(linears.get(3)))));
        try (TensorScope scope = new TensorScope()) {
            List<Tensor> alone = results(linears, weights, precision);
            Placement placement = new Placement(gpu, precision);
            try (DequantizedCopies copies = DequantizedCopies.of(linears, placement, Long.MAX_VALUE)) {
                List<Tensor> with = results(linears, weights, precision);
                for (int i = 0; i < alone.size(); i++) {
                    assertTrue(alone.get(i).equal(with.get(i)), "result " + i);
                }
            }
        }
        linears.forEach(Linear::close);
    }

    private static List<Tensor> results(List<Linear> linears, List<FrozenMatmul> weights, Precision precision) {
        List<Tensor> results = new ArrayList<>();
        ScalarType type = Tensors.typeOf(precision);
        Tensor x = Tensors.normal(TestGpu.device(), new SplittableRandom(1), 1, 50, IN)
                .to(type);
        results.add(linears.get(0).forward(x));
        for (FrozenMatmul weight : weights) {
            Tensor y = Tensors.zeros(TestGpu.device(), type, 50, weight.outFeatures());
            weight.addForward(y, x);
            Tensor dx = Tensors.zeros(TestGpu.device(), type, 50, IN);
            weight.addBackward(dx, y);
            results.addAll(List.of(y, dx));
        }
        return results;
    }
}
