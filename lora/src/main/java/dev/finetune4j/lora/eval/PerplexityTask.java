package dev.finetune4j.lora.eval;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import java.util.List;

/** Perplexity of given examples. */
record PerplexityTask(String name, Dataset examples) implements EvalTask {
    private static final int SHOWN = 200;

    @Override
    public Metric metric() {
        return new Metric("perplexity", Metric.Kind.PERPLEXITY);
    }

    @Override
    public EvalResult run(ChatModel model) {
        List<EvalResult.Item> items = Scoring.map(
                Scoring.of(model, name),
                examples.examples(),
                (example, scores) -> EvalResult.Item.of(
                        metric(), beginning(example), List.of(), "", -Scoring.sum(scores), scores.size()));
        return new EvalResult(name, metric(), items);
    }

    private static String beginning(Example example) {
        String text = String.join(" / ", example.texts());
        return text.codePointCount(0, text.length()) <= SHOWN
                ? text
                : text.substring(0, text.offsetByCodePoints(0, SHOWN)) + "…";
    }
}
