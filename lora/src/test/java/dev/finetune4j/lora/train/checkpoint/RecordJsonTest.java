package dev.finetune4j.lora.train.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.BiasTraining;
import dev.finetune4j.lora.adapter.Ia3Settings;
import dev.finetune4j.lora.adapter.LnTuningSettings;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.PTuningSettings;
import dev.finetune4j.lora.adapter.PrefixSettings;
import dev.finetune4j.lora.adapter.PromptTuningSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.adapter.VeraSettings;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.objective.AnswerLoss;
import dev.finetune4j.lora.objective.Cpo;
import dev.finetune4j.lora.objective.Dpo;
import dev.finetune4j.lora.objective.Kto;
import dev.finetune4j.lora.objective.PreferenceLoss;
import dev.finetune4j.lora.objective.WithSft;
import dev.finetune4j.lora.train.LearningRateFloor;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.TrainingSettings;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Settings are the same after they were written and read. */
class RecordJsonTest {
    private static final RecordJson RECORDS = new RecordJson(Map.of(AdapterSettings.class, AdapterKinds.settings()));

    /** Something of every interface that settings have. */
    private record Chosen(
            AdapterSettings adapter, LearningRateSchedule schedule, PreferenceLoss loss, TrainingSettings training) {}

    private static Chosen chosen(AdapterSettings adapter, LearningRateSchedule schedule, PreferenceLoss loss) {
        return new Chosen(
                adapter,
                schedule,
                loss,
                TrainingSettings.builder()
                        .seed(Long.MAX_VALUE)
                        .learningRate(1e-300)
                        .schedule(LearningRateSchedule.constantWithWarmup(), 0.1)
                        .build());
    }

    static Stream<Chosen> all() {
        LoraSettings lora = LoraSettings.builder()
                .rank(3)
                .alpha(1.0 / 3)
                .dropout(0.1)
                .targetModules(TargetModules.matching(".*q_proj|\"\\\\d\"|模型"))
                .excludeModules("layers.0.self_attn.q_proj")
                .useRslora(true)
                .rankPattern(Map.of("k_proj", 7, "a.b", 1))
                .alphaPattern(Map.of("v_proj", 0.5))
                .bias(BiasTraining.NONE)
                .modulesToSave("lm_head")
                .trainableTokenIndices(1, 2, 3)
                .build();
        LoraSettings layers = LoraSettings.builder()
                .targetModules("q_proj")
                .layersToTransform(0, 2)
                .layersPattern("layers")
                .initWeights(new LoraInit.Pissa(16))
                .build();
        PreferenceLoss dpo = new Dpo(0.1, 0.2);
        return Stream.of(
                chosen(lora, LearningRateSchedule.cosine(), dpo),
                chosen(layers, LearningRateSchedule.linear(), Kto.of(0.3)),
                chosen(Ia3Settings.defaults(), LearningRateSchedule.constant(), dpo),
                chosen(
                        LnTuningSettings.defaults(),
                        LearningRateSchedule.cosineWithMinimum(LearningRateFloor.rate(1e-6)),
                        new WithSft(new Cpo(0.1, 0), 1, AnswerLoss.EACH_ANSWER)),
                chosen(
                        VeraSettings.builder().build(),
                        LearningRateSchedule.cosineWarmupWithMinimum(LearningRateFloor.share(0.1)),
                        dpo),
                chosen(PrefixSettings.of(5), LearningRateSchedule.inverseSqrt(), dpo),
                chosen(PTuningSettings.of(5), LearningRateSchedule.warmupStableDecay(7), dpo),
                chosen(PromptTuningSettings.random(5), LearningRateSchedule.polynomial(2, 1e-7), dpo),
                chosen(
                        PromptTuningSettings.fromText(5, "Say \"hello\"\n"),
                        LearningRateSchedule.cosineWithRestarts(2),
                        dpo));
    }

    @ParameterizedTest
    @MethodSource("all")
    void settingsAreTheSameAfterwards(Chosen settings) throws Exception {
        ObjectMapper json = new ObjectMapper();
        JsonNode read = json.readTree(json.writeValueAsBytes(RECORDS.write(settings)));
        assertEquals(settings, RECORDS.read("run.json", read, Chosen.class));
        assertEquals(Map.of(), JsonDifferences.of(read, RECORDS.write(settings)));
    }

    @Test
    void whatWasChangedIsNamedByItsPath() {
        Chosen settings = all().findFirst().orElseThrow();
        ObjectNode lost = (ObjectNode) RECORDS.write(settings);
        ((ObjectNode) lost.path("adapter")).remove("rank");
        refused("run.json.adapter.rank is missing, expected a value", lost);
        ObjectNode text = (ObjectNode) RECORDS.write(settings);
        ((ObjectNode) text.path("adapter")).put("rank", "three");
        refused("run.json.adapter.rank is \"three\", expected a whole number", text);
        ObjectNode type = (ObjectNode) RECORDS.write(settings);
        ((ObjectNode) type.path("schedule")).put("type", "java.lang.Runtime");
        refused("run.json.schedule.type is \"java.lang.Runtime\", expected one of [", type);
        ObjectNode value = (ObjectNode) RECORDS.write(settings);
        ((ObjectNode) value.path("adapter")).put("rank", -1);
        String refusal = assertThrows(SettingsException.class, () -> RECORDS.read("run.json", value, Chosen.class))
                .getMessage();
        assertTrue(refusal.contains("the LoRA rank must be at least 1, but is -1"), refusal);
    }

    private static void refused(String expected, JsonNode changed) {
        String message = assertThrows(ModelFileException.class, () -> RECORDS.read("run.json", changed, Chosen.class))
                .getMessage();
        assertTrue(message.startsWith(expected), message);
    }

    @Test
    void differencesAreSentences() {
        Chosen one = all().findFirst().orElseThrow();
        Chosen other = all().skip(2).findFirst().orElseThrow();
        Map<String, String> found = JsonDifferences.of(RECORDS.write(one), RECORDS.write(other));
        assertEquals(
                List.of(
                        "adapter.type is Ia3Settings, but was LoraSettings",
                        "schedule.type is Constant, but was Cosine"),
                List.copyOf(found.values()));
    }
}
