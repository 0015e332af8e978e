package dev.finetune4j.examples.task;

import dev.finetune4j.FineTuner;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.data.Truncation;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * What a task says of how rows become tokens.
 *
 * @param cutoff tokens of the longest example
 * @param packs whether rows are packed into ones of as many tokens
 * @param cache where encoded rows are kept; null for nowhere
 */
record EncodingKeys(
        int cutoff,
        boolean packs,
        TrainOn trainOn,
        Truncation truncation,
        @Nullable Path cache) {
    static EncodingKeys of(TaskFile task, ObjectiveKeys objective) {
        boolean compares = objective.comparesAnswers();
        boolean packs = task.isGiven("packing")
                ? task.flag("packing")
                : objective.stage().equals("pt");
        packs |= task.flag("neat_packing");
        if (packs && compares) {
            task.note(
                    "packing",
                    "rows of stage sft and pt are packed; pairs lie behind one another without padding anyway");
            packs = false;
        }
        if (packs && !task.flag("neat_packing") && !objective.stage().equals("pt")) {
            task.note("packing", "the examples of a row are kept apart, as with neat_packing");
        }
        TrainOn trainOn = TrainOn.ANSWERS;
        if (task.flag("train_on_prompt") && task.flag("mask_history")) {
            task.refuse("mask_history", "learns the last answer alone, but train_on_prompt all tokens; take one out");
        } else if (task.flag("train_on_prompt")) {
            trainOn = TrainOn.EVERYTHING;
        } else if (task.flag("mask_history")) {
            trainOn = TrainOn.LAST_ANSWER;
        }
        Path cache = task.text("tokenized_path").map(Path::of).orElse(null);
        if (cache != null) {
            task.note(
                    "tokenized_path",
                    compares
                            ? "pairs and judged answers are encoded anew"
                            : "encoded rows are kept there, and the training begins at once");
        }
        return new EncodingKeys(
                Demands.atLeast(task, "cutoff_len", 2),
                packs,
                trainOn,
                compares ? Truncation.CUT_SOURCE : Truncation.PROPORTIONAL,
                compares ? null : cache);
    }

    void apply(FineTuner.Builder builder) {
        builder.maxSequenceLength(cutoff).truncation(truncation).trainOn(trainOn);
        if (packs) {
            builder.packing(cutoff);
        }
        if (cache != null) {
            builder.encodingCache(cache);
        }
    }
}
