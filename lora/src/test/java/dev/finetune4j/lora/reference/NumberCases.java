package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.inference.Sampler;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.LearningRateSchedule.Span;
import dev.finetune4j.lora.train.ScheduleNames;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.BiFunction;

/** Learning rates and sampling rules against transformers: {@code schedules*.json}, {@code sampling*.safetensors}. */
final class NumberCases {
    /** Sets one rule to the number that its name ends with. */
    private interface Rule extends BiFunction<GenerationSettings.Builder, Double, GenerationSettings.Builder> {}

    private static final Map<String, Rule> RULES = Map.of(
            "temperature",
            (settings, t) -> settings,
            "top_k",
            (settings, k) -> settings.topK(k.intValue()),
            "top_p",
            GenerationSettings.Builder::topP,
            "min_p",
            GenerationSettings.Builder::minP,
            "repetition",
            GenerationSettings.Builder::repetitionPenalty,
            "no_repeat_ngram",
            (settings, size) -> settings.noRepeatNgramSize(size.intValue()));

    private NumberCases() {}

    static List<ReferenceCase> schedules(ReferenceFolder reference) {
        List<ReferenceCase> cases = new ArrayList<>();
        for (Path file : ReferenceFolder.files(reference.root(), "schedules", ".json")) {
            JsonNode golden = TestData.json(file);
            golden.path("values")
                    .properties()
                    .forEach(entry -> cases.add(new ReferenceCase(
                            "schedules",
                            ReferenceFolder.stem(file) + " " + entry.getKey(),
                            List.of(file),
                            near -> schedule(near, entry.getKey(), entry.getValue(), golden))));
        }
        return cases;
    }

    private static void schedule(Closeness near, String name, JsonNode course, JsonNode golden) {
        JsonNode rates = course.path("lr");
        assertTrue(rates.size() > 0 && course.has("args"), () -> "no learning rates or arguments of " + name);
        Span span = new Span(
                golden.path("warmup").asInt(),
                golden.path("steps").asInt(),
                golden.path("base_lr").asDouble());
        LearningRateSchedule schedule = ScheduleNames.schedule(name, course.path("args"));
        assertEquals(List.of(), schedule.problems(span));
        for (int step = 0; step < rates.size(); step++) {
            double expected = rates.get(step).asDouble();
            double rate = span.peak() * schedule.factor(step, span);
            near.absolute("learning rate", "step " + step, expected, rate, 1e-12 * expected + 1e-19);
        }
    }

    static List<ReferenceCase> sampling(ReferenceFolder reference) {
        List<ReferenceCase> cases = new ArrayList<>();
        for (Path file : ReferenceFolder.files(reference.root(), "sampling", ".safetensors")) {
            Set<String> rules;
            try (SafetensorsFile golden = SafetensorsFile.open(file)) {
                rules = new TreeSet<>(golden.names());
            }
            rules.removeAll(Set.of("logits", "history"));
            rules.forEach(rule -> cases.add(new ReferenceCase(
                    "sampling",
                    ReferenceFolder.stem(file) + " " + rule,
                    List.of(file),
                    near -> sample(near, file, rule))));
        }
        return cases;
    }

    private static void sample(Closeness near, Path file, String rule) {
        GenerationSettings settings = settings(rule);
        try (SafetensorsFile golden = SafetensorsFile.open(file)) {
            float[] logits = TensorData.floats(golden, "logits");
            float[] expected = TensorData.floats(golden, rule);
            int[] history = Arrays.stream(TensorData.longs(golden, "history"))
                    .mapToInt(Math::toIntExact)
                    .toArray();
            int rows = Math.toIntExact(golden.info("logits").shape()[0]);
            int vocabulary = logits.length / rows;
            int length = history.length / rows;
            assertEquals(logits.length, expected.length, rule);
            for (int row = 0; row < rows; row++) {
                float[] changed = Arrays.copyOfRange(logits, row * vocabulary, (row + 1) * vocabulary);
                Sampler sampler = new Sampler(settings);
                sampler.processLogits(changed, Arrays.copyOfRange(history, row * length, (row + 1) * length), length);
                sampler.warp(changed);
                for (int i = 0; i < vocabulary; i++) {
                    String where = rule + ", row " + row + ", token " + i;
                    near.absolute("sampled logits", where, expected[row * vocabulary + i], changed[i], 1e-5);
                }
            }
        }
    }

    /** Settings in which this rule alone does anything. */
    private static GenerationSettings settings(String rule) {
        int last = rule.lastIndexOf('_');
        Rule known = RULES.get(rule.substring(0, Math.max(0, last)));
        assertTrue(known != null, () -> "no sampling rule for " + rule + "; the rules are " + RULES.keySet());
        double number = Double.parseDouble(rule.substring(last + 1));
        GenerationSettings.Builder neutral =
                GenerationSettings.builder().temperature(rule.startsWith("temperature") ? number : 1);
        return known.apply(neutral, number).build();
    }
}
