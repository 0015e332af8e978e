package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.quant.kernel.DynamicCodebook;
import dev.finetune4j.testsupport.TensorData;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** 8-bit AdamW against its format computed in float64: blocks of 256, scales, nearest codes of the two dynamic maps. */
class AdamW8bitTest {
    private static final double RATE = 3e-3;
    private static final double DECAY = 0.1;
    private static final int STEPS = 6;
    /** As the kernels get them. */
    private static final double BETA1 = 0.9f;

    private static final double BETA2 = 0.999f;

    /** A block that is not full at the end, one parameter that is too small, one of exactly the least size, one with empty blocks. */
    private static Map<String, Tensor> parameters(SplittableRandom random) {
        Map<String, Tensor> all = new LinkedHashMap<>();
        all.put("q.lora_A.weight", random(random, 9, 557));
        all.put("norm.weight", random(random, 300));
        all.put("q.lora_B.weight", random(random, 64, 64));
        all.put("embed.weight", random(random, 33, 256));
        return all;
    }

    private static Tensor random(SplittableRandom random, long... shape) {
        int count = 1;
        for (long size : shape) {
            count *= (int) size;
        }
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) (random.nextDouble() * 2 - 1);
        }
        return Tensors.ofFloats(ComputeDevice.cpu(), values, shape);
    }

    /** Of many sizes, and for a part of the embedding none at all. */
    private static void setGradients(Map<String, Tensor> trainable, SplittableRandom random) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            trainable.forEach((name, tensor) -> {
                Tensor gradient = random(random, tensor.shape());
                gradient.mul_(gradient.abs().pow(new Scalar(5)));
                if (name.startsWith("embed")) {
                    gradient.narrow(0, 7, 20).zero_();
                }
                tensor.grad().copy_(gradient);
            });
        }
    }

    private static Tensor loss(double value) {
        return Tensors.zeros(ComputeDevice.cpu(), ScalarType.Double, 1).fill_(new Scalar(value));
    }

    private static double[] moment(Map<String, Tensor> state, int which, DynamicCodebook map) {
        float[] numbers = Tensors.toFloats(state.get("state" + which).to(ScalarType.Float));
        double[] moment = new double[numbers.length];
        Tensor absmax = state.get("absmax" + which);
        float[] scales = absmax == null ? new float[0] : Tensors.toFloats(absmax);
        float[] table = map.table();
        for (int i = 0; i < moment.length; i++) {
            moment[i] = scales.length == 0 ? numbers[i] : (double) table[(int) numbers[i]] * scales[i / 256];
        }
        return moment;
    }

    @Test
    void eachStepIsThatOfTheFormat() {
        SplittableRandom random = new SplittableRandom(11);
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> trainable = parameters(random);
            try (FlatParameters flat = new FlatParameters(Parameter.named(trainable), ParameterGroups.DECAY);
                    GradientStep step = new GradientStep(flat, DECAY, Optimizer.adamW8bit())) {
                int codes = 0;
                int others = 0;
                for (int number = 1; number <= STEPS; number++) {
                    setGradients(trainable, random);
                    Map<String, Expected> expected = new LinkedHashMap<>();
                    flat.slots()
                            .forEach(slot -> expected.put(
                                    slot.name(), new Expected(slot, step.state(slot), trainable.get(slot.name()))));
                    for (Expected one : expected.values()) {
                        one.step(number);
                    }
                    assertTrue(step.clipAndStep(loss(1), 0, RATE).get().isFinite());
                    for (FlatParameters.Slot slot : flat.slots()) {
                        int[] found = expected.get(slot.name()).compare(step.state(slot), trainable.get(slot.name()));
                        codes += found[0];
                        others += found[1];
                    }
                }
                // Quotients within a rounding of a limit between two codes.
                assertTrue(codes > 100_000 && others < codes / 1000, others + " of " + codes);
            }
        }
    }

    /** A step of one parameter in float64. */
    private static final class Expected {
        private final double[] mean;
        private final double[] variance;
        private final double[] value;
        private final double[] gradient;
        private final boolean coded;
        private final boolean decays;

        Expected(FlatParameters.Slot slot, Map<String, Tensor> state, Tensor parameter) {
            mean = moment(state, 1, DynamicCodebook.signed());
            variance = moment(state, 2, DynamicCodebook.unsigned());
            value = doubles(parameter);
            gradient = doubles(parameter.grad());
            coded = value.length >= 4096;
            decays = !slot.name().startsWith("norm");
            assertEquals(coded, state.containsKey("absmax1"), slot.name());
        }

        private static double[] doubles(Tensor tensor) {
            float[] floats = Tensors.toFloats(tensor.detach());
            double[] all = new double[floats.length];
            for (int i = 0; i < all.length; i++) {
                all[i] = floats[i];
            }
            return all;
        }

        void step(int number) {
            for (int i = 0; i < value.length; i++) {
                mean[i] += (gradient[i] - mean[i]) * (1 - BETA1);
                variance[i] = variance[i] * BETA2 + gradient[i] * gradient[i] * (1 - BETA2);
                double root = Math.sqrt(variance[i]) / Math.sqrt(1 - Math.pow(0.999, number)) + 1e-8;
                value[i] *= decays ? 1 - RATE * DECAY : 1;
                value[i] -= RATE / (1 - Math.pow(0.9, number)) * mean[i] / root;
            }
        }

        /** @return how many codes there are, and how many are neighbours of the expected one */
        int[] compare(Map<String, Tensor> state, Tensor parameter) {
            TensorData.assertClose("values", floats(value), Tensors.toFloats(parameter.detach()), 1e-6);
            if (!coded) {
                TensorData.assertClose("mean", floats(mean), Tensors.toFloats(state.get("state1")), 1e-6);
                TensorData.assertClose("variance", floats(variance), Tensors.toFloats(state.get("state2")), 1e-6);
                return new int[2];
            }
            int others = compare(state, 1, mean, DynamicCodebook.signed());
            return new int[] {2 * value.length, others + compare(state, 2, variance, DynamicCodebook.unsigned())};
        }

        private static int compare(Map<String, Tensor> state, int which, double[] moment, DynamicCodebook map) {
            float[] codes = Tensors.toFloats(state.get("state" + which).to(ScalarType.Float));
            float[] scales = Tensors.toFloats(state.get("absmax" + which));
            float[] table = map.table();
            int others = 0;
            for (int i = 0; i < moment.length; i++) {
                double top = 0;
                for (int k = i / 256 * 256; k < Math.min(moment.length, i / 256 * 256 + 256); k++) {
                    top = Math.max(top, Math.abs(moment[k]));
                }
                assertEquals(top, scales[i / 256], 1e-6 * top);
                int code = map.encode((float) (top > 0 ? moment[i] / top : 0));
                code -= moment[i] < 0 && table[code] >= 0 ? 1 : 0;
                assertEquals(code, (int) codes[i], 1, "code " + i + " of moment " + which);
                others += code == (int) codes[i] ? 0 : 1;
            }
            return others;
        }

        private static float[] floats(double... all) {
            float[] floats = new float[all.length];
            for (int i = 0; i < all.length; i++) {
                floats[i] = (float) all[i];
            }
            return floats;
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"norm.weight", "q.lora_B.weight"})
    void parametersMayAllBeSmallOrAllLarge(String only) {
        SplittableRandom random = new SplittableRandom(14);
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> trainable = parameters(random);
            trainable.keySet().retainAll(List.of(only));
            try (FlatParameters flat = new FlatParameters(Parameter.named(trainable), ParameterGroups.DECAY);
                    GradientStep step = new GradientStep(flat, DECAY, Optimizer.adamW8bit())) {
                setGradients(trainable, random);
                Expected expected = new Expected(
                        flat.slots().get(0), step.state(flat.slots().get(0)), trainable.get(only));
                expected.step(1);
                step.clipAndStep(loss(1), 0, RATE).get();
                expected.compare(step.state(flat.slots().get(0)), trainable.get(only));
            }
        }
    }

    @Test
    void aStepWithoutNumbersChangesNothing() {
        SplittableRandom random = new SplittableRandom(12);
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> trainable = parameters(random);
            try (FlatParameters flat = new FlatParameters(Parameter.named(trainable), ParameterGroups.ONE);
                    GradientStep step = new GradientStep(flat, DECAY, Optimizer.adamW8bit())) {
                setGradients(trainable, random);
                step.clipAndStep(loss(1), 1, RATE).get();
                float[] values = Tensors.toFloats(flat.values());
                Map<String, float[]> kept = kept(flat, step);
                setGradients(trainable, random);
                assertFalse(step.clipAndStep(loss(Double.NaN), 1, RATE).get().isFinite());
                assertArrayEquals(values, Tensors.toFloats(flat.values()));
                kept(flat, step).forEach((key, tensor) -> assertArrayEquals(kept.get(key), tensor, key));
            }
        }
    }

    private static Map<String, float[]> kept(FlatParameters parameters, GradientStep step) {
        Map<String, float[]> all = new LinkedHashMap<>();
        parameters
                .slots()
                .forEach(slot -> step.state(slot)
                        .forEach((name, tensor) ->
                                all.put(slot.name() + " " + name, Tensors.toFloats(tensor.to(ScalarType.Float)))));
        return all;
    }
}
