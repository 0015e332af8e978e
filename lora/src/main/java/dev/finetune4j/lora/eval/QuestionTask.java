package dev.finetune4j.lora.eval;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import java.util.ArrayList;
import java.util.List;

/** Questions that a model answers. */
record QuestionTask(String name, List<EvalCase> cases, GenerationSettings settings) implements EvalTask {
    QuestionTask {
        cases = List.copyOf(cases);
        if (cases.isEmpty()) {
            throw new IllegalArgumentException("\"" + name + "\" has no question; give at least one");
        }
        List<Metric> metrics =
                cases.stream().map(each -> each.metric().metric()).distinct().toList();
        if (metrics.size() > 1) {
            throw new IllegalArgumentException("\"" + name + "\" judges by several metrics ("
                    + String.join(", ", metrics.stream().map(Metric::name).toList())
                    + "), whose mean says nothing; make a task of each");
        }
    }

    @Override
    public Metric metric() {
        return cases.get(0).metric().metric();
    }

    @Override
    public EvalResult run(ChatModel model) {
        List<Reply> replies = model.generate(cases.stream()
                .map(asked -> ChatRequest.of(asked.prompt(), settings))
                .toList());
        if (Thread.currentThread().isInterrupted()) {
            throw new FineTune4jException("the evaluation \"" + name + "\" was interrupted before all of its "
                    + cases.size() + " questions were answered, so it has no result; run it again in a thread that is"
                    + " not interrupted");
        }
        List<EvalResult.Item> items = new ArrayList<>();
        for (int i = 0; i < cases.size(); i++) {
            EvalCase asked = cases.get(i);
            String answer = replies.get(i).text();
            items.add(EvalResult.Item.of(
                    metric(),
                    asked.question(),
                    asked.references(),
                    answer,
                    asked.metric().counts(answer, asked.references())));
        }
        return new EvalResult(name, metric(), items);
    }
}
