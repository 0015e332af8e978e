package dev.finetune4j.data.batch;

import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TrainOn;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Chooses which tokens of a conversation are learned. */
final class AnswerSpans {
    private AnswerSpans() {}

    /**
     * Which tokens of a conversation are learned.
     *
     * @param weights what each counts in the loss where it is learned; null where all count 1
     */
    @SuppressWarnings("ArrayRecordComponent") // read once, compared by nobody
    record Learned(EncodedChat chat, float @Nullable [] weights) {
        /** One in which all that is learned counts the same. */
        Learned(EncodedChat chat) {
            this(chat, null);
        }
    }

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
     * The chat with those tokens marked that are learned, and what they count.
     *
     * @param messages of the conversation that was encoded, the last of those of the example
     * @throws IllegalArgumentException if loss weights ask for answers that the template does not write each by itself
     */
    static Learned chosen(EncodedChat chat, SftExample example, List<ChatMessage> messages, TrainOn trainOn) {
        return switch (trainOn) {
            case EVERYTHING -> {
                boolean[] all = new boolean[chat.ids().length];
                Arrays.fill(all, true);
                yield new Learned(new EncodedChat(chat.ids(), all));
            }
            case LAST_ANSWER -> {
                List<Span> spans = of(chat.trained());
                yield new Learned(
                        marked(chat, spans.isEmpty() ? spans : spans.subList(spans.size() - 1, spans.size())));
            }
            case ANSWERS -> example.lossWeights().isEmpty() ? new Learned(chat) : weighted(chat, example, messages);
        };
    }

    /** Why the loss weights of an example cannot be trained with, if that is so. */
    static Optional<String> weightProblem(SftExample example) {
        List<ChatMessage> messages = example.conversation().messages();
        List<Double> weights = example.lossWeights();
        boolean learned = weights.isEmpty();
        for (int i = 0; i < weights.size(); i++) {
            double weight = weights.get(i);
            if (weight != 0 && messages.get(i).role() != Role.ASSISTANT) {
                return Optional.of("message " + i + " has the loss weight " + weight + " and the role "
                        + messages.get(i).role() + ", but only answers can be learned; set it to 0");
            }
            learned |= (float) weight > 0;
        }
        return learned
                ? Optional.empty()
                : Optional.of("every message has the loss weight 0, so there is nothing to learn; drop the example");
    }

    private static Learned weighted(EncodedChat chat, SftExample example, List<ChatMessage> messages) {
        List<Double> weights = example.lossWeights();
        int dropped = weights.size() - messages.size();
        List<Float> answers = new ArrayList<>();
        for (int i = 0; i < messages.size(); i++) {
            if (messages.get(i).role() == Role.ASSISTANT) {
                answers.add(weights.get(i + dropped).floatValue());
            }
        }
        List<Span> spans = of(chat.trained());
        if (spans.size() != answers.size()) {
            throw new IllegalArgumentException("it writes " + spans.size() + " of " + answers.size()
                    + " answers so that they can be learned, so the loss weights of the row cannot be told apart; take"
                    + " the weights out, or choose another template");
        }
        float[] counts = new float[chat.ids().length];
        List<Span> chosen = new ArrayList<>();
        for (int i = 0; i < spans.size(); i++) {
            Span span = spans.get(i);
            Arrays.fill(counts, span.start(), span.end(), answers.get(i));
            if (answers.get(i) > 0) {
                chosen.add(span);
            }
        }
        boolean alike = answers.stream().allMatch(count -> count == 0 || count == 1);
        return new Learned(marked(chat, chosen), alike ? null : counts);
    }

    private static EncodedChat marked(EncodedChat chat, List<Span> spans) {
        boolean[] trained = new boolean[chat.ids().length];
        spans.forEach(span -> Arrays.fill(trained, span.start(), span.end(), true));
        return new EncodedChat(chat.ids(), trained);
    }
}
