package dev.finetune4j.core.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TensorData;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;

/** All experts at once compute what they compute one by one, forward and backward. */
class GroupedExpertsTest {
    private static final int EXPERTS = 6;
    private static final int HIDDEN = 64;
    private static final int INNER = 32;

    private static List<Named<Linear>> stacked(
            ComputeDevice device, SplittableRandom random, int count, long out, long in) {
        Tensor all = Tensors.normal(device, random, 0.2, count * out, in).to(ScalarType.BFloat16);
        List<Named<Linear>> linears = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            linears.add(new Named<>("linear." + i, new DenseLinear(all.narrow(0, i * out, out), null)));
        }
        return linears;
    }

    private static List<Named<Linear>> apart(List<Named<Linear>> linears) {
        return linears.stream()
                .map(linear -> new Named<Linear>(
                        linear.name(),
                        new DenseLinear(
                                ((DenseLinear) linear.module())
                                        .parameters()
                                        .get("weight")
                                        .clone(),
                                null)))
                .toList();
    }

    private static MixtureOfExperts mixture(Tensor router, List<Named<Linear>> inputs, List<Named<Linear>> outputs) {
        List<GatedMlp> experts = new ArrayList<>();
        for (int i = 0; i < EXPERTS; i++) {
            experts.add(new GatedMlp(
                    Activation.SILU, ProjectionGroup.separate(inputs.subList(2 * i, 2 * i + 2)), outputs.get(i)));
        }
        return new MixtureOfExperts(new Named<>("gate", new Router(router, 2, true)), experts, null);
    }

    @Test
    void aStackIsSeenWhereWeightsLieBehindOneAnother() {
        try (TensorScope scope = new TensorScope()) {
            SplittableRandom random = new SplittableRandom(1);
            List<Named<Linear>> linears = stacked(ComputeDevice.cpu(), random, EXPERTS, INNER, HIDDEN);
            List<Linear> modules = linears.stream().map(Named::module).toList();
            WeightStack stack = modules.get(0).stackedWith(modules, 3).orElse(null);
            assertNotNull(stack);
            assertEquals(2 * INNER, stack.dense(ScalarType.BFloat16).size(1));
            List<Linear> copies = apart(linears).stream().map(Named::module).toList();
            assertNull(copies.get(0).stackedWith(copies, 3).orElse(null));
        }
    }

    @Test
    void allAtOnceAreTheSameOnAGpu() {
        Needs.gpu();
        ComputeDevice device = ComputeDevice.cuda(0);
        try (TensorScope scope = TensorScope.forStep()) {
            SplittableRandom random = new SplittableRandom(2);
            List<Named<Linear>> inputs = stacked(device, random, 2 * EXPERTS, INNER, HIDDEN);
            List<Named<Linear>> outputs = stacked(device, random, EXPERTS, HIDDEN, INNER);
            Tensor router = Tensors.normal(device, random, 1, EXPERTS, HIDDEN).to(ScalarType.BFloat16);
            MixtureOfExperts together = mixture(router, inputs, outputs);
            MixtureOfExperts oneByOne = mixture(router, apart(inputs), apart(outputs));
            Tensor x = Tensors.normal(device, random, 1, 2, 37, HIDDEN).to(ScalarType.BFloat16);
            assertTrue(DeviceKernels.of(x).grouped(ScalarType.BFloat16).isPresent());
            float[][] first = valueAndGradient(together, x);
            float[][] second = valueAndGradient(oneByOne, x);
            TensorData.assertClose("values", second[0], first[0], 1e-2);
            TensorData.assertClose("gradients", second[1], first[1], 1e-2);
        }
    }

    /** As full fine-tuning has it: weights of a stack that are trained once the model is there. */
    @Test
    void weightsThatAreTrainedGetTheirGradientsOnAGpu() {
        Needs.gpu();
        ComputeDevice device = ComputeDevice.cuda(0);
        try (TensorScope scope = TensorScope.forStep()) {
            SplittableRandom random = new SplittableRandom(3);
            List<Named<Linear>> inputs = stacked(device, random, 2 * EXPERTS, INNER, HIDDEN);
            List<Named<Linear>> outputs = stacked(device, random, EXPERTS, HIDDEN, INNER);
            Tensor router = Tensors.normal(device, random, 1, EXPERTS, HIDDEN).to(ScalarType.BFloat16);
            MixtureOfExperts experts = mixture(router, inputs, outputs);
            Tensor x = Tensors.normal(device, random, 1, 2, 37, HIDDEN).to(ScalarType.BFloat16);
            float[][] frozen = valueAndGradient(experts, x);
            List<Tensor> weights = new ArrayList<>();
            inputs.forEach(linear -> weights.add(weight(linear)));
            outputs.forEach(linear -> weights.add(weight(linear)));
            weights.forEach(weight -> weight.set_requires_grad(true));
            float[][] trained = valueAndGradient(experts, x);
            TensorData.assertClose("values", frozen[0], trained[0], 1e-2);
            TensorData.assertClose("gradients", frozen[1], trained[1], 1e-2);
            for (Tensor weight : weights) {
                // 74 tokens choose two of six experts each.
                assertTrue(weight.grad().defined(), "a weight has a gradient");
                assertTrue(weight.grad().abs().max().item_float() > 0, "its gradient is not zero");
            }
        }
    }

    private static Tensor weight(Named<Linear> linear) {
        return Objects.requireNonNull(
                ((DenseLinear) linear.module()).parameters().get("weight"));
    }

    private static float[][] valueAndGradient(MixtureOfExperts experts, Tensor x) {
        Tensor leaf = x.clone().set_requires_grad(true);
        Tensor y = experts.forward(HiddenStates.of(leaf), null);
        y.square().sum().backward();
        return new float[][] {Tensors.toFloats(y), Tensors.toFloats(leaf.grad())};
    }
}
