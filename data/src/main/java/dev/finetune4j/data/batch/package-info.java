/**
 * From examples to batches: encoder, collator and loader. Internal: the training loop calls it.
 *
 * <p>Reading order: {@code SftEncoder}, {@code ExampleEncoder}, {@code ComparisonEncoder}, {@code EncodedSequence}, {@code EncodedExample}, {@code Collator}, {@code Batch}, {@code RowPacker}, {@code BatchLoader}.
 */
@NullMarked
package dev.finetune4j.data.batch;

import org.jspecify.annotations.NullMarked;
