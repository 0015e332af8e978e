package dev.finetune4j.core.text.jinja.python;

/**
 * An object whose attributes a template may set, even from inside a loop.
 *
 * @param attributes by name
 */
public record Namespace(Dict attributes) {}
