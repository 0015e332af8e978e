package dev.finetune4j.core.text;

import dev.finetune4j.core.message.Arguments;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Messages in an order that every chat template can lay out: at most one system message, which stands first, then user
 * and assistant in turn. Results of tools may stand between an assistant's message and its next one.
 *
 * <p>Immutable.
 *
 * @param messages at least one
 * @param tools the JSON schemas of the functions that the assistant may call, for a checkpoint's own template; values
 *     as in {@link ChatMessage#fields()}
 * @param templateVariables further variables of a checkpoint's own template, such as {@code enable_thinking}: what
 *     transformers takes as {@code chat_template_kwargs}; values as in {@link ChatMessage#fields()}
 */
public record Conversation(
        List<ChatMessage> messages,
        List<Map<String, @Nullable Object>> tools,
        Map<String, @Nullable Object> templateVariables) {
    /** What the template gets from the conversation itself. */
    private static final Set<String> OWN_VARIABLES = Set.of("messages", "tools", "add_generation_prompt");

    /**
     * Copies and checks the messages.
     *
     * @throws IllegalArgumentException if there is none or the order is wrong; the message names the place, counted
     *     from 0
     */
    public Conversation {
        messages = copy(messages, "Conversation(messages)");
        tools = copy(tools, "Conversation(tools)");
        templateVariables = Collections.unmodifiableMap(
                new LinkedHashMap<>(Arguments.given(templateVariables, "Conversation(templateVariables)")));
        for (String name : templateVariables.keySet()) {
            if (OWN_VARIABLES.contains(name)) {
                throw new IllegalArgumentException(
                        "the template gets " + name + " from the conversation itself; leave it out of its variables");
            }
        }
        if (messages.isEmpty()) {
            throw new IllegalArgumentException("a conversation needs at least one message, but has none");
        }
        Role previous = null;
        for (int i = 0; i < messages.size(); i++) {
            Role role = messages.get(i).role();
            if (!mayFollow(previous, role)) {
                throw new IllegalArgumentException(describe(i, previous, role));
            }
            previous = role;
        }
    }

    /** A conversation without variables of the template, checked as by the other constructor. */
    public Conversation(List<ChatMessage> messages, List<Map<String, @Nullable Object>> tools) {
        this(messages, tools, Map.of());
    }

    /** A conversation without tools, checked as by the other constructor. */
    public Conversation(List<ChatMessage> messages) {
        this(messages, List.of());
    }

    /** A conversation of the given messages, checked as by the constructor. */
    public static Conversation of(ChatMessage... messages) {
        return new Conversation(Arrays.asList(Arguments.given(messages, "Conversation.of(messages)")));
    }

    /** This conversation and one more message. */
    public Conversation with(ChatMessage message) {
        List<ChatMessage> longer = new ArrayList<>(messages);
        longer.add(message);
        return withMessages(longer);
    }

    /** Other messages, with the tools and variables of this conversation. */
    public Conversation withMessages(List<ChatMessage> others) {
        return new Conversation(others, tools, templateVariables);
    }

    /** This conversation with a variable of the template, which takes the place of one of its name. */
    public Conversation withTemplateVariable(String name, @Nullable Object value) {
        Map<String, @Nullable Object> more = new LinkedHashMap<>(templateVariables);
        more.put(Arguments.given(name, "withTemplateVariable(name)"), value);
        return new Conversation(messages, tools, more);
    }

    /** The content of the system message, if the conversation has one. */
    public Optional<String> system() {
        ChatMessage first = messages.get(0);
        return first.role() == Role.SYSTEM ? Optional.of(first.content()) : Optional.empty();
    }

    private static <T> List<T> copy(List<T> given, String name) {
        List<T> copy = new ArrayList<>(Arguments.given(given, name));
        for (int i = 0; i < copy.size(); i++) {
            Arguments.given(copy.get(i), name + "[" + i + "]");
        }
        return List.copyOf(copy);
    }

    private static boolean mayFollow(@Nullable Role previous, Role role) {
        return switch (role) {
            case SYSTEM -> previous == null;
            case USER -> previous == null || previous == Role.SYSTEM || previous == Role.ASSISTANT;
            case ASSISTANT -> previous == Role.USER || previous == Role.TOOL;
            case TOOL -> previous == Role.ASSISTANT || previous == Role.TOOL;
        };
    }

    private static String describe(int index, @Nullable Role previous, Role role) {
        String place = previous == null ? "stands first" : "follows " + name(previous);
        String rule = switch (role) {
            case SYSTEM -> "the system message must be the first and only one";
            case USER -> "a user message stands first, after the system message or after an assistant message";
            case ASSISTANT -> "an assistant message answers a user or tool message";
            case TOOL -> "a tool message follows an assistant or another tool message";
        };
        return "message " + index + " (" + name(role) + ") " + place + ", but " + rule
                + "; merge or reorder the messages";
    }

    private static String name(Role role) {
        return role.name().toLowerCase(Locale.ROOT);
    }
}
