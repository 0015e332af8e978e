/**
 * What an application uses: {@link dev.finetune4j.FineTuner} to train, {@link dev.finetune4j.FineTunedModel} to use
 * the result at once, {@link dev.finetune4j.LanguageModel} and {@link dev.finetune4j.Adapter} to use it later.
 *
 * <p>This package is the wiring: it alone sees {@code core}, {@code quant}, {@code data}, {@code lora.adapter},
 * {@code lora.train}, {@code lora.plan} and {@code lora.export} together; applications import it. No signature here shows a native tensor.
 * Reading order: {@code FineTuner.Builder}, {@code TuningChoices}, {@code FineTuning}, {@code TrainingRun}, {@code lora.train.loop.Trainer}, {@code lora.eval.Evaluation}.
 */
@NullMarked
package dev.finetune4j;

import org.jspecify.annotations.NullMarked;
