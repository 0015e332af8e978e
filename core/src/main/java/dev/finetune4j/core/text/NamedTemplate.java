package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaException;
import dev.finetune4j.core.text.jinja.JinjaTemplate;
import dev.finetune4j.core.text.jinja.JinjaTemplate.Rendering;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A template that this library brings along under a name: a Jinja source of our own words in {@code template/NAME.jinja},
 * with {@code generation} tags around what is trained.
 *
 * <p>A name stands for the text that the published models of that name were trained on, as their own
 * <a href="https://huggingface.co/docs/transformers/chat_templating">chat template</a> renders it. Tables of other
 * tools differ: Yi-1.5 has the system text bare before the first turn; Llama 2 has a space on both sides of an
 * answer; Llama 3, Gemma, Llama 2 and Alpaca trim each message; Mistral's releases differ in spaces, hence two names.
 * Where published templates refuse or drop a system text (Mistral, Gemma), it stands before the first user message. What
 * separates an answer from the next turn is not trained: generation stops at the end token, so the model is never asked to
 * write it.
 *
 * <p>It writes conversations of texts; those with tools, their results or further fields of messages are left to the
 * checkpoint's own template. Where there is none, it writes results as texts, in a turn of their own where the models have
 * one and in a user turn otherwise, and refuses the others.
 */
final class NamedTemplate extends ChatTemplate {
    /** The first line of each. */
    private static final Pattern DEFAULT_SYSTEM = Pattern.compile("\\{%- set default_system = (?:none|'(.*)') %}\n");

    private static final Pattern GENERATION_TAG = Pattern.compile("\\n *\\{%- (?:end)?generation %}");
    private static final Pattern SLOT = Pattern.compile(Pattern.quote(BOS) + "|" + Pattern.quote(EOS));
    private static final String SLOT_HEAD = "{{";
    private static final String PROBE = "\u4ece";

    private final String name;
    private final Source source;
    private final String defaultSystem;
    private final @Nullable ChatTemplate full;
    private final @Nullable ControlTokens controls;
    private final String answerEnd;

    /**
     * What is the same in all templates of a name.
     *
     * @param body all but the line with the default system text
     * @param jinja the whole without a default system text
     */
    private record Source(String body, JinjaTemplate jinja) {}

    private NamedTemplate(
            String name,
            Source source,
            String defaultSystem,
            @Nullable ChatTemplate full,
            @Nullable ControlTokens controls) {
        this.name = name;
        this.source = source;
        this.defaultSystem = defaultSystem;
        this.full = full;
        this.controls = controls;
        this.answerEnd = answerEnd();
    }

    /** Reads the template of a name from the library's resources. */
    static NamedTemplate read(String name) {
        try (InputStream in = NamedTemplate.class.getResourceAsStream("template/" + name + ".jinja")) {
            byte[] bytes = Objects.requireNonNull(in, name).readAllBytes();
            String text = new String(bytes, StandardCharsets.UTF_8);
            Matcher first = DEFAULT_SYSTEM.matcher(text);
            if (!first.lookingAt()) {
                throw new IllegalStateException(
                        "template/" + name + ".jinja does not begin with its default system text");
            }
            String body = text.substring(first.end());
            Source source = new Source(body, JinjaTemplate.parse(firstLine("") + body));
            return new NamedTemplate(name, source, Objects.requireNonNullElse(first.group(1), ""), null, null);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String firstLine(String defaultSystem) {
        return "{%- set default_system = " + (defaultSystem.isEmpty() ? "none" : literal(defaultSystem)) + " %}\n";
    }

    /** The same template, with another that writes the conversations which this one refuses. */
    NamedTemplate with(ChatTemplate fullTemplate) {
        return new NamedTemplate(name, source, defaultSystem, fullTemplate, controls);
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public boolean isNamed(String noted) {
        return super.isNamed(noted) || (full != null && full.isNamed(noted));
    }

    /** Without the {@code generation} tags, which not every reader of Jinja knows. */
    @Override
    public String jinjaSource() {
        return firstLine(defaultSystem) + GENERATION_TAG.matcher(source.body()).replaceAll("");
    }

    @Override
    public List<String> stopTokens() {
        return usesEos() ? List.of() : List.of(answerEnd);
    }

    @Override
    public boolean reads(String variable) {
        Objects.requireNonNull(variable, "variable");
        return full != null && full.reads(variable);
    }

    @Override
    boolean usesEos() {
        return answerEnd.equals(EOS);
    }

    /** What stands behind the text of an answer and is trained with it. */
    private String answerEnd() {
        Conversation probe = Conversation.of(ChatMessage.user(PROBE), ChatMessage.assistant(PROBE));
        StringBuilder trained = new StringBuilder();
        renderTexts(probe, false).stream().filter(Segment::trained).forEach(part -> trained.append(part.text()));
        return trained.substring(trained.indexOf(PROBE) + PROBE.length()).strip();
    }

    @Override
    public ChatTemplate withDefaultSystem(String system) {
        Objects.requireNonNull(system, "system");
        return new NamedTemplate(name, source, system, full == null ? null : full.withDefaultSystem(system), controls);
    }

    private static String literal(String text) {
        return "'"
                + text.replace("\\", "\\\\")
                        .replace("'", "\\'")
                        .replace("\n", "\\n")
                        .replace("\r", "\\r")
                + "'";
    }

    @Override
    public List<Segment> render(Conversation conversation, boolean addGenerationPrompt) {
        boolean textsAlone = conversation.tools().isEmpty()
                && conversation.templateVariables().isEmpty()
                && conversation.messages().stream()
                        .allMatch(message ->
                                message.role() != Role.TOOL && message.fields().isEmpty());
        if (!textsAlone && full != null) {
            return full.render(conversation, addGenerationPrompt);
        }
        requireTexts(conversation);
        return renderTexts(conversation, addGenerationPrompt);
    }

    private List<Segment> renderTexts(Conversation conversation, boolean addGenerationPrompt) {
        List<Map<String, String>> messages = new ArrayList<>();
        for (ChatMessage message : withSystem(conversation, defaultSystem).messages()) {
            messages.add(Map.of("role", message.role().name().toLowerCase(Locale.ROOT), "content", message.content()));
        }
        SpecialTokenEscapes escapes = SpecialTokenEscapes.of(messages, source.body(), this::specials);
        Map<String, @Nullable Object> variables = new LinkedHashMap<>();
        variables.put("messages", escapes.putInto(messages));
        variables.put("bos_token", escapes.slot(BOS));
        variables.put("eos_token", escapes.slot(EOS));
        variables.put("add_generation_prompt", addGenerationPrompt);
        try {
            Rendering whole = source.jinja().render(variables, Clock.systemUTC());
            return escapes.segments(whole.text(), whole.generations());
        } catch (JinjaException e) {
            throw refused("the template " + name, e);
        }
    }

    /** The texts in a message that would be read as a special token or a slot, in order. */
    private List<String> specials(String text) {
        if (!text.contains(SLOT_HEAD)) {
            return controlsIn(text);
        }
        List<String> found = new ArrayList<>();
        Matcher slot = SLOT.matcher(text);
        int end = 0;
        while (slot.find()) {
            found.addAll(controlsIn(text.substring(end, slot.start())));
            found.add(slot.group());
            end = slot.end();
        }
        found.addAll(controlsIn(text.substring(end)));
        return found;
    }

    private List<String> controlsIn(String text) {
        return controls == null ? List.of() : controls.spelledIn(text);
    }

    @Override
    ControlTokens controls(Tokenizer ofEncoder) {
        ControlTokens known = full == null ? ofEncoder.controls() : full.controls(ofEncoder);
        return known.with(ofEncoder
                        .writtenTokens()
                        .in(String.join("\n", source.jinja().literals())))
                .with(stopTokens());
    }

    @Override
    ChatTemplate guarding(ControlTokens more) {
        return new NamedTemplate(name, source, defaultSystem, full == null ? null : full.guarding(more), more);
    }

    private void requireTexts(Conversation conversation) {
        if (!conversation.tools().isEmpty()) {
            throw new IllegalArgumentException("the template " + name + " writes no tools, but the conversation has "
                    + conversation.tools().size() + "; use a model whose own chat template writes them");
        }
        if (!conversation.templateVariables().isEmpty()) {
            throw new IllegalArgumentException("the template " + name + " has no variables, but the conversation sets "
                    + conversation.templateVariables().keySet()
                    + "; use a model whose own chat template reads them");
        }
        for (ChatMessage message : conversation.messages()) {
            if (!message.fields().isEmpty()) {
                throw new IllegalArgumentException("the template " + name + " writes texts alone, but a message has "
                        + message.fields().keySet() + "; use a model whose own chat template writes them");
            }
        }
    }
}
