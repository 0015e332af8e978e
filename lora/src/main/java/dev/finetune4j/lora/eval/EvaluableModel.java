package dev.finetune4j.lora.eval;

import dev.finetune4j.core.generate.ScoringModel;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.data.Example;
import java.util.List;

/**
 * A model that tells how likely the examples of a data set are, many at a time: what perplexity, preferences and multiple choice are measured
 * by. {@code LanguageModel}, {@code Adapter} and {@code FineTunedModel} are such.
 */
public interface EvaluableModel extends ScoringModel {
    /**
     * How likely the model holds what a training would learn of examples: the answers with their ends, or the whole text with its end but
     * for the first token. Many are computed together, without gradients.
     *
     * @param examples {@link dev.finetune4j.data.SftExample} or {@link dev.finetune4j.data.TextExample}; no longer than the model's context, but
     *     a longer text is parted
     * @return for each example one for each token that would be learned, in order; without {@link TokenLogprob#top}
     * @throws dev.finetune4j.data.DatasetException naming all examples that are too long, or that the chat template cannot write
     * @throws IllegalArgumentException for examples of another kind
     * @throws IllegalStateException if the model is closed
     * @throws dev.finetune4j.core.FineTune4jException when the thread is interrupted; the flag stays set
     */
    List<List<TokenLogprob>> score(List<? extends Example> examples);
}
