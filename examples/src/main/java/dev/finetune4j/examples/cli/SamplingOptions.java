package dev.finetune4j.examples.cli;

import dev.finetune4j.core.generate.GenerationSettings;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** How answers are generated. */
final class SamplingOptions {
    @CommandLine.Option(names = "--max-new-tokens", description = "The most tokens of an answer; 512 by default.")
    private @Nullable Integer maxNewTokens;

    @CommandLine.Option(
            names = "--temperature",
            description = "0, the default, takes the likeliest token each time; a task file has its own defaults.")
    private @Nullable Double temperature;

    @CommandLine.Option(
            names = "--top-p",
            description = "Draw from the tokens that together reach this probability; 1 by default.")
    private @Nullable Double topP;

    @CommandLine.Option(names = "--top-k", description = "Draw from so many tokens; 0, the default, for no limit.")
    private @Nullable Integer topK;

    @CommandLine.Option(names = "--repetition-penalty", description = "Above 1 against repetition; 1 by default.")
    private @Nullable Double repetitionPenalty;

    @CommandLine.Option(names = "--seed", description = "Of the random draws; 0 by default.")
    private @Nullable Long seed;

    /** @param usual what counts where an option is not given */
    GenerationSettings settings(GenerationSettings usual) {
        GenerationSettings.Builder builder = usual.toBuilder();
        set(builder, maxNewTokens, GenerationSettings.Builder::maxNewTokens);
        set(builder, temperature, GenerationSettings.Builder::temperature);
        set(builder, topP, GenerationSettings.Builder::topP);
        set(builder, topK, GenerationSettings.Builder::topK);
        set(builder, repetitionPenalty, GenerationSettings.Builder::repetitionPenalty);
        set(builder, seed, GenerationSettings.Builder::seed);
        return builder.build();
    }

    private static <T> void set(
            GenerationSettings.Builder builder, @Nullable T value, BiConsumer<GenerationSettings.Builder, T> setter) {
        if (value != null) {
            setter.accept(builder, value);
        }
    }
}
