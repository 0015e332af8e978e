/**
 * Task files: what to do, in YAML or JSON, with the keys of
 * <a href="https://github.com/hiyouga/LLaMA-Factory">LLaMA-Factory</a>. {@link dev.finetune4j.examples.task.TaskFile} reads one and
 * finds all of its mistakes; {@code task-keys.txt} beside it says what becomes of each key, and docs/task-file-keys.md is the same as a
 * table.
 */
@NullMarked
package dev.finetune4j.examples.task;

import org.jspecify.annotations.NullMarked;
