package dev.finetune4j.lora.export.gguf;

import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Segment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What a chat template writes around each message, for templates that write the same around each message of a role. Found by
 * rendering conversations, and checked on further ones.
 *
 * @param preamble what begins a conversation without system text
 * @param system around the system text; null when the template takes none
 * @param user around a question
 * @param assistant around an answer
 * @param generation what announces the next answer
 */
record TurnLayout(String preamble, @Nullable Around system, Around user, Around assistant, String generation) {
    private static final String SYSTEM = "SSSS";
    private static final String QUESTION = "UUUU";
    private static final String ANSWER = "AAAA";
    private static final String NEXT_QUESTION = "VVVV";

    /** Texts before and behind a message. */
    record Around(String before, String behind) {
        String put(String content) {
            return before + content + behind;
        }
    }

    /**
     * The layout of a template; empty when what it writes around a message depends on more than its role.
     *
     * @param withoutBegin whether the begin token is left out, because whoever reads the text adds it
     */
    static Optional<TurnLayout> of(ChatEncoder encoder, boolean withoutBegin) {
        Rendering rendering = new Rendering(encoder, withoutBegin);
        List<ChatMessage> one = List.of(ChatMessage.user(QUESTION));
        List<ChatMessage> two =
                List.of(ChatMessage.user(QUESTION), ChatMessage.assistant(ANSWER), ChatMessage.user(NEXT_QUESTION));
        try {
            List<String> first = split(rendering.of(one, false), QUESTION);
            List<String> announced = split(rendering.of(one, true), QUESTION);
            List<String> answered = split(rendering.of(two.subList(0, 2), false), QUESTION, ANSWER);
            List<String> all = split(rendering.of(two, true), QUESTION, ANSWER, NEXT_QUESTION);
            String behindUser = first.get(1);
            String behindAssistant = answered.get(2);
            String beforeUser = without(behindAssistant, all.get(2));
            Around assistant = new Around(without(behindUser, all.get(1)), behindAssistant);
            if (!first.get(0).endsWith(beforeUser)) {
                return Optional.empty();
            }
            String preamble = first.get(0).substring(0, first.get(0).length() - beforeUser.length());
            TurnLayout found = new TurnLayout(
                    preamble,
                    system(rendering, beforeUser),
                    new Around(beforeUser, behindUser),
                    assistant,
                    without(behindUser, announced.get(1)));
            return found.agrees(rendering) ? Optional.of(found) : Optional.empty();
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    private static @Nullable Around system(Rendering rendering, String beforeUser) {
        String text;
        try {
            text = rendering.of(List.of(ChatMessage.system(SYSTEM), ChatMessage.user(QUESTION)), false);
        } catch (IllegalArgumentException e) {
            return null;
        }
        List<String> parts = split(text, SYSTEM, QUESTION);
        if (!parts.get(1).endsWith(beforeUser)) {
            throw new IllegalArgumentException("the system text is part of the first question");
        }
        return new Around(parts.get(0), parts.get(1).substring(0, parts.get(1).length() - beforeUser.length()));
    }

    /** The texts before, between and behind the marks. */
    private static List<String> split(String text, String... marks) {
        List<String> parts = new ArrayList<>();
        int from = 0;
        for (String mark : marks) {
            int at = text.indexOf(mark, from);
            if (at < 0) {
                throw new IllegalArgumentException("a message is not there as it was given");
            }
            parts.add(text.substring(from, at));
            from = at + mark.length();
        }
        parts.add(text.substring(from));
        return parts;
    }

    private static String without(String beginning, String text) {
        if (!text.startsWith(beginning)) {
            throw new IllegalArgumentException("what is behind a message depends on more than its role");
        }
        return text.substring(beginning.length());
    }

    private boolean agrees(Rendering rendering) {
        List<ChatMessage> messages = new ArrayList<>();
        if (system != null) {
            messages.add(ChatMessage.system("Be brief."));
        }
        for (int round = 0; round < 3; round++) {
            messages.add(ChatMessage.user("What is " + round + "?"));
            if (!rendering.of(messages, true).equals(text(messages))) {
                return false;
            }
            messages.add(ChatMessage.assistant("It is " + round + "."));
        }
        List<ChatMessage> plain = messages.subList(system == null ? 0 : 1, messages.size() - 1);
        return rendering.of(plain, true).equals(text(plain));
    }

    /** A conversation in this layout, up to what announces an answer. */
    private String text(List<ChatMessage> messages) {
        StringBuilder text = new StringBuilder();
        for (ChatMessage message : messages) {
            switch (message.role()) {
                case SYSTEM -> text.append(system == null ? message.content() : system.put(message.content()));
                case USER -> text.append(text.isEmpty() ? preamble : "").append(user.put(message.content()));
                default -> text.append(assistant.put(message.content()));
            }
        }
        return text.append(generation).toString();
    }

    /** Renders conversations to text. */
    private record Rendering(ChatEncoder encoder, boolean withoutBegin) {
        /** @throws IllegalArgumentException if the template cannot write them */
        String of(List<ChatMessage> messages, boolean announce) {
            StringBuilder text = new StringBuilder();
            String begin = encoder.tokenizer().bosToken().orElse("");
            String end = encoder.tokenizer().eosToken().orElse("");
            for (Segment segment : encoder.template().render(new Conversation(messages), announce)) {
                text.append(
                        segment.content()
                                ? segment.text()
                                : segment.text()
                                        .replace(ChatTemplate.BOS, begin)
                                        .replace(ChatTemplate.EOS, end));
            }
            boolean strips = withoutBegin && !begin.isEmpty() && text.toString().startsWith(begin);
            return strips ? text.substring(begin.length()) : text.toString();
        }
    }
}
