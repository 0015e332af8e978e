package dev.finetune4j.core.text;

import dev.finetune4j.core.SettingsException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;

/**
 * The way a family of models writes a conversation down, known by name.
 *
 * <p>It renders a conversation as {@link Segment}s, which tell the template's own text from that of the messages and
 * what is trained from what is not. {@link ChatEncoder} makes token ids of them.
 *
 * <p>A result of a tool stands in a turn of its own where the models have one, otherwise in a user turn.
 *
 * <p>Immutable.
 */
public final class ChatTemplate {
    /** Stands for the tokenizer's begin token in the template's own text. */
    public static final String BOS = "{{bos}}";

    /** Stands for the tokenizer's end token in the template's own text. */
    public static final String EOS = "{{eos}}";

    private final String name;
    private final TemplateFormat format;
    private final String defaultSystem;

    private ChatTemplate(String name, TemplateFormat format, String defaultSystem) {
        this.name = name;
        this.format = format;
        this.defaultSystem = defaultSystem;
    }

    /**
     * Finds a template by its name, such as {@code qwen}.
     *
     * @throws SettingsException if no template has this name; the message lists the names
     */
    public static ChatTemplate named(String name) {
        TemplateFormat format = TemplateFormat.TABLE.get(name);
        if (format == null) {
            throw new SettingsException(List.of("there is no chat template named \"" + name + "\"; the names are "
                    + String.join(", ", TemplateFormat.TABLE.keySet())));
        }
        return new ChatTemplate(name, format, format.defaultSystem());
    }

    /** The names that {@link #named} knows. */
    public static Set<String> names() {
        return TemplateFormat.TABLE.keySet();
    }

    /**
     * Recognises the named template that writes what a checkpoint's own Jinja template writes for conversations of
     * text.
     *
     * @param jinjaSource as in {@link Tokenizer#chatTemplateSource()}
     * @return empty unless it is sure; then the user should name one
     */
    public static Optional<ChatTemplate> detect(String jinjaSource) {
        return TemplateDetector.detect(jinjaSource).map(ChatTemplate::named);
    }

    /** The name given to {@link #named}. */
    public String name() {
        return name;
    }

    /** The texts of the tokens that end an answer, beside the tokenizer's own end token. */
    public List<String> stopTokens() {
        return format.stopTokens();
    }

    /**
     * The same template with another system text for conversations that have none.
     *
     * @param system empty for no system text
     */
    public ChatTemplate withDefaultSystem(String system) {
        return new ChatTemplate(name, format, Objects.requireNonNull(system, "system"));
    }

    /**
     * Lays a conversation out.
     *
     * @param addGenerationPrompt whether to end with the text that announces an answer
     * @return segments in order, none of them empty
     * @throws IllegalArgumentException if the system text has to stand in the first user message and there is none
     */
    public List<Segment> render(Conversation conversation, boolean addGenerationPrompt) {
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

    boolean usesEos() {
        return format.answer().end().contains(EOS);
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

    @Override
    public String toString() {
        return "ChatTemplate[" + name + "]";
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
