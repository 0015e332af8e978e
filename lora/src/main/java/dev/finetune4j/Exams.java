package dev.finetune4j;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.lora.eval.EvalTask;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Measures the model in training by tasks between two steps. It answers on a thread of its own, because the training's enqueues on a
 * stream that belongs to its passes; the training waits meanwhile.
 *
 * @param tasks what is asked
 * @param base the loaded model
 * @param adapter what is trained of it; null for the model itself
 * @param stepTokens tokens of the largest micro-batch, whose memory they may take
 */
record Exams(
        List<EvalTask> tasks, LanguageModel base, @Nullable Adapter adapter, long stepTokens)
        implements Supplier<Map<String, Double>> {
    /** The figures by name, {@code exam/…}. */
    @Override
    public Map<String, Double> get() {
        CompletableFuture<Map<String, Double>> done = new CompletableFuture<>();
        Thread examinee = new Thread(
                () -> {
                    try {
                        done.complete(ask());
                    } catch (RuntimeException | Error e) {
                        done.completeExceptionally(e);
                    }
                },
                "finetune4j-exam");
        examinee.setDaemon(true);
        examinee.start();
        try {
            // Whoever interrupts the training interrupts the training, not the questions.
            return done.join();
        } catch (CompletionException e) {
            throw e.getCause() instanceof RuntimeException failure
                    ? failure
                    : new FineTune4jException("an exam failed: " + e.getCause(), e.getCause());
        }
    }

    private Map<String, Double> ask() {
        // A view of its own, because what was made ready for answers before has older weights.
        Adapter view = adapter == null ? null : new Adapter(base, adapter.peft());
        Examinee model = Examinee.of(base, view, stepTokens);
        Map<String, Double> figures = new LinkedHashMap<>();
        for (EvalTask task : tasks) {
            figures.put("exam/" + task.name(), task.run(model).value());
        }
        return figures;
    }
}
