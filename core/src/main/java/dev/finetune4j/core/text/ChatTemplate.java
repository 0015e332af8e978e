package dev.finetune4j.core.text;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.text.jinja.JinjaException;
import dev.finetune4j.core.text.jinja.python.Allowance;
import java.time.Clock;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The way a family of models writes a conversation down: known by name, or the Jinja template that a checkpoint brings
 * along.
 *
 * <p>It renders a conversation as {@link Segment}s, which tell the special tokens that a template
 * writes from those that messages spell, and what is trained from what is not. {@link ChatEncoder} makes token ids of them.
 *
 * <p>Immutable.
 */
public abstract sealed class ChatTemplate permits NamedTemplate, JinjaChatTemplate {
    /** Stands for the tokenizer's begin token in the template's own text. */
    public static final String BOS = "{{bos}}";

    /** Stands for the tokenizer's end token in the template's own text. */
    public static final String EOS = "{{eos}}";

    /** All templates that have a name, in the order in which they are listed to users. */
    private static final class Named {
        static final Map<String, NamedTemplate> TEMPLATES = templates();

        private static Map<String, NamedTemplate> templates() {
            Map<String, NamedTemplate> templates = new LinkedHashMap<>();
            for (String name : List.of(
                    "yi",
                    "chatml",
                    "qwen",
                    "llama2",
                    "llama3",
                    "mistral",
                    "mistral-v0.3",
                    "gemma",
                    "zephyr",
                    "phi4",
                    "phi4_mini",
                    "granite3",
                    "glm4",
                    "cohere",
                    "olmo2",
                    "intern2",
                    "alpaca",
                    "default")) {
                templates.put(name, NamedTemplate.read(name));
            }
            return Collections.unmodifiableMap(templates);
        }
    }

    ChatTemplate() {}

    /**
     * Finds a template by its name, such as {@code qwen}.
     *
     * @throws SettingsException if no template has this name; the message lists the names
     */
    public static ChatTemplate named(String name) {
        NamedTemplate template = Named.TEMPLATES.get(name);
        if (template == null) {
            throw new SettingsException(List.of(
                    "there is no chat template named \"" + name + "\"; the names are " + String.join(", ", names())));
        }
        return template;
    }

    /** The names that {@link #named} knows. */
    public static Set<String> names() {
        return Named.TEMPLATES.keySet();
    }

    /**
     * A template in Jinja, rendered as the <a
     * href="https://huggingface.co/docs/transformers/main/en/chat_templating">transformers</a> library renders it.
     *
     * <p>What is trained is what the template's {@code generation} tags write. Without such tags it is what a
     * conversation has beyond the prompt for its answer, or, where it does not begin with that prompt, what stands in the
     * answer's place, with the token that ends it. An earlier answer that the template writes differently once
     * others follow, such as without its thoughts, is not trained; if the last answer cannot be told from the rest,
     * rendering for training refuses. So it does if no token follows an answer at which generation would stop, be it the one
     * with which the next turn begins; an answer that nothing follows gets it, though the template does not write it there.
     * Where the tokenizer's end token follows another end, both are trained.
     *
     * <p>The time that a template asks for is that of the local zone, as in Python.
     *
     * @param jinjaSource the text of the template
     * @param tokenizer gives the names of the special tokens and tells which texts are special; borrowed
     * @throws JinjaException if the template cannot be read; the message names line and column
     */
    public static ChatTemplate jinja(String jinjaSource, Tokenizer tokenizer) {
        return JinjaChatTemplate.of(Map.of(CheckpointTemplates.DEFAULT, jinjaSource), tokenizer);
    }

    /**
     * The template that a checkpoint brings along: its own in Jinja, or the named one that it is recognised as if that
     * writes and trains the same in every one of a set of conversations. The named one leaves conversations with tools
     * and other fields to the checkpoint's own, and also writes what that refuses, such as a system text.
     *
     * @param tokenizer the checkpoint's; borrowed
     * @return empty if it brings none
     * @throws ModelFileException if its template cannot be read; the message names line and column
     */
    public static Optional<ChatTemplate> ofCheckpoint(Tokenizer tokenizer) {
        return ofCheckpoint(tokenizer, Clock.system(ZoneId.systemDefault()));
    }

    static Optional<ChatTemplate> ofCheckpoint(Tokenizer tokenizer, Clock clock) {
        Optional<String> source = tokenizer.chatTemplateSource();
        if (source.isEmpty()) {
            return Optional.empty();
        }
        try {
            ChatTemplate own = JinjaChatTemplate.of(tokenizer.chatTemplates(), tokenizer, clock);
            return Optional.of(TemplateEquivalence.named(own, Named.TEMPLATES.values(), tokenizer)
                    .<ChatTemplate>map(named -> named.with(own))
                    .orElse(own));
        } catch (JinjaException e) {
            throw new ModelFileException(
                    "the checkpoint's own template cannot be read (" + e.getMessage()
                            + "); name another with chatTemplate(…): " + String.join(", ", names()),
                    e);
        }
    }

    /** The name given to {@link #named}; for a template in Jinja one that tells its text from others. */
    public abstract String name();

    /**
     * Whether a name that was noted earlier means this template: {@link #name}, or that of the checkpoint's own template
     * which this one was recognised as and writes the same as.
     */
    public boolean isNamed(String noted) {
        return noted.equals(name());
    }

    /**
     * The template as Jinja, as it stands in a {@code chat_template.jinja}: a checkpoint's own as it is there, a named one
     * in words of this library that write the same.
     */
    public abstract String jinjaSource();

    /** The texts of the tokens that end an answer, beside the tokenizer's own end token. */
    public abstract List<String> stopTokens();

    /**
     * Whether a variable of conversations counts, such as {@code enable_thinking}: whether its name stands in the template.
     * Another one changes nothing in a template in Jinja, and is refused by one of this library.
     *
     * @param variable see {@link Conversation#templateVariables()}
     */
    public abstract boolean reads(String variable);

    /**
     * The same template with another system text for conversations that have none.
     *
     * @param system empty for no system text; a template in Jinja may then write one of its own
     */
    public abstract ChatTemplate withDefaultSystem(String system);

    /**
     * Lays a conversation out.
     *
     * @param addGenerationPrompt whether to end with the text that announces an answer. Then a template in Jinja that
     *     does not let itself be told what is an answer marks nothing as trained, rather than refusing
     * @return segments in order, none of them empty
     * @throws IllegalArgumentException if the template cannot write the conversation, or not so that it is certain what
     *     is trained
     */
    public abstract List<Segment> render(Conversation conversation, boolean addGenerationPrompt);

    /**
     * The same for one of several conversations that share an allowance, exactly as written; it is for templates that are
     * programs.
     */
    List<Segment> render(Conversation conversation, boolean addGenerationPrompt, Allowance allowance) {
        return render(conversation, addGenerationPrompt);
    }

    /** Whether it ends answers with {@link #EOS}. */
    abstract boolean usesEos();

    /** The tokens that no text of a message may become in what it writes. */
    abstract ControlTokens controls(Tokenizer ofEncoder);

    /** The same template, with other tokens that no text of a message may become. */
    abstract ChatTemplate guarding(ControlTokens controls);

    /** The conversation, with a system text if it has none. */
    static Conversation withSystem(Conversation conversation, String defaultSystem) {
        if (defaultSystem.isEmpty() || conversation.system().isPresent()) {
            return conversation;
        }
        List<ChatMessage> messages = new ArrayList<>(conversation.messages());
        messages.add(0, ChatMessage.system(defaultSystem));
        return conversation.withMessages(messages);
    }

    static IllegalArgumentException refused(String template, JinjaException e) {
        String says = e.isRefusal() ? " refuses the conversation: " : " fails on the conversation: ";
        return new IllegalArgumentException(
                template + says + e.getMessage() + "; change the conversation, or name another template", e);
    }

    @Override
    public final String toString() {
        return "ChatTemplate[" + name() + "]";
    }
}
