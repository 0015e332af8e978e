/**
 * What shows a training: {@link dev.finetune4j.lora.report.ProgressLine} while it runs,
 * {@link dev.finetune4j.lora.report.LossCurve} afterwards, and {@link dev.finetune4j.lora.report.TrainingListeners} for logs that other tools read,
 * early stopping and the best state. Imports the listener and the reports of {@code lora.train};
 * applications import it.
 */
@NullMarked
package dev.finetune4j.lora.report;

import org.jspecify.annotations.NullMarked;
