package dev.finetune4j.benchmarks;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.quant.QuantSettings;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A training on one GPU and chats on another in one process: the speed of each alone and of both together, in one line of JSON, with what
 * failed.
 *
 * <p>Arguments: {@code --model folder --data rows.json --template llama2 --steps 60 --alone-steps 60 --chats 4 --train 0 --chat 1}.
 */
public final class TwoGpuCell {
    private static final int TOKENS = 64;
    private static final int SHOWN = 160;
    private static final int SECONDS_ALONE = 20;
    private static final int SECONDS_OF_WARM_UP = 3;
    private static final long NANOS = 1_000_000_000L;

    private final AtomicLong answers = new AtomicLong();
    private final AtomicLong others = new AtomicLong();
    private final Map<String, Integer> failures = new ConcurrentSkipListMap<>();
    private final GenerationSettings settings =
            GenerationSettings.greedy().toBuilder().maxNewTokens(TOKENS).build();
    private volatile boolean ended;

    private TwoGpuCell() {}

    public static void main(String[] args) throws IOException, InterruptedException {
        System.out.println(new ObjectMapper().writeValueAsString(new TwoGpuCell().measure(args)));
    }

    private Map<String, Object> measure(String[] args) throws InterruptedException {
        int steps = Integer.parseInt(TrainCells.option(args, "--steps", "60"));
        int aloneSteps = Integer.parseInt(TrainCells.option(args, "--alone-steps", String.valueOf(steps)));
        RealTraining.Task task = task(args, steps);
        double alone = speed(task(args, aloneSteps), aloneSteps);
        try (LanguageModel model = LanguageModel.loader(task.model())
                .device(ComputeDevice.cuda(Integer.parseInt(TrainCells.option(args, "--chat", "1"))))
                .quantize(QuantSettings.nf4())
                .chatTemplate(task.chatTemplate())
                .load()) {
            List<Thread> chats = new ArrayList<>();
            int count = Integer.parseInt(TrainCells.option(args, "--chats", "4"));
            for (int i = 0; i < count; i++) {
                String question = "What do you know about the number " + i + "?";
                chats.add(new Thread(() -> chat(model, question), "chat " + i));
            }
            chats.forEach(Thread::start);
            Thread.sleep(SECONDS_OF_WARM_UP * 1000L);
            long before = answers.get();
            Thread.sleep(SECONDS_ALONE * 1000L);
            double answersAlone = (answers.get() - before) / (double) SECONDS_ALONE;
            before = answers.get();
            long start = System.nanoTime();
            double beside = speed(task, steps);
            double seconds = (System.nanoTime() - start) / (double) NANOS;
            double answersBeside = (answers.get() - before) / seconds;
            ended = true;
            for (Thread chat : chats) {
                chat.join();
            }
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("part", "two-gpus");
            line.put("training_alone_tokens_per_s", Math.round(alone));
            line.put("training_beside_tokens_per_s", Math.round(beside));
            line.put("training_ratio", RealCells.rounded(beside / alone));
            line.put("answers_alone_per_s", RealCells.rounded(answersAlone));
            line.put("answers_beside_per_s", RealCells.rounded(answersBeside));
            line.put("answers_ratio", RealCells.rounded(answersBeside / answersAlone));
            line.put("answers_changed", others.get());
            line.put("s_together", RealCells.rounded(seconds));
            line.put("failures", failures);
            return line;
        }
    }

    private static RealTraining.Task task(String[] args, int steps) {
        return new RealTraining.Task(
                Path.of(TrainCells.option(args, "--model", "/dev/shm/llama-6b")),
                ComputeDevice.cuda(Integer.parseInt(TrainCells.option(args, "--train", "0"))),
                Dataset.read(Path.of(TrainCells.option(args, "--data", "extra/data/alpaca_en_demo.json"))),
                TrainCells.option(args, "--template", "llama2"),
                512,
                0,
                t -> t.maxSteps(steps).batchSize(8));
    }

    /** Tokens per second of the second half of the steps, when everything is warm. */
    private double speed(RealTraining.Task task, int steps) {
        try {
            List<RealTraining.Step> all = RealTraining.run(task).steps();
            return RealTraining.tokensPerSecond(all.subList(steps / 2, steps));
        } catch (RuntimeException e) {
            failed("training", e);
            return Double.NaN;
        }
    }

    private void chat(LanguageModel model, String question) {
        try {
            String expected = answer(model, question);
            while (!ended) {
                if (!answer(model, question).equals(expected)) {
                    others.incrementAndGet();
                }
                answers.incrementAndGet();
            }
        } catch (RuntimeException e) {
            failed("chat", e);
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
}
