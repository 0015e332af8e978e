package dev.finetune4j.lora.train.loop;

import static org.junit.jupiter.api.Assertions.assertEquals;
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
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LoraPlusTest {
    private static final double[] SCHEDULE = {0.5, 1, 0.75, 0.25, 0.1};

    @ParameterizedTest(name = "{0}")
    @CsvSource({"plain, 2e-3, 16, 0.1, 5e-5", "dora, 1e-3, 4, 0.05, 1e-6"})
    void fiveStepsFollowPeft(String name, double learningRate, double ratio, double weightDecay, double embedding) {
        ParameterGroups groups = ParameterGroups.of(new LoraPlus(ratio, embedding), learningRate);
        try (TensorScope scope = new TensorScope();
                SafetensorsFile golden = SafetensorsFile.open(TestData.resource("train/loraplus.safetensors"))) {
            Map<String, Tensor> trainable = read(golden, name + "/start/");
            try (FlatParameters parameters = new FlatParameters(Parameter.named(trainable), groups);
                    GradientStep optimizer = new GradientStep(parameters, weightDecay, Optimizer.adamW())) {
                for (int step = 0; step < SCHEDULE.length; step++) {
                    setGradients(trainable, read(golden, name + "/grad" + step + "/"));
                    double norm = golden.read(name + "/norm" + step).item_double();
                    Tensor loss = Tensors.zeros(ComputeDevice.cpu(), ScalarType.Double, 1);
                    GradientStep.StepResult found = optimizer
                            .clipAndStep(loss, 1, learningRate * SCHEDULE[step])
                            .get();
                    assertEquals(norm, found.norm(), 1e-6 * norm, "norm over all groups at step " + step);
                    compare(read(golden, name + "/value" + step + "/"), trainable, "step " + step);
                }
            }
        }
    }

    private static Map<String, Tensor> read(SafetensorsFile file, String prefix) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (String name : file.names()) {
            if (name.startsWith(prefix)) {
                tensors.put(name.substring(prefix.length()), file.read(name).clone());
            }
        }
        assertTrue(tensors.size() >= 6, prefix + tensors.keySet());
        return tensors;
    }

    private static void setGradients(Map<String, Tensor> trainable, Map<String, Tensor> gradients) {
        try (NoGradGuard off = new NoGradGuard()) {
            trainable.forEach((name, tensor) -> tensor.grad().copy_(gradients.get(name)));
        }
    }

    private static void compare(Map<String, Tensor> expected, Map<String, Tensor> actual, String when) {
        expected.forEach((name, tensor) -> {
            double error = TensorData.relativeError(Tensors.toFloats(tensor), Tensors.toFloats(actual.get(name)));
            assertTrue(error <= 1e-6, name + " at " + when + ": relative error " + error);
        });
    }

    @Test
    void eachGroupIsOneSliceAndTheTensorsKeepTheirValues() {
        try (TensorScope scope = new TensorScope();
                SafetensorsFile golden = SafetensorsFile.open(TestData.resource("train/loraplus.safetensors"))) {
            Map<String, Tensor> trainable = read(golden, "plain/start/");
            try (FlatParameters parameters =
                    new FlatParameters(Parameter.named(trainable), ParameterGroups.of(LoraPlus.withRatio(16), 1e-3))) {
                List<FlatParameters.Slice> slices = parameters.slices();
                assertEquals(4, slices.size());
                long offset = 0;
                for (FlatParameters.Slice slice : slices) {
                    assertEquals(offset, slice.offset());
                    offset += slice.length();
                }
                assertEquals(parameters.values().numel(), offset);
                compare(read(golden, "plain/start/"), trainable, "the start");
            }
        }
    }

    @Test
    void withoutGroupsThereIsOneSlice() {
        try (TensorScope scope = new TensorScope();
                SafetensorsFile golden = SafetensorsFile.open(TestData.resource("train/loraplus.safetensors"));
                FlatParameters parameters =
                        new FlatParameters(Parameter.named(read(golden, "dora/start/")), ParameterGroups.ONE)) {
            assertEquals(1, parameters.slices().size());
            assertEquals(ParameterGroup.usual(), parameters.slices().get(0).group());
        }
    }

    @Test
    void wrongSettingsAreAllNamed() {
        assertEquals(
                2,
                assertThrows(SettingsException.class, () -> new LoraPlus(0.5, -1))
                        .problems()
                        .size());
        assertThrows(SettingsException.class, () -> new ParameterGroup(Double.NaN, true));
        assertThrows(SettingsException.class, () -> new ParameterGroup(0, true));
    }
}
