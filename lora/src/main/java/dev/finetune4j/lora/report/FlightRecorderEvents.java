package dev.finetune4j.lora.report;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import jdk.jfr.Category;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** Commits an event of Java Flight Recorder for each step and evaluation. */
final class FlightRecorderEvents implements TrainingListener {
    @Name("dev.finetune4j.TrainingStep")
    @Label("Training Step")
    @Category("finetune4j")
    @StackTrace(false)
    static final class TrainingStep extends Event {
        @Label("Step")
        int step;

        @Label("Total Steps")
        int totalSteps;

        @Label("Loss")
        double loss;

        @Label("Gradient Norm")
        double gradNorm;

        @Label("Learning Rate")
        double learningRate;

        @Label("Tokens")
        int tokens;

        @Label("Tokens Per Second")
        double tokensPerSecond;
    }

    @Name("dev.finetune4j.Evaluation")
    @Label("Evaluation")
    @Category("finetune4j")
    @StackTrace(false)
    static final class Evaluation extends Event {
        @Label("Step")
        int step;

        @Label("Loss")
        double loss;

        @Label("Terms")
        long terms;
    }

    @Override
    public void onStep(StepReport report, Control control) {
        TrainingStep event = new TrainingStep();
        if (event.shouldCommit()) {
            event.step = report.step();
            event.totalSteps = report.totalSteps();
            event.loss = report.loss();
            event.gradNorm = report.gradNorm();
            event.learningRate = report.learningRate();
            event.tokens = report.throughput().tokens();
            event.tokensPerSecond = report.throughput().tokensPerSecond();
            event.commit();
        }
    }

    @Override
    public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
        Evaluation event = new Evaluation();
        if (event.shouldCommit()) {
            event.step = evaluation.step();
            event.loss = evaluation.loss();
            event.terms = evaluation.terms();
            event.commit();
        }
    }
}
