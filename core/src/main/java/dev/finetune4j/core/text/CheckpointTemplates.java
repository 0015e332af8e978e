package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaTemplate;
import java.time.Clock;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The Jinja templates of a checkpoint, read, with what they need to write a conversation. Immutable; it borrows the tokenizer.
 *
 * @param general for all conversations, or for those without tools
 * @param forTools for those with tools; null when the general one writes them too
 * @param tokenizer gives the special tokens by their names
 * @param controls the tokens that no text of a message may become
 * @param clock tells a template the time
 * @param observes whether calls and results are given in {@link ObservationForm}
 */
record CheckpointTemplates(
        Parsed general,
        @Nullable Parsed forTools,
        Tokenizer tokenizer,
        ControlTokens controls,
        Clock clock,
        boolean observes) {
    /** The name of the template for all purposes. */
    static final String DEFAULT = TokenizerFiles.DEFAULT;

    private static final String FOR_TOOLS = "tool_use";

    /**
     * A template that was read.
     *
     * @param source its text
     * @param guard makes messages that say nothing, to check what it writes
     */
    record Parsed(String source, JinjaTemplate jinja, TemplateInjectionGuard guard) {
        private static Parsed of(String source, JinjaTemplate jinja, ControlTokens controls) {
            return new Parsed(source, jinja, new TemplateInjectionGuard(jinja.literals(), jinja.names(), controls));
        }
    }

    /**
     * Reads them.
     *
     * @param sources by name, {@code default} among them
     * @throws dev.finetune4j.core.text.jinja.JinjaException if one cannot be read
     */
    static CheckpointTemplates parse(Map<String, String> sources, Tokenizer tokenizer, Clock clock) {
        String general = Objects.requireNonNull(sources.get(DEFAULT), DEFAULT);
        String forTools = sources.get(FOR_TOOLS);
        JinjaTemplate read = JinjaTemplate.parse(general);
        JinjaTemplate readForTools = forTools == null ? null : JinjaTemplate.parse(forTools);
        String all = forTools == null ? general : general + forTools;
        ControlTokens controls =
                tokenizer.controls().with(tokenizer.writtenTokens().in(all));
        CheckpointTemplates templates = new CheckpointTemplates(
                Parsed.of(general, read, controls),
                forTools == null || readForTools == null ? null : Parsed.of(forTools, readForTools, controls),
                tokenizer,
                controls,
                clock,
                true);
        boolean observes =
                tokenizer.isAdded(ObservationForm.TOKEN) && new TemplateProbe(templates).writesObservations();
        return observes ? templates : templates.usual();
    }

    private CheckpointTemplates usual() {
        return new CheckpointTemplates(general, forTools, tokenizer, controls, clock, false);
    }

    /** The same, with other tokens that no text of a message may become. */
    CheckpointTemplates guarding(ControlTokens others) {
        return new CheckpointTemplates(
                Parsed.of(general.source(), general.jinja(), others),
                forTools == null ? null : Parsed.of(forTools.source(), forTools.jinja(), others),
                tokenizer,
                others,
                clock,
                observes);
    }

    /** The text of all of them. */
    String sources() {
        return forTools == null ? general.source() : general.source() + forTools.source();
    }

    /** The one for conversations with tools or without. */
    Parsed of(boolean withTools) {
        return withTools && forTools != null ? forTools : general;
    }

    /** Whether a name stands in one of them. */
    boolean reads(String variable) {
        return general.jinja().names().contains(variable)
                || (forTools != null && forTools.jinja().names().contains(variable));
    }
}
