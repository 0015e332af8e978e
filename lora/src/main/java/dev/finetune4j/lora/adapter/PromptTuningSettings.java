package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Prompt tuning: trained vectors P before that of the first token, {@code [P; embedding(x)]}
 * (<a href="https://arxiv.org/abs/2104.08691">Lester et al. 2021</a>). Immutable.
 *
 * @param virtualTokens how many there are, n
 * @param init where they come from
 * @param text whose tokens they start as, repeated or cut to their number; null unless {@code init} is {@code TEXT}
 */
public record PromptTuningSettings(
        int virtualTokens, Init init, @Nullable String text) implements AdapterSettings {
    /** Where the vectors come from. */
    public enum Init {
        /** A normal distribution of deviation 1, as in PEFT. */
        RANDOM,
        /** The vectors of a text's tokens. */
        TEXT,
        /** The vectors of tokens drawn from the vocabulary. */
        SAMPLE_VOCAB
    }

    public PromptTuningSettings {
        List<String> problems = new ArrayList<>(SettingsChecks.virtualTokens(virtualTokens));
        if (init == Init.TEXT && (text == null || text.isEmpty())) {
            problems.add("prompt tuning from a text needs a text; give one or start at random");
        }
        if (!problems.isEmpty()) {
            throw new SettingsException(problems);
        }
    }

    /** Starts at random. */
    public static PromptTuningSettings random(int virtualTokens) {
        return new PromptTuningSettings(virtualTokens, Init.RANDOM, null);
    }

    /** Starts as the tokens of a text that says what the model is to do. */
    public static PromptTuningSettings fromText(int virtualTokens, String text) {
        return new PromptTuningSettings(virtualTokens, Init.TEXT, text);
    }
}
