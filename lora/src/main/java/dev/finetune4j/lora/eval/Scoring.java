package dev.finetune4j.lora.eval;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.data.Example;
import java.util.ArrayList;
import java.util.List;

/** What the tasks that need log-probabilities share. Stateless. */
final class Scoring {
    /** Examples whose tokens are in memory at once. */
    private static final int PIECE = 512;

    private Scoring() {}

    /** @throws IllegalArgumentException if the model cannot tell log-probabilities */
    static EvaluableModel of(ChatModel model, String task) {
        if (model instanceof EvaluableModel scoring) {
            return scoring;
        }
        throw new IllegalArgumentException("\"" + task + "\" needs log-probabilities, but "
                + model.getClass().getName()
                + " is no EvaluableModel; ask a LanguageModel, an Adapter or a FineTunedModel");
    }

    /** The scores of examples, some at a time. */
    static <T> List<T> map(EvaluableModel model, List<? extends Example> examples, Mapping<T> mapping) {
        List<T> mapped = new ArrayList<>();
        for (int start = 0; start < examples.size(); start += PIECE) {
            List<? extends Example> piece = examples.subList(start, Math.min(examples.size(), start + PIECE));
            List<List<TokenLogprob>> scores = model.score(piece);
            for (int i = 0; i < piece.size(); i++) {
                mapped.add(mapping.of(piece.get(i), scores.get(i)));
            }
        }
        return mapped;
    }

    /** What becomes of an example and its scores. */
    @FunctionalInterface
    interface Mapping<T> {
        T of(Example example, List<TokenLogprob> scores);
    }

    static double sum(List<TokenLogprob> scores) {
        return scores.stream().mapToDouble(TokenLogprob::logprob).sum();
    }
}
