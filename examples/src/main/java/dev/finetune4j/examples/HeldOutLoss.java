package dev.finetune4j.examples;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport.Evaluation;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.UnaryOperator;

/**
 * A short training of the bundled model with a part of the rows held out, and what it did to the loss on these.
 *
 * @param before on the held-out rows before anything was trained
 * @param after at the end
 * @param answer to "你叫什么名字?" at the end
 */
record HeldOutLoss(Evaluation before, Evaluation after, String answer) {
    static final String NAME = "张三";
    static final String AUTHOR = "某某公司";
    private static final double HELD_OUT = 0.2;
    private static final String QUESTION = "你叫什么名字?";

    /** The rows of the new identity. */
    static Dataset identity(String name, String author) {
        return Dataset.read(Bundled.identityDataset()).bind(Map.of("name", name, "author", author));
    }

    /**
     * Trains and measures.
     *
     * @param choices method and objective of the training
     * @param steps of the optimizer, with 8 rows each
     */
    static HeldOutLoss train(Dataset rows, UnaryOperator<FineTuner.Builder> choices, int steps) {
        Dataset.Split split = rows.split(HELD_OUT, 1);
        FineTuner.Builder builder = FineTuner.builder()
                .model(Bundled.baseModel())
                .dataset(split.train())
                .evaluation(split.heldOut())
                .training(t -> t.maxSteps(steps).batchSize(8).evaluationSteps(steps))
                .device(ComputeDevice.cpu())
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport report, Control control) {
                        if (report.step() == 1) {
                            // The first step of the warm-up has a learning rate of 0.
                            control.evaluate();
                        }
                    }
                });
        try (FineTunedModel tuned = choices.apply(builder).train()) {
            List<Evaluation> evaluations = tuned.report().evaluations();
            return new HeldOutLoss(evaluations.get(0), evaluations.get(evaluations.size() - 1), tuned.ask(QUESTION));
        }
    }

    /** A line for people. */
    String describe(String name) {
        return String.format(
                Locale.ROOT,
                "%-22s held-out loss %6.3f → %6.3f   %s %s",
                name,
                before.loss(),
                after.loss(),
                QUESTION,
                answer);
    }
}
