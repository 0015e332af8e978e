package dev.finetune4j.data.batch;

import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.EncodedChat;
import dev.finetune4j.core.text.Role;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** Shortens conversations that have more tokens than fit. */
final class Shortening {
    private Shortening() {}

    /** The conversation without its oldest turns, as many as have to go; null if the last one alone does not fit. */
    static @Nullable Conversation dropOldestTurns(Conversation conversation, Predicate<Conversation> fits) {
        Conversation rest = withoutOldestTurn(conversation);
        while (rest != null && !fits.test(rest)) {
            rest = withoutOldestTurn(rest);
        }
        return rest;
    }

    private static @Nullable Conversation withoutOldestTurn(Conversation conversation) {
        List<ChatMessage> messages = conversation.messages();
        int start = conversation.system().isPresent() ? 1 : 0;
        for (int i = start + 1; i < messages.size(); i++) {
            if (messages.get(i).role() == Role.USER) {
                List<ChatMessage> rest = new ArrayList<>(messages.subList(0, start));
                rest.addAll(messages.subList(i, messages.size()));
                return conversation.withMessages(rest);
            }
        }
        return null;
    }

    /**
     * The conversation with the ends of its longest questions, system texts and results cut off, as little as has to go; null
     * if it does not fit without them.
     */
    static @Nullable Conversation cutSource(Conversation conversation, Predicate<Conversation> fits) {
        List<ChatMessage> messages = conversation.messages();
        List<Integer> longestFirst = IntStream.range(0, messages.size())
                .filter(i -> messages.get(i).role() != Role.ASSISTANT
                        && messages.get(i).content().length() > 1)
                .boxed()
                .sorted(Comparator.comparingInt(i -> -messages.get(i).content().length()))
                .toList();
        Conversation shorter = conversation;
        for (int message : longestFirst) {
            Conversation least = cut(shorter, message, 1);
            if (fits.test(least)) {
                return cutLeast(shorter, message, fits);
            }
            shorter = least;
        }
        return null;
    }

    /** Keeps as many characters of a message as fit; one does. */
    private static Conversation cutLeast(Conversation conversation, int message, Predicate<Conversation> fits) {
        int kept = 1;
        int tooMany = conversation.messages().get(message).content().length();
        while (kept + 1 < tooMany) {
            int middle = (kept + tooMany) >>> 1;
            if (fits.test(cut(conversation, message, middle))) {
                kept = middle;
            } else {
                tooMany = middle;
            }
        }
        return cut(conversation, message, kept);
    }

    private static Conversation cut(Conversation conversation, int message, int characters) {
        List<ChatMessage> messages = new ArrayList<>(conversation.messages());
        ChatMessage whole = messages.get(message);
        int end = Character.isHighSurrogate(whole.content().charAt(characters - 1)) ? characters - 1 : characters;
        String content =
                end == 0 ? whole.content().substring(0, 2) : whole.content().substring(0, end);
        messages.set(message, new ChatMessage(whole.role(), content, whole.fields()));
        return conversation.withMessages(messages);
    }

    /**
     * The chat with prompts and answers cut in proportion, turn by turn, by the rule of LLaMA-Factory's {@code infer_seqlen}.
     *
     * @param room tokens that it may have
     */
    static EncodedChat proportional(EncodedChat chat, int room) {
        int[] ids = new int[room];
        boolean[] trained = new boolean[room];
        int length = 0;
        int start = 0;
        for (AnswerSpans.Span span : AnswerSpans.of(chat.trained())) {
            int left = room - length;
            if (left == 0) {
                break;
            }
            int source = span.start() - start;
            int target = span.end() - span.start();
            int keptTarget = Math.min(mostOfTarget(source, target, left), target);
            int keptSource = Math.min(left - keptTarget, source);
            System.arraycopy(chat.ids(), start, ids, length, keptSource);
            System.arraycopy(chat.ids(), span.start(), ids, length + keptSource, keptTarget);
            Arrays.fill(trained, length + keptSource, length + keptSource + keptTarget, true);
            length += keptSource + keptTarget;
            start = span.end();
        }
        return new EncodedChat(Arrays.copyOf(ids, length), Arrays.copyOf(trained, length));
    }

    private static int mostOfTarget(int source, int target, int room) {
        if (2L * target < room) {
            return room;
        }
        return 2L * source < room ? room - source : (int) (room * ((double) target / (source + target)));
    }
}
