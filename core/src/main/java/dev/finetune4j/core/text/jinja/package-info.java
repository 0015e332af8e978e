/**
 * An interpreter for the <a href="https://jinja.palletsprojects.com/en/stable/templates/">Jinja</a> templates with which
 * checkpoints lay conversations out, set up as the transformers library sets Jinja 3.1 up: {@code trim_blocks} and
 * {@code lstrip_blocks} on, loop controls, no escaping, Python's JSON, and the {@code generation} tag.
 *
 * <p>A template comes with a download, so it is foreign code. It sees nothing but the values that it was given and the
 * interpreter's own objects, it cannot change what it was given, nothing is reached by reflection, and a {@code
 * Budget} ends what would not end by itself. What the interpreter does not know, it
 * refuses with line and column; it never guesses, since a wrong text trains a wrong model in silence.
 *
 * <p>Here is the language; its values and what can be done with them are Python's, in {@link
 * dev.finetune4j.core.text.jinja.python}.
 *
 * <p>Reading order: {@link dev.finetune4j.core.text.jinja.JinjaTemplate}, {@code Lexer}, {@code Parser} and {@code
 * ExpressionParser}, the trees {@code Statement} and {@code Expression}, then {@code Interpreter} and {@code Evaluator}.
 * Only {@code core.text} imports this package; it imports only the exceptions of {@code core} and its own
 * {@code python}.
 */
@NullMarked
package dev.finetune4j.core.text.jinja;

import org.jspecify.annotations.NullMarked;
