/**
 * Training on several processes at once, each with a GPU of its own or a part of the CPU's cores: data parallel.
 *
 * <p>All run the same program. {@link dev.finetune4j.lora.parallel.DataParallel} says which of them this one is, by the environment
 * variables of torchrun, and goes to {@code FineTuner.Builder.dataParallel}; its {@code launch} starts the processes of one machine. Every step trains the same examples as one process with a batch size so many times as large, shared out by
 * tokens, and the gradients are added up once; the result is the same but for rounding. Rank 0 alone has listeners and writes. When a rank
 * ends or hangs, the others end within seconds with a {@link dev.finetune4j.core.RankLostException} that names it.
 *
 * <p>Nobody asks the network unless a program calls {@code dataParallel}.
 */
@NullMarked
package dev.finetune4j.lora.parallel;

import org.jspecify.annotations.NullMarked;
