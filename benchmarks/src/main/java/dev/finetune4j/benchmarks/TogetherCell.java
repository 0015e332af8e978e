package dev.finetune4j.benchmarks;

import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.quant.QuantSettings;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Trainings, one after another, beside threads that chat with another load of the same checkpoint. Answers are compared with those
 * before the first training, losses with those of a training alone, whose own spread two trainings alone show.
 */
final class TogetherCell {
    private static final int TOKENS = 60;
    private static final int SHOWN = 160;
    private static final List<String> QUESTIONS = List.of(
            "Tell me a long story about a river, a mountain and a fisherman who lost his way.",
            "你好,请介绍一下你自己。",
            "What is the capital of Japan?",
            "One two three four five six seven");

    private final RealTraining.Task task;
    private final int chats;
    private final GenerationSettings settings =
            GenerationSettings.greedy().toBuilder().maxNewTokens(TOKENS).build();
    private final AtomicInteger same = new AtomicInteger();
    private final AtomicInteger other = new AtomicInteger();
    private final Map<String, Integer> failures = new ConcurrentSkipListMap<>();
    private volatile boolean ended;

    /**
     * @param task a training
     * @param chats threads that chat
     */
    TogetherCell(RealTraining.Task task, int chats) {
        this.task = task;
        this.chats = chats;
    }

    /** @param seconds for which trainings are begun */
    Map<String, Object> run(int seconds) {
        List<RealTraining.Step> alone = RealTraining.run(task).steps();
        double spread = difference(alone, RealTraining.run(task).steps());
        double worst = 0;
        int trainings = 0;
        int tokens = 0;
        try (LanguageModel model = LanguageModel.loader(task.model())
                .device(task.device())
                .quantize(QuantSettings.nf4())
                .chatTemplate(task.chatTemplate())
                .load()) {
            List<String> expected =
                    QUESTIONS.stream().map(question -> answer(model, question)).toList();
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < chats; i++) {
                threads.add(new Thread(() -> chat(model, expected), "chat " + i));
            }
            threads.forEach(Thread::start);
            long end = System.nanoTime() + seconds * 1_000_000_000L;
            try {
                while (System.nanoTime() < end) {
                    List<RealTraining.Step> steps = RealTraining.run(task).steps();
                    worst = Math.max(worst, difference(alone, steps));
                    trainings++;
                    tokens = (int) RealTraining.tokensPerSecond(steps);
                }
            } catch (FineTune4jException e) {
                failed("training", e);
            }
            ended = true;
            threads.forEach(TogetherCell::join);
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("chats", chats);
        line.put("trainings", trainings);
        line.put("tokens_per_s", tokens);
        line.put("largest_loss_difference", worst);
        line.put("of_two_alone", spread);
        line.put("answers_same", same.get());
        line.put("answers_other", other.get());
        line.put("failures", failures);
        return line;
    }

    private void chat(LanguageModel model, List<String> expected) {
        while (!ended) {
            for (int i = 0; i < QUESTIONS.size() && !ended; i++) {
                try {
                    (answer(model, QUESTIONS.get(i)).equals(expected.get(i)) ? same : other).incrementAndGet();
                } catch (RuntimeException e) {
                    failed("chat", e);
                    return;
                }
            }
        }
    }

    private void failed(String who, RuntimeException e) {
        String text = who + ": " + e;
        failures.merge(text.substring(0, Math.min(SHOWN, text.length())), 1, Integer::sum);
    }

    private String answer(LanguageModel model, String question) {
        try (ChatSession chat = model.chat(settings)) {
            return chat.send(question);
        }
    }

    private static void join(Thread thread) {
        try {
            thread.join();
        } catch (InterruptedException e) {
            throw new IllegalStateException("interrupted while the chats end", e);
        }
    }

    /** The largest relative difference of the losses of a step. */
    private static double difference(List<RealTraining.Step> expected, List<RealTraining.Step> actual) {
        double largest = 0;
        for (int i = 0; i < expected.size(); i++) {
            double loss = expected.get(i).loss();
            largest = Math.max(largest, Math.abs(actual.get(i).loss() - loss) / loss);
        }
        return largest;
    }
}
