package dev.finetune4j.data.batch;

import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TrainOn;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Chooses which tokens of a conversation are learned. */
final class AnswerSpans {
    private AnswerSpans() {}

    /** A stretch of tokens, its end not included. */
    record Span(int start, int end) {}

    /** The answers with their ends, in order. */
    static List<Span> of(boolean[] trained) {
        List<Span> spans = new ArrayList<>();
        int start = -1;
        for (int i = 0; i <= trained.length; i++) {
            boolean learned = i < trained.length && trained[i];
            if (learned && start < 0) {
                start = i;
            } else if (!learned && start >= 0) {
                spans.add(new Span(start, i));
                start = -1;
            }
        }
        return spans;
    }

    /**
     * The chat with those tokens marked that are learned.
     *
     * @param messages of the conversation that was encoded, the last of those of the example
     * @throws IllegalArgumentException if loss weights ask for answers that the template does not write each by itself
     */
    static EncodedChat chosen(EncodedChat chat, SftExample example, List<ChatMessage> messages, TrainOn trainOn) {
        return switch (trainOn) {
            case EVERYTHING -> {
                boolean[] all = new boolean[chat.ids().length];
                Arrays.fill(all, true);
                yield new EncodedChat(chat.ids(), all);
            }
            case LAST_ANSWER -> {
                List<Span> spans = of(chat.trained());
                yield marked(chat, spans.isEmpty() ? spans : spans.subList(spans.size() - 1, spans.size()));
            }
            case ANSWERS -> example.lossWeights().isEmpty() ? chat : marked(chat, weighted(chat, example, messages));
        };
    }

    private static List<Span> weighted(EncodedChat chat, SftExample example, List<ChatMessage> messages) {
        List<Double> weights = example.lossWeights();
        int dropped = weights.size() - messages.size();
        List<Boolean> answers = new ArrayList<>();
        for (int i = 0; i < messages.size(); i++) {
            if (messages.get(i).role() == Role.ASSISTANT) {
                answers.add(weights.get(i + dropped) > 0);
            }
        }
        List<Span> spans = of(chat.trained());
        if (spans.size() != answers.size()) {
            throw new IllegalArgumentException("it writes " + spans.size() + " of " + answers.size()
                    + " answers so that they can be learned, so the loss weights of the row cannot be told apart; take"
                    + " the weights out, or choose another template");
        }
        List<Span> chosen = new ArrayList<>();
        for (int i = 0; i < spans.size(); i++) {
            if (answers.get(i)) {
                chosen.add(spans.get(i));
            }
        }
        return chosen;
    }

    private static EncodedChat marked(EncodedChat chat, List<Span> spans) {
        boolean[] trained = new boolean[chat.ids().length];
        spans.forEach(span -> Arrays.fill(trained, span.start(), span.end(), true));
        return new EncodedChat(chat.ids(), trained);
    }
}
