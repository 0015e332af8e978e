/**
 * Checkpoints of a training on disk; nothing here is for applications.
 *
 * <p>{@link dev.finetune4j.lora.train.checkpoint.CheckpointFolder} is the folder that holds them, claimed by one training at a time. A
 * checkpoint, {@code checkpoint-120}, is what is trained in the format that others read (PEFT's, or a Hugging Face model), and beside it
 * {@code trainer_state.json} with transformers' fields, {@code resume.json} with what else a training goes on from, {@code trainer_state.safetensors} with the
 * master weights and the optimizer's tensors, and {@code run.json}. It appears under its name complete, and the length and checksum of
 * each file tell later whether it still is. {@link dev.finetune4j.lora.train.checkpoint.CheckpointWriter} writes them beside the
 * training. {@link dev.finetune4j.lora.train.checkpoint.RecordJson} is how settings become JSON, and records again. Imports {@code
 * core}, {@code data} and the reports of {@code lora.train}; {@code lora.train.loop} and the facade import it.
 */
@NullMarked
package dev.finetune4j.lora.train.checkpoint;

import org.jspecify.annotations.NullMarked;
