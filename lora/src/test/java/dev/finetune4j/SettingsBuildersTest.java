package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.VeraSettings;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** No value of a builder silently takes the place of another, and a builder of settings begins with their values. */
class SettingsBuildersTest {
    private static Arguments twice(String message, Executable calls) {
        return Arguments.of(message, calls);
    }

    static Stream<Arguments> twice() {
        return Stream.of(
                twice(
                        "rank was already set to 8; set it once",
                        () -> LoraSettings.builder().rank(8).rank(8)),
                twice(
                        "targetModules was already set to Named[names=[q_proj]]; set it once",
                        () -> LoraSettings.builder()
                                .targetModules("q_proj")
                                .targetModules(TargetModules.matching(".*k_proj"))),
                twice(
                        "dropout was already set to 0.1; set it once",
                        () -> FineTuner.builder().vera(v -> v.dropout(0.1).dropout(0.2))),
                twice(
                        "epochs was already set to 2.0; set it once",
                        () -> FineTuner.builder().training(t -> t.epochs(2)).training(t -> t.epochs(3))),
                twice(
                        "blockSize was already set to 64; set it once",
                        () -> QuantSettings.builder().blockSize(64).blockSize(128)),
                twice(
                        "method was already set to lora; set it once",
                        () -> FineTuner.builder().lora(l -> {}).qlora()),
                twice(
                        "model was already set to a; set it once",
                        () -> FineTuner.builder().model(Path.of("a")).model(Path.of("b"))),
                twice(
                        "placeholder name was already set to Zoe; set it once",
                        () -> FineTuner.builder()
                                .placeholder("name", "Zoe")
                                .placeholder("other", "Zoe")
                                .placeholder("name", "Max")),
                twice(
                        "threads was already set to 1; set it once",
                        () -> LanguageModel.loader(Path.of("a")).threads(1).threads(2)));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("twice")
    void aSecondCallIsAnError(String message, Executable calls) {
        assertEquals(message, assertThrows(IllegalStateException.class, calls).getMessage());
    }

    @Test
    void aBuilderBeginsWithTheValuesOfItsSettings() {
        LoraSettings lora = LoraSettings.builder()
                .rank(3)
                .alpha(5)
                .dropout(0.1)
                .targetModules("q_proj", "up_proj")
                .excludeModules("layers.0.self_attn.q_proj")
                .layersToTransform(0, 2)
                .layersPattern("layers")
                .useRslora(true)
                .useDora(true)
                .rankPattern(Map.of("q_proj", 2))
                .alphaPattern(Map.of("q_proj", 7.0))
                .initWeights(LoraInit.gaussian())
                .bias(BiasTraining.ALL)
                .modulesToSave("lm_head")
                .trainableTokenIndices(1, 2)
                .build();
        assertEquals(lora, lora.toBuilder().build());
        assertEquals(4, lora.toBuilder().rank(4).build().rank());
        VeraSettings vera = VeraSettings.builder()
                .rank(7)
                .projectionPrngKey(9)
                .saveProjection(false)
                .dropout(0.2)
                .dInitial(0.3)
                .targetModules("q_proj")
                .bias(BiasTraining.LORA_ONLY)
                .modulesToSave("lm_head")
                .build();
        assertEquals(vera, vera.toBuilder().build());
        TrainingSettings training = TrainingSettings.builder()
                .epochs(2)
                .maxSteps(9)
                .batchSize(3)
                .gradientAccumulation(5)
                .learningRate(1e-3)
                .schedule(LearningRateSchedule.linear(), 0.1)
                .weightDecay(0.01)
                .maxGradNorm(2)
                .seed(7)
                .build();
        assertEquals(training, training.toBuilder().build());
        QuantSettings quant = QuantSettings.builder()
                .type(QuantType.FP4)
                .blockSize(128)
                .doubleQuantization(false)
                .build();
        assertEquals(quant, quant.toBuilder().build());
        assertEquals(QuantSettings.nf4(), QuantSettings.builder().build());
    }
}
