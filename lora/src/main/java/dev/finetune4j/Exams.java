package dev.finetune4j;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.lora.eval.EvalSuite;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Asks the model in training questions between two steps. It answers on a thread of its own, because the training's enqueues on a
 * stream that belongs to its passes; the training waits meanwhile.
 *
 * @param suites what is asked
 * @param base the loaded model
 * @param adapter what is trained of it; null for the model itself
 */
record Exams(
        List<EvalSuite> suites,
        LanguageModel base,
        @Nullable Adapter adapter) implements Supplier<Map<String, Double>> {
    /** The share of right answers by name, {@code exam/…}. */
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
        ChatModel model = adapter == null ? base : new Adapter(base, adapter.peft());
        Map<String, Double> shares = new LinkedHashMap<>();
        for (EvalSuite suite : suites) {
            shares.put("exam/" + suite.name(), suite.run(model).accuracy());
        }
        return shares;
    }
}
