package dev.finetune4j.lora.eval;

import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.ChoiceQuestion;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.SftExample;
import java.util.ArrayList;
import java.util.List;

/** Questions whose answers are the letters of choices. */
record ChoiceTask(String name, List<ChoiceQuestion> questions, List<ChoiceQuestion> solved) implements EvalTask {
    ChoiceTask {
        questions = List.copyOf(questions);
        solved = List.copyOf(solved);
        if (questions.isEmpty()) {
            throw new IllegalArgumentException("\"" + name + "\" has no question; give at least one");
        }
    }

    @Override
    public Metric metric() {
        return new Metric("multiple choice", Metric.Kind.ACCURACY);
    }

    @Override
    public EvalResult run(ChatModel model) {
        List<ChatMessage> before = new ArrayList<>();
        for (ChoiceQuestion question : solved) {
            before.add(ChatMessage.user(question.prompt()));
            before.add(ChatMessage.assistant(ChoiceQuestion.letter(question.answer())));
        }
        List<Example> answers = new ArrayList<>();
        for (ChoiceQuestion question : questions) {
            for (int i = 0; i < question.choices().size(); i++) {
                List<ChatMessage> messages = new ArrayList<>(before);
                messages.add(ChatMessage.user(question.prompt()));
                messages.add(ChatMessage.assistant(ChoiceQuestion.letter(i)));
                answers.add(SftExample.of(new Conversation(messages)));
            }
        }
        List<List<TokenLogprob>> scores = Scoring.map(Scoring.of(model, name), answers, (example, tokens) -> tokens);
        List<EvalResult.Item> items = new ArrayList<>();
        int next = 0;
        for (ChoiceQuestion question : questions) {
            int choices = question.choices().size();
            items.add(item(question, likeliest(scores.subList(next, next + choices))));
            next += choices;
        }
        return new EvalResult(name, metric(), items);
    }

    private EvalResult.Item item(ChoiceQuestion question, int chosen) {
        return EvalResult.Item.of(
                metric(),
                question.question(),
                List.of(written(question, question.answer())),
                written(question, chosen),
                chosen == question.answer() ? 1 : 0,
                1);
    }

    private static String written(ChoiceQuestion question, int choice) {
        return ChoiceQuestion.letter(choice) + ". " + question.choices().get(choice);
    }

    /**
     * The answer whose own tokens are the likeliest. What all have in common counts for none: before the letters it is the same, and the
     * end behind them tells of the letter before it, not of the question.
     */
    static int likeliest(List<List<TokenLogprob>> answers) {
        int shortest = answers.stream().mapToInt(List::size).min().orElseThrow();
        int same = 0;
        while (same < shortest && isShared(answers, same, false)) {
            same++;
        }
        int sameEnd = 0;
        while (sameEnd < shortest - same && isShared(answers, sameEnd, true)) {
            sameEnd++;
        }
        int best = 0;
        double highest = Double.NEGATIVE_INFINITY;
        for (int i = 0; i < answers.size(); i++) {
            List<TokenLogprob> own = answers.get(i).subList(same, answers.get(i).size() - sameEnd);
            if (Scoring.sum(own) > highest) {
                highest = Scoring.sum(own);
                best = i;
            }
        }
        return best;
    }

    private static boolean isShared(List<List<TokenLogprob>> answers, int place, boolean fromEnd) {
        return answers.stream()
                        .mapToInt(tokens -> tokens.get(fromEnd ? tokens.size() - 1 - place : place)
                                .id())
                        .distinct()
                        .count()
                == 1;
    }
}
