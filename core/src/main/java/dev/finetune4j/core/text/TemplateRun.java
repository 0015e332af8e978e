package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaException;
import dev.finetune4j.core.text.jinja.JinjaTemplate;
import dev.finetune4j.core.text.jinja.JinjaTemplate.Rendering;
import dev.finetune4j.core.text.jinja.python.Allowance;
import java.time.Clock;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * One conversation that a checkpoint's template writes: whole, in parts, or with other texts in the messages' places. All its renderings
 * see the same time, and share an allowance. Not thread-safe.
 */
final class TemplateRun {
    private static final String CALLS = CallForm.CALLS;

    private final CheckpointTemplates templates;
    private final JinjaTemplate template;
    private final TemplateInjectionGuard guard;
    private final List<ChatMessage> messages;
    private final SpecialTokenEscapes escapes;
    private final @Nullable Object tools;
    private final Map<?, ?> further;
    /** By message what the template gets for it, mostly one. */
    private final List<List<Map<?, ?>>> values = new ArrayList<>();

    /** By message the names of the functions that it calls. */
    private final List<List<String>> called = new ArrayList<>();

    private final Clock now;
    private final Allowance allowance;

    /** @param form in which calls of functions are given to the template */
    TemplateRun(CheckpointTemplates templates, Conversation conversation, CallForm form, Allowance allowance) {
        this.templates = templates;
        this.allowance = allowance;
        this.now = Clock.fixed(templates.clock().instant(), templates.clock().getZone());
        this.messages = conversation.messages();
        List<Object> raw = new ArrayList<>();
        messages.forEach(message -> raw.add(form.of(value(message))));
        this.escapes = SpecialTokenEscapes.of(
                List.of(raw, conversation.tools(), conversation.templateVariables()),
                templates.sources(),
                templates.controls()::spelledIn);
        raw.forEach(message -> {
            Map<?, ?> escaped = (Map<?, ?>) Objects.requireNonNull(escapes.putInto(message));
            called.add(called(escaped));
            values.add(templates.observes() ? ObservationForm.of(escaped) : List.of(escaped));
        });
        this.further = (Map<?, ?>) Objects.requireNonNull(escapes.putInto(conversation.templateVariables()));
        boolean withTools = !conversation.tools().isEmpty();
        this.tools = withTools ? escapes.putInto(conversation.tools()) : null;
        CheckpointTemplates.Parsed chosen = templates.of(withTools);
        this.template = chosen.jinja();
        this.guard = chosen.guard();
    }

    private static Map<String, @Nullable Object> value(ChatMessage message) {
        Map<String, @Nullable Object> value = new LinkedHashMap<>();
        value.put("role", message.role().name().toLowerCase(Locale.ROOT));
        value.put("content", message.content());
        value.putAll(message.fields());
        return value;
    }

    /** The messages that it writes. */
    List<ChatMessage> messages() {
        return messages;
    }

    /** What stands for special tokens that messages spell. */
    SpecialTokenEscapes escapes() {
        return escapes;
    }

    /** Whether the template says itself what is trained. */
    boolean marksGenerations() {
        return template.marksGenerations();
    }

    /**
     * Writes the first messages.
     *
     * @throws IllegalArgumentException if the template refuses them or fails on them
     */
    Rendering write(int count, boolean addGenerationPrompt) {
        List<Map<?, ?>> first =
                values.subList(0, count).stream().flatMap(List::stream).toList();
        return write(first, tools, addGenerationPrompt);
    }

    private Rendering write(List<?> messages, @Nullable Object tools, boolean addGenerationPrompt) {
        Map<String, @Nullable Object> variables =
                new LinkedHashMap<>(templates.tokenizer().namedTokens());
        variables.put("messages", messages);
        variables.put("tools", tools);
        variables.put("documents", null);
        further.forEach((variable, value) -> variables.put((String) variable, value));
        variables.put("add_generation_prompt", addGenerationPrompt);
        try {
            return template.render(variables, now, allowance);
        } catch (JinjaException e) {
            throw ChatTemplate.refused("the checkpoint's own chat template", e);
        }
    }

    /**
     * Makes sure that no text of a message became a part of a special token.
     *
     * @param text the whole, as it was written
     * @throws IllegalArgumentException if one did
     */
    void requireOwnSpecialTokens(String text, boolean addGenerationPrompt) {
        List<String> found = templates.controls().of(text);
        if (found.isEmpty()) {
            return;
        }
        List<Object> silent = new ArrayList<>();
        values.forEach(parts -> parts.forEach(message -> silent.add(guard.message(message, escapes))));
        String written =
                write(silent, guard.value(tools, escapes), addGenerationPrompt).text();
        List<String> own = templates.controls().of(written);
        if (!found.equals(own)) {
            int place = 0;
            while (place < found.size() - 1
                    && place < own.size()
                    && found.get(place).equals(own.get(place))) {
                place++;
            }
            throw new IllegalArgumentException("the checkpoint's own chat template writes the special token "
                    + found.get(place) + " with a part of it taken from a message, or depending on a message's"
                    + " text, so that what a message says would control the model; change the message, or name"
                    + " another template");
        }
    }

    /** The names of the functions that an answer calls. */
    List<String> called(int answer) {
        return called.get(answer);
    }

    private static List<String> called(Map<?, ?> message) {
        List<String> names = new ArrayList<>();
        if (message.get(CALLS) instanceof List<?> calls) {
            for (Object call : calls) {
                Object function = call instanceof Map<?, ?> map ? map.get("function") : null;
                if (function instanceof Map<?, ?> map && map.get("name") instanceof String called) {
                    names.add(called);
                }
            }
        }
        return names;
    }

    /**
     * The whole with a mark as one answer. Further fields, such as thoughts, may be written or not: no mark tells. Calls
     * are told by the names of their functions.
     */
    MarkedAnswer marked(int answer, boolean addGenerationPrompt) {
        boolean plain = Set.of(CALLS).containsAll(messages.get(answer).fields().keySet());
        if (!plain || values.get(answer).size() != 1) {
            return MarkedAnswer.NONE;
        }
        Object content = values.get(answer).get(0).get("content");
        if (!(content == null || content instanceof String)) {
            return MarkedAnswer.NONE;
        }
        String mark = escapes.mark();
        List<Map<?, ?>> others = new ArrayList<>();
        for (int i = 0; i < values.size(); i++) {
            others.addAll(i == answer ? List.of(Map.of("role", "assistant", "content", mark)) : values.get(i));
        }
        try {
            String text = write(others, tools, addGenerationPrompt).text();
            return MarkedAnswer.of(text, mark, content == null ? "" : (String) content, called(answer));
        } catch (IllegalArgumentException e) {
            // A template that refuses the mark does not let the answer be found by it.
            return MarkedAnswer.NONE;
        }
    }
}
