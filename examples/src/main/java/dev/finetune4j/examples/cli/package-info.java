/**
 * The command line {@code finetune4j}: {@link dev.finetune4j.examples.cli.Finetune4j} with one class for each subcommand. Results go to
 * the standard output, as text or with {@code --json} as one JSON object; progress and errors to the standard error. Exit codes: 0 done, 1
 * failed, 2 wrong usage or a task file with mistakes, 3 memory does not suffice, 4 an evaluation that misses its limits, 130 and 143 stopped by
 * Ctrl-C and by SIGTERM.
 */
@NullMarked
package dev.finetune4j.examples.cli;

import org.jspecify.annotations.NullMarked;
