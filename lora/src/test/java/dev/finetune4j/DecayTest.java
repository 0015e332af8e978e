package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.loop.ParameterGroups;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which parameters weight decay pulls. */
class DecayTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @CsvSource({
        "model.layers.0.self_attn.q_proj.weight, true",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight, true",
        "model.embed_tokens.weight, true",
        "model.layers.0.self_attn.q_proj.bias, false",
        "model.layers.0.input_layernorm.weight, false",
        "model.layers.0.self_attn.q_norm.weight, false",
        "model.norm.weight, false",
        "transformer.normalizer.weight, true"
    })
    void biasesAndNormsDoNotDecay(String name, boolean decays) {
        try (Tensor any = Tensors.ofFloats(ComputeDevice.cpu(), new float[] {1}, 1)) {
            assertEquals(decays, ParameterGroups.DECAY.groupOf(name, any).weightDecay());
            assertEquals(1, ParameterGroups.DECAY.groupOf(name, any).learningRateFactor());
        }
    }

    private Map<String, float[]> trained(Path model, double decay) {
        Map<String, float[]> values = new LinkedHashMap<>();
        try (FineTunedModel tuned = FineTuner.builder()
                .model(model)
                .full()
                .dataset(Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Hello"))
                .training(t -> t.maxSteps(1)
                        .learningRate(1e-3)
                        .weightDecay(decay)
                        .schedule(LearningRateSchedule.constant(), 0))
                .device(ComputeDevice.cpu())
                .train()) {
            tuned.base().model().parameters().forEach((name, tensor) -> values.put(name, Tensors.toFloats(tensor)));
        }
        return values;
    }

    @Test
    void fullFineTuningLeavesNormsAlone() {
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        Map<String, float[]> plain = trained(model, 0);
        Map<String, float[]> decayed = trained(model, 0.5);
        int norms = 0;
        for (Map.Entry<String, float[]> parameter : plain.entrySet()) {
            float[] other = decayed.get(parameter.getKey());
            if (parameter.getKey().contains("norm")) {
                assertArrayEquals(parameter.getValue(), other, 1e-6f, parameter.getKey());
                norms++;
            } else {
                assertFalse(Arrays.equals(parameter.getValue(), other), parameter.getKey());
            }
        }
        assertTrue(norms >= 3, norms + " norms");
    }
}
