package dev.finetune4j.lora.eval;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Pairs of answers, of which a model should hold the chosen one likelier. */
record PreferenceTask(String name, Dataset pairs) implements EvalTask {
    PreferenceTask {
        for (Example example : pairs.examples()) {
            if (!(example instanceof PreferenceExample)) {
                throw new IllegalArgumentException(
                        example.where() + " is " + example.kind() + "; \"" + name + "\" compares preference pairs");
            }
        }
    }

    @Override
    public Metric metric() {
        return new Metric("preference by log-probability", Metric.Kind.ACCURACY);
    }

    @Override
    public EvalResult run(ChatModel model) {
        List<Example> answers = new ArrayList<>();
        for (Example example : pairs.examples()) {
            PreferenceExample pair = (PreferenceExample) example;
            answers.add(answered(pair, pair.chosen()));
            answers.add(answered(pair, pair.rejected()));
        }
        List<Double> sums = Scoring.map(Scoring.of(model, name), answers, (example, scores) -> Scoring.sum(scores));
        List<EvalResult.Item> items = new ArrayList<>();
        for (int i = 0; i < sums.size(); i += 2) {
            PreferenceExample pair = (PreferenceExample) pairs.examples().get(i / 2);
            double margin = sums.get(i) - sums.get(i + 1);
            List<ChatMessage> messages = pair.prompt().messages();
            items.add(EvalResult.Item.of(
                    metric(),
                    messages.get(messages.size() - 1).content(),
                    List.of(pair.chosen().content()),
                    String.format(
                            Locale.ROOT,
                            "%s (%+.2f)",
                            (margin > 0 ? pair.chosen() : pair.rejected()).content(),
                            margin),
                    margin > 0 ? 1 : 0,
                    1));
        }
        return new EvalResult(name, metric(), items);
    }

    /** Earlier answers of the prompt count in both sums alike. */
    private static SftExample answered(PreferenceExample pair, ChatMessage answer) {
        Conversation conversation = pair.prompt().with(answer);
        return new SftExample(conversation, pair.where());
    }
}
