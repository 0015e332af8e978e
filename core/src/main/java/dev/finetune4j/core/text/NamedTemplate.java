package dev.finetune4j.core.text;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A template of the table in {@link TemplateFormat}. It writes conversations of texts; those with tools, their results
 * or further fields of messages are left to the checkpoint's own template. Where there is none, it writes results as
 * texts and refuses the others.
 *
 * <p>A result of a tool stands in a turn of its own where the models have one, otherwise in a user turn.
 */
final class NamedTemplate extends ChatTemplate {
    private final String name;
    private final TemplateFormat format;
    private final String defaultSystem;
    private final @Nullable ChatTemplate full;

    /**
     * A template of the table.
     *
     * @param full writes the conversations that this one refuses; null if nothing does
     */
    NamedTemplate(String name, TemplateFormat format, String defaultSystem, @Nullable ChatTemplate full) {
        this.name = name;
        this.format = format;
        this.defaultSystem = defaultSystem;
        this.full = full;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String jinjaSource() {
        return TemplateSource.of(format, defaultSystem);
    }

    @Override
    public List<String> stopTokens() {
        return format.stopTokens();
    }

    @Override
    public ChatTemplate withDefaultSystem(String system) {
        return new NamedTemplate(
                name,
                format,
                Objects.requireNonNull(system, "system"),
                full == null ? null : full.withDefaultSystem(system));
    }

    @Override
    public List<Segment> render(Conversation conversation, boolean addGenerationPrompt) {
        boolean textsAlone = conversation.tools().isEmpty()
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
        List<ChatMessage> messages = conversation.messages();
        boolean ownSystem = conversation.system().isPresent();
        Optional<String> system = systemText(conversation);
        Layout layout = new Layout();
        layout.markup(format.prefix(), false);
        if (system.isPresent() && !format.systemInUser()) {
            layout.block(format.system(), trimmed(system.get()));
        }
        for (int i = ownSystem ? 1 : 0; i < messages.size(); i++) {
            ChatMessage message = messages.get(i);
            switch (message.role()) {
                case USER -> {
                    user(layout, message.content(), format.systemInUser() ? system : Optional.empty());
                    system = Optional.empty();
                }
                case ASSISTANT -> answer(layout, message.content());
                case TOOL -> tool(layout, messages, i);
                case SYSTEM -> throw new AssertionError("a system message at place " + i);
            }
        }
        if (format.systemInUser() && ownSystem && messages.size() == 1) {
            throw new IllegalArgumentException("the template " + name
                    + " writes the system text into the first user message, but the conversation has no user message");
        }
        if (addGenerationPrompt) {
            layout.markup(format.answer().open(), false);
        }
        return List.copyOf(layout.segments);
    }

    @Override
    boolean usesEos() {
        return format.answer().end().contains(EOS);
    }

    @Override
    ControlTokens controls(Tokenizer ofEncoder) {
        ControlTokens known = full == null ? ofEncoder.controls() : full.controls(ofEncoder);
        return known.with(ofEncoder.writtenTokens().in(format.texts())).with(format.stopTokens());
    }

    /** Its segments tell the messages' texts from its own. */
    @Override
    ChatTemplate guarding(ControlTokens controls) {
        return full == null ? this : new NamedTemplate(name, format, defaultSystem, full.guarding(controls));
    }

    private Optional<String> systemText(Conversation conversation) {
        if (conversation.system().isPresent()) {
            return conversation.system();
        }
        return defaultSystem.isEmpty() ? Optional.empty() : Optional.of(defaultSystem);
    }

    private void user(Layout layout, String content, Optional<String> fusedSystem) {
        layout.markup(format.user().open(), false);
        // The published templates trim the turn as a whole: with a system text in front, what is left of the message is
        // no longer at an edge, and a block that is white space alone disappears.
        boolean fused = fusedSystem.isPresent()
                && !(format.trims() && format.system().open().isEmpty() && Whitespace.isBlank(fusedSystem.get()));
        if (fused) {
            layout.block(format.system(), trimmed(fusedSystem.get()));
            layout.content(format.trims() ? Whitespace.stripTrailing(content) : content, false);
        } else {
            layout.content(trimmed(content), false);
        }
        layout.markup(format.user().close(), false);
    }

    private void answer(Layout layout, String content) {
        TemplateFormat.Answer answer = format.answer();
        layout.markup(answer.open(), false);
        layout.markup(answer.lead(), true);
        layout.content(trimmed(content), true);
        layout.markup(answer.end(), true);
        layout.markup(answer.separator(), false);
    }

    private void tool(Layout layout, List<ChatMessage> messages, int index) {
        boolean first = messages.get(index - 1).role() != Role.TOOL;
        boolean last = index + 1 == messages.size() || messages.get(index + 1).role() != Role.TOOL;
        layout.markup(first ? format.tool().open() : format.tool().between(), false);
        layout.content(trimmed(messages.get(index).content()), false);
        if (last) {
            layout.markup(format.tool().close(), false);
        }
    }

    private String trimmed(String content) {
        return format.trims() ? Whitespace.strip(content) : content;
    }

    private void requireTexts(Conversation conversation) {
        if (!conversation.tools().isEmpty()) {
            throw new IllegalArgumentException("the template " + name + " writes no tools, but the conversation has "
                    + conversation.tools().size() + "; use a model whose own chat template writes them");
        }
        for (ChatMessage message : conversation.messages()) {
            if (!message.fields().isEmpty()) {
                throw new IllegalArgumentException("the template " + name + " writes texts alone, but a message has "
                        + message.fields().keySet() + "; use a model whose own chat template writes them");
            }
        }
    }

    /** Segments in the making. */
    private static final class Layout {
        final List<Segment> segments = new ArrayList<>();

        void block(TemplateFormat.Block block, String content) {
            markup(block.open(), false);
            content(content, false);
            markup(block.close(), false);
        }

        void markup(String text, boolean trained) {
            add(text, false, trained);
        }

        void content(String text, boolean trained) {
            add(text, true, trained);
        }

        private void add(String text, boolean content, boolean trained) {
            if (!text.isEmpty()) {
                segments.add(new Segment(text, content, trained));
            }
        }
    }
}
