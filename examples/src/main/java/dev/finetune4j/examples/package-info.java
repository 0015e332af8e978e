/**
 * Programs to run and to read: {@link dev.finetune4j.examples.QuickStart} is the whole story in one class,
 * {@code cli} the command line, {@code server} the server of the OpenAI API, and {@code basemodel} the recipe of the bundled model.
 *
 * <p>Read {@code QuickStart} first. Imports all four library modules; nothing imports this module.
 */
@NullMarked
package dev.finetune4j.examples;

import org.jspecify.annotations.NullMarked;
