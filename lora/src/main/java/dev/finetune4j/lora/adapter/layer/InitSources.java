package dev.finetune4j.lora.adapter.layer;

import dev.finetune4j.core.io.WeightSource;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * What a fresh adapter may need beside its base.
 *
 * @param seed the random numbers depend on it alone
 * @param originals opens the base's checkpoint, for starts that compare with it; null when there is none
 * @param tokenize the token ids of a text, for prompts that start from one; null when there is no tokenizer
 */
public record InitSources(
        long seed,
        @Nullable Supplier<WeightSource> originals,
        @Nullable Function<String, int[]> tokenize) {
    /** A seed and nothing else. */
    public static InitSources seed(long seed) {
        return new InitSources(seed, null, null);
    }
}
