/**
 * The comparison with the reference numbers that the Python libraries wrote.
 *
 * <p>{@link dev.finetune4j.lora.reference.ReferenceCollection} finds the cases of a folder, one class per kind lists and
 * checks them, and {@code ReferenceParityTest} runs them all.
 */
@NullMarked
package dev.finetune4j.lora.reference;

import org.jspecify.annotations.NullMarked;
