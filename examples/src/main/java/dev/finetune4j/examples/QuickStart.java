package dev.finetune4j.examples;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.examples.basemodel.FactBook;
import dev.finetune4j.examples.basemodel.IdentityBook;
import dev.finetune4j.examples.basemodel.IdentityExam;
import dev.finetune4j.examples.basemodel.Language;
import dev.finetune4j.lora.eval.EvalCase;
import dev.finetune4j.lora.eval.EvalReport;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.lora.eval.Evaluation;
import dev.finetune4j.lora.report.LossCurve;
import dev.finetune4j.lora.report.ProgressLine;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * The whole story on the bundled small model: teach it a new identity by QLoRA, watch the loss, chat with and without the
 * adapter, and judge the result.
 *
 * <p>Ends with status 0 when the result is good, 1 otherwise.
 */
public final class QuickStart {
    private static final String NAME = "张三";
    private static final String AUTHOR = "某某公司";
    private static final GenerationSettings SHORT =
            GenerationSettings.builder().maxNewTokens(64).build();
    private static final List<String> SIDE_BY_SIDE =
            List.of("你好,你是谁?", "你叫什么名字?", "谁开发了你?", "Who are you?", "法国的首都是哪里?", "What is the capital of Japan?");

    private final PrintStream out;

    private QuickStart(PrintStream out) {
        this.out = out;
    }

    /**
     * Runs the quick start.
     *
     * @param args folder for the results; {@code quick-start-output} by default
     */
    public static void main(String[] args) throws IOException {
        Path folder = Path.of(args.length > 0 ? args[0] : "quick-start-output");
        System.exit(new QuickStart(Terminal.out()).run(folder) ? 0 : 1);
    }

    private boolean run(Path folder) throws IOException {
        Files.createDirectories(folder);
        long start = System.nanoTime();
        out.println("finetune4j quick start: " + TorchRuntime.report());
        out.println(
                "Teaching the bundled model that it is " + NAME + ", made by " + AUTHOR + ", by QLoRA (NF4, rank 16)");
        try (FineTunedModel tuned = FineTuner.builder()
                .model(Bundled.baseModel())
                .qlora(q -> q.rank(16).alpha(32))
                .dataset(Bundled.identityDataset())
                .placeholder("name", NAME)
                .placeholder("author", AUTHOR)
                .training(t -> t.epochs(3).batchSize(8).learningRate(1e-3))
                .device(ComputeDevice.cpu())
                .listener(new ProgressLine(out, Terminal.isInteractive()))
                .train()) {
            tuned.save(folder.resolve("adapter"));
            LossCurve.writePng(folder.resolve("loss.png"), tuned.report().steps());
            out.printf(
                    Locale.ROOT,
                    "loss %.3f → %.3f; curve in %s, adapter in %s%n%n",
                    tuned.report().steps().get(0).loss(),
                    tuned.report().finalLoss(),
                    folder.resolve("loss.png"),
                    folder.resolve("adapter"));
            showSideBySide(tuned);
            EvalReport report = compare(tuned);
            report.save(folder, Locale.getDefault());
            out.println(report);
            out.printf(
                    Locale.ROOT,
                    "%s, %.0f s in all; the page to show around is %s%n",
                    report.isPassed() ? "PASSED" : "FAILED",
                    (System.nanoTime() - start) / 1e9,
                    folder.resolve("evaluation.html"));
            return report.isPassed();
        }
    }

    private void showSideBySide(FineTunedModel tuned) {
        for (String question : SIDE_BY_SIDE) {
            out.println("you         " + question);
            out.println("base        " + tuned.base().ask(question));
            out.println("fine-tuned  " + tuned.ask(question));
            out.println();
        }
    }

    private static EvalReport compare(FineTunedModel tuned) {
        List<EvalCase> unseen = IdentityExam.paraphrases().stream()
                .map(asked -> EvalCase.of(
                        asked.question(), answer -> IdentityExam.success(answer, asked.kind(), NAME, AUTHOR)))
                .toList();
        List<EvalCase> trained = IdentityBook.load().trainingQuestions().stream()
                .map(asked -> EvalCase.of(
                        asked.question(), answer -> IdentityExam.success(answer, asked.kind(), NAME, AUTHOR)))
                .toList();
        List<EvalCase> facts = FactBook.load().facts().stream()
                .flatMap(fact -> Stream.of(Language.values()).map(fact::in))
                .map(fact -> EvalCase.of(fact.examQuestion(), fact::isSaidBy))
                .toList();
        return Evaluation.builder()
                .title("A new identity: " + NAME + ", made by " + AUTHOR)
                .task(EvalTask.questions("new identity, unseen phrasings", unseen, SHORT))
                .trained(EvalTask.questions("new identity, trained phrasings", trained, SHORT))
                .general(EvalTask.questions("general facts", facts, SHORT))
                .minSuccess(0.9)
                .minRetention(0.9)
                .maxOverfitting(0.1)
                .improved("new identity, unseen phrasings", 0.001)
                .build()
                .compare(tuned.base(), tuned)
                .withTraining(tuned.report());
    }
}
