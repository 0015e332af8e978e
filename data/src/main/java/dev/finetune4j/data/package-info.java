/**
 * Files and objects to token batches: what stands between a user's data and the training loop.
 *
 * <p>A {@link dev.finetune4j.data.Dataset} holds conversations and where each came from; {@link
 * dev.finetune4j.data.SftEncoder} turns them into ids and labels and says in a {@link dev.finetune4j.data.DataReport}
 * what became of them; {@link dev.finetune4j.data.BatchLoader} deals them out, shuffled and padded, one optimizer step
 * at a time. Whatever is wrong with the data is a {@link dev.finetune4j.data.DatasetException} that names file and row;
 * no text is dropped or changed silently.
 *
 * <p>Reading order: {@code SftExample}, {@code Dataset} with {@code DatasetFile} and {@code AlpacaRow} behind it,
 * {@code SftEncoder}, {@code EncodedExample}, {@code Batch}, {@code BatchLoader}. The package imports {@code core.text}, {@code core.json}
 * and the exceptions of {@code core}; {@code lora} (not {@code lora.adapter} and
 * {@code lora.export}) and the programs may import it. Tensors are unknown here: a batch is
 * plain Java arrays.
 */
@NullMarked
package dev.finetune4j.data;

import org.jspecify.annotations.NullMarked;
