package dev.finetune4j.core.text.jinja;

/**
 * An object whose attributes a template may set, even from inside a loop.
 *
 * @param attributes by name
 */
record Namespace(Dict attributes) {}
