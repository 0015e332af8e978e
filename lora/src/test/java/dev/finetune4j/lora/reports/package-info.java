/**
 * Checkpoints and adapters as people have them: each folder holds one input that some tool stumbles over, and in {@code
 * expected.json} the right outcome.
 *
 * <p>Reading order: {@code ReportsTest}, {@code ReportFolder}, {@code ReportRules} with the rules by what lies in a
 * folder, and the checks of each rule.
 */
package dev.finetune4j.lora.reports;
