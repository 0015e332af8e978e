package dev.finetune4j;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.lora.export.MergeOptions;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How an adapter is merged into a model. Immutable.
 *
 * @param intoFourBit whether a checkpoint whose weights are in 4 bits may be merged into: what is written then has the rounding of the
 *     4 bits, and the adapter on the 16-bit model computes otherwise
 * @param prompts questions on which the merged model is compared with base and adapter before it takes its place; empty for none.
 *     Both compute in float32 from the files, one weight in memory at a time, which reads all of them twice
 * @param chatTemplate the name of the chat template; null for that of the training, or the one that the model folder brings along
 */
public record MergeSettings(
        boolean intoFourBit, List<String> prompts, @Nullable String chatTemplate) {
    private static final List<String> USUAL_PROMPTS =
            List.of("Who are you?", "你是谁?", "Write one sentence about the sea.", "用一句话介绍一座城市。");

    public MergeSettings {
        prompts = List.copyOf(Arguments.given(prompts, "prompts(questions)"));
    }

    /** Into 16 bits only, compared on four questions. */
    public static MergeSettings defaults() {
        return new MergeSettings(false, USUAL_PROMPTS, null);
    }

    /** The same, into a checkpoint in 4 bits if it is one. */
    public MergeSettings allowFourBit() {
        return new MergeSettings(true, prompts, chatTemplate);
    }

    /** The same, compared on other questions; none for no comparison. */
    public MergeSettings prompts(List<String> questions) {
        return new MergeSettings(intoFourBit, questions, chatTemplate);
    }

    /** The same with a named chat template. */
    public MergeSettings chatTemplate(String name) {
        return new MergeSettings(intoFourBit, prompts, Arguments.given(name, "chatTemplate(name)"));
    }

    MergeOptions options() {
        return new MergeOptions(intoFourBit, prompts);
    }
}
