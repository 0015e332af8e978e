package dev.finetune4j.core.text.jinja.python;

/**
 * Text marked as needing no escape in HTML. Chat templates escape nothing, so it is the text itself wherever it is
 * written; what Jinja would escape when it is joined to other text is refused.
 *
 * @param text as it is written
 */
public record SafeText(String text) {}
