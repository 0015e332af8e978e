package dev.finetune4j.examples.cli;

import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Says what the library says of its settings in the words of a task file. Stateless. */
final class InKeys {
    private static final Map<String, String> WORDS = words();

    private InKeys() {}

    private static Map<String, String> words() {
        Map<String, String> words = new LinkedHashMap<>();
        words.put("\\.placeholder\\(\"([^\"]+)\", \"…\"\\)", "--placeholder $1=VALUE");
        words.put("\\bmaxSequenceLength(?:\\(…\\))?", "cutoff_len");
        words.put("\\bgradientAccumulation\\b", "gradient_accumulation_steps");
        words.put("\\bbatchSize\\b", "per_device_train_batch_size");
        words.put("\\blearningRate\\b", "learning_rate");
        words.put("\\bmaxSteps\\b", "max_steps");
        words.put("\\braise epochs\\b", "raise num_train_epochs");
        words.put("\\bwarmupRatio\\b", "warmup_ratio");
        words.put("\\bchatTemplate\\(…\\)", "template");
        words.put("\\bignoreMemoryPlan\\(\\)", "a smaller task");
        return words;
    }

    static String say(@Nullable String message) {
        String said = String.valueOf(message);
        for (Map.Entry<String, String> word : WORDS.entrySet()) {
            said = said.replaceAll(word.getKey(), word.getValue());
        }
        return said;
    }
}
