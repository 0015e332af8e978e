package dev.finetune4j.lora.adapter.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinear;
import dev.finetune4j.quant.kernel.QuantizedTensor;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The lengths of the rows of W + s · B A follow the factors, without W + s · B A being made. */
class RowNormsTest {
    private static final ComputeDevice CPU = ComputeDevice.cpu();
    private static final int OUT = 70;
    private static final int IN = 96;
    private static final int RANK = 5;

    private final SplittableRandom random = new SplittableRandom(4);

    private Linear base(boolean quantized, TensorScope scope) {
        Tensor weight = Tensors.normal(CPU, random, 0.1, OUT, IN);
        Tensor bias = scope.release(Tensors.normal(CPU, random, 1, OUT));
        return quantized
                ? new QuantizedLinear(QuantizedTensor.quantize(weight, QuantSettings.nf4()), bias)
                : new DenseLinear(scope.release(weight), bias);
    }

    private LoraLayer layer(LoraLayer.@Nullable Factors subtracted) {
        return new LoraLayer(
                new Parameter(Tensors.normal(CPU, random, 0.3, RANK, IN)),
                new Parameter(Tensors.normal(CPU, random, 0.3, OUT, RANK)),
                null,
                Tensors.ones(CPU, ScalarType.Float, OUT),
                subtracted,
                1.5,
                0,
                0,
                new RowNorms(),
                false);
    }

    @ParameterizedTest
    @CsvSource({
        "false, false, Float, 1e-6",
        "true, false, Float, 1e-6",
        "true, true, Float, 1e-6",
        "false, true, BFloat16, 4e-3",
        "true, false, BFloat16, 4e-3"
    })
    void lengthsAreThoseOfTheWholeWeight(boolean quantized, boolean residual, ScalarType type, double tolerance) {
        try (TensorScope scope = new TensorScope();
                Linear base = base(quantized, scope)) {
            LoraLayer.Factors subtracted = residual
                    ? new LoraLayer.Factors(
                            Tensors.normal(CPU, random, 0.1, RANK, IN), Tensors.normal(CPU, random, 0.1, OUT, RANK))
                    : null;
            LoraLayer layer = layer(subtracted);
            for (int step = 0; step < 3; step++) {
                assertClose(base, layer, type, tolerance);
                // As an optimizer moves them, in place.
                layer.a().mul_(new Scalar(1.7));
                layer.b().sub_(Tensors.normal(CPU, random, 0.2, OUT, RANK));
            }
            layer.norms().close();
        }
    }

    /** Another base has lengths of its own. */
    @ParameterizedTest
    @CsvSource({"false", "true"})
    void lengthsAreThoseOfTheBaseThatIsAskedFor(boolean quantized) {
        try (TensorScope scope = new TensorScope();
                Linear one = base(quantized, scope);
                Linear other = base(quantized, scope)) {
            LoraLayer layer = layer(null);
            assertClose(one, layer, ScalarType.Float, 1e-6);
            assertClose(other, layer, ScalarType.Float, 1e-6);
            assertClose(one, layer, ScalarType.Float, 1e-6);
            layer.norms().close();
        }
    }

    /** A weight that is trained has no lengths that last. */
    @ParameterizedTest
    @CsvSource({"1", "3"})
    void aTrainedWeightIsMeasuredEachTime(double factor) {
        try (TensorScope scope = new TensorScope();
                Linear base = base(false, scope)) {
            LoraLayer layer = layer(null);
            Tensor weight = base.parameters().get("weight");
            assertClose(base, layer, ScalarType.Float, 1e-6);
            weight.set_requires_grad(true);
            weight.detach().mul_(new Scalar(factor));
            assertClose(base, layer, ScalarType.Float, 1e-6);
            layer.norms().close();
        }
    }

    private static void assertClose(Linear base, LoraLayer layer, ScalarType type, double tolerance) {
        Tensor sum = base.denseWeight().add(torch.mm(layer.b(), layer.a()), new Scalar(layer.scale()));
        LoraLayer.Factors subtracted = layer.subtracted();
        Tensor whole =
                subtracted == null ? sum : sum.sub(torch.mm(subtracted.b(), subtracted.a()), new Scalar(layer.scale()));
        float[] expected = Tensors.toFloats(whole.pow(new Scalar(2)).sum(1).sqrt());
        float[] actual = Tensors.toFloats(layer.norms().of(base, layer, () -> whole, type));
        assertEquals(expected.length, actual.length);
        for (int i = 0; i < expected.length; i++) {
            assertTrue(expected[i] > 0.1);
            assertEquals(expected[i], actual[i], tolerance * expected[i], "row " + i);
        }
    }
}
