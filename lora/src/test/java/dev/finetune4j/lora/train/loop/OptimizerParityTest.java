package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Five steps of each optimizer, as transformers' Adafactor and the formula of Lion's paper took them, clipped to a norm of 1. */
class OptimizerParityTest {
    private static final double PEAK = 1e-2;
    private static final double[] SCHEDULE = {0.5, 1, 0.75, 0.25, 0.1};

    static Stream<Arguments> recorded() {
        return Stream.of(
                Arguments.of("adafactor", Optimizer.adafactor(), 0.1),
                Arguments.of("adafactor_scaled", new Optimizer.Adafactor(false, true, false, 0.9), 0.0),
                Arguments.of("adafactor_relative", new Optimizer.Adafactor(true, true, false, 0), 0.1),
                Arguments.of("adafactor_warmup", new Optimizer.Adafactor(true, false, true, 0.5), 0.0),
                Arguments.of("lion", Optimizer.lion(), 0.1),
                Arguments.of("lion_other", new Optimizer.Lion(0.5, 0.8), 0.0));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("recorded")
    void fiveStepsAreThoseThatWereRecorded(String name, Optimizer settings, double weightDecay) {
        try (TensorScope scope = new TensorScope();
                SafetensorsFile golden = golden()) {
            Map<String, Tensor> trainable = read(golden, "start/");
            try (FlatParameters parameters = new FlatParameters(Parameter.named(trainable), ParameterGroups.ONE);
                    GradientStep step = new GradientStep(parameters, weightDecay, settings)) {
                for (int i = 0; i < SCHEDULE.length; i++) {
                    setGradients(trainable, read(golden, "grad" + i + "/"));
                    double rate = settings.learningRate(i + 1, PEAK * SCHEDULE[i]);
                    assertTrue(step.clipAndStep(loss(0), 1, rate).get().isFinite());
                    read(golden, name + "/value" + i + "/").forEach((parameter, expected) -> {
                        double error = TensorData.relativeError(
                                Tensors.toFloats(expected), Tensors.toFloats(trainable.get(parameter)));
                        assertTrue(error <= 2e-6, parameter + ": relative error " + error);
                    });
                    assertEquals(0, parameters.gradients().abs().max().item_float(), "gradients are cleared");
                }
            }
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("recorded")
    void aStepWithoutNumbersChangesNothing(String name, Optimizer settings, double weightDecay) {
        try (TensorScope scope = new TensorScope();
                SafetensorsFile golden = golden()) {
            Map<String, Tensor> trainable = read(golden, "start/");
            try (FlatParameters parameters = new FlatParameters(Parameter.named(trainable), ParameterGroups.ONE);
                    GradientStep step = new GradientStep(parameters, weightDecay, settings)) {
                setGradients(trainable, read(golden, "grad0/"));
                step.clipAndStep(loss(0), 1, PEAK).get();
                float[] values = Tensors.toFloats(parameters.values());
                Map<String, float[]> kept = kept(parameters, step);
                setGradients(trainable, read(golden, "grad1/"));
                assertFalse(step.clipAndStep(loss(Double.NaN), 1, PEAK).get().isFinite());
                setGradients(trainable, read(golden, "grad1/"));
                try (NoGradGuard off = new NoGradGuard()) {
                    parameters.gradients().narrow(0, 3, 1).fill_(scalar(Float.POSITIVE_INFINITY));
                }
                assertFalse(step.clipAndStep(loss(1), 1, PEAK).get().isFinite());
                assertArrayEquals(values, Tensors.toFloats(parameters.values()));
                kept(parameters, step).forEach((key, tensor) -> assertArrayEquals(kept.get(key), tensor, key));
            }
        }
    }

    private static Map<String, float[]> kept(FlatParameters parameters, GradientStep step) {
        Map<String, float[]> all = new LinkedHashMap<>();
        parameters
                .slots()
                .forEach(slot -> step.state(slot)
                        .forEach((name, tensor) -> all.put(slot.name() + " " + name, Tensors.toFloats(tensor))));
        return all;
    }

    private static Scalar scalar(double value) {
        return new Scalar(value);
    }

    private static Tensor loss(double value) {
        Tensor loss = Tensors.zeros(ComputeDevice.cpu(), ScalarType.Double, 1);
        return loss.fill_(scalar(value));
    }

    private static SafetensorsFile golden() {
        return SafetensorsFile.open(TestData.resource("train/optimizers.safetensors"));
    }

    private static Map<String, Tensor> read(SafetensorsFile file, String prefix) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (String name : file.names()) {
            if (name.startsWith(prefix)) {
                tensors.put(name.substring(prefix.length()), file.read(name).clone());
            }
        }
        assertEquals(3, tensors.size(), prefix);
        return tensors;
    }

    private static void setGradients(Map<String, Tensor> trainable, Map<String, Tensor> gradients) {
        try (NoGradGuard off = new NoGradGuard()) {
            trainable.forEach((name, tensor) -> tensor.grad().copy_(gradients.get(name)));
        }
    }

    @Test
    void namesAreThoseOfTransformers() {
        assertEquals(Optimizer.adamW(), Optimizer.named("adamw_torch"));
        assertEquals(Optimizer.adamW8bit(), Optimizer.named("adamw_8bit"));
        assertEquals(Optimizer.adafactor(), Optimizer.named("adafactor"));
        assertEquals(Optimizer.lion(), Optimizer.named("lion"));
        String message = assertThrows(SettingsException.class, () -> Optimizer.named("sgd"))
                .getMessage();
        assertTrue(message.contains("'sgd'") && message.contains("adamw_8bit"), message);
    }

    @Test
    void wrongSettingsAreAllNamed() {
        assertEquals(
                3,
                assertThrows(SettingsException.class, () -> new Optimizer.AdamW(1, -0.1, 0))
                        .problems()
                        .size());
        assertEquals(
                2,
                assertThrows(SettingsException.class, () -> new Optimizer.Adafactor(false, false, true, 1))
                        .problems()
                        .size());
        assertEquals(
                2,
                assertThrows(SettingsException.class, () -> new Optimizer.Lion(Double.NaN, 2))
                        .problems()
                        .size());
    }

    @Test
    void whatIsKeptIsWhatThePlanCounts() {
        try (TensorScope scope = new TensorScope();
                SafetensorsFile golden = golden()) {
            Map<String, Tensor> trainable = read(golden, "start/");
            recorded().map(arguments -> (Optimizer) arguments.get()[1]).forEach(settings -> {
                try (FlatParameters parameters = new FlatParameters(Parameter.named(trainable), ParameterGroups.ONE);
                        GradientStep step = new GradientStep(parameters, 0, settings)) {
                    for (FlatParameters.Slot slot : parameters.slots()) {
                        long bytes = step.state(slot).values().stream()
                                .mapToLong(tensor -> tensor.numel() * tensor.element_size())
                                .sum();
                        assertEquals(bytes, settings.stateBytes(slot.shape()), settings + " " + slot.name());
                    }
                }
            });
        }
    }
}
