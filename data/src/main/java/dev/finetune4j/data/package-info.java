/**
 * Files and objects to token batches: what stands between a user's data and the training loop.
 *
 * <p>A {@link dev.finetune4j.data.Dataset} holds examples and where each came from. Below it, {@code data.source} reads
 * rows from files, {@code data.format} makes examples of rows, and {@code data.batch} makes ids and labels of examples
 * and deals them out, shuffled and padded, one optimizer step at a time; a {@link dev.finetune4j.data.DataReport} says
 * what became of the data. Whatever is wrong with it is a {@link dev.finetune4j.data.DatasetException} that names file
 * and row; no text is dropped or changed silently.
 *
 * <p>Reading order: {@code Dataset}, {@code Example}, {@code source.SourceFile}, {@code format.ExampleReader},
 * {@code format.RowReader}, {@code batch.SftEncoder}, {@code batch.Batch}, {@code batch.BatchLoader}. The module imports {@code core.text},
 * {@code core.json} and the exceptions of {@code core}; {@code lora} (not {@code lora.adapter} and {@code lora.export})
 * and the programs may import it. Tensors are unknown here: a batch is plain Java arrays.
 */
@NullMarked
package dev.finetune4j.data;

import org.jspecify.annotations.NullMarked;
