package dev.finetune4j.benchmarks;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.core.text.Role;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Trains a data set once for each learning rate and says what came of it, as lines of a table: how the defaults of
 * {@link FineTuner} were found, see {@code docs/defaults.md}.
 *
 * <p>Options: {@code --model FOLDER --data FILE --method lora|qlora|full|ia3|prefix|ptuning|prompt --rates 1e-4,…} or
 * {@code default}, {@code --steps N,…} (0 for the default), {@code --warmup SHARE}, {@code --epochs X}, {@code --batch N}, {@code --rank N},
 * {@code --precision FP32|BF16}, {@code --template NAME}, {@code --limit ROWS}, {@code --length TOKENS},
 * {@code --answers N} rows that are asked afterwards, {@code --bind name=VALUE,…} for placeholders.
 */
public final class DefaultsTrials {
    private final Map<String, String> options;

    private DefaultsTrials(Map<String, String> options) {
        this.options = options;
    }

    public static void main(String[] args) {
        Map<String, String> options = new HashMap<>();
        for (int i = 0; i + 1 < args.length; i += 2) {
            options.put(args[i].substring(2), args[i + 1]);
        }
        DefaultsTrials trials = new DefaultsTrials(options);
        for (String method : trials.option("method", "lora").split(",", -1)) {
            for (String steps : trials.option("steps", "0").split(",", -1)) {
                for (String rate : trials.option("rates", "default").split(",", -1)) {
                    trials.run(method, rate, Integer.parseInt(steps));
                }
            }
        }
    }

    private String option(String name, String otherwise) {
        return options.getOrDefault(name, otherwise);
    }

    private int number(String name, int otherwise) {
        return Integer.parseInt(option(name, String.valueOf(otherwise)));
    }

    private void run(String method, String rate, int steps) {
        Dataset rows = Dataset.read(Path.of(options.get("data"))).limit(number("limit", Integer.MAX_VALUE));
        if (options.containsKey("bind")) {
            rows = rows.bind(bindings(options.get("bind")));
        }
        FineTuner.Builder builder = method(FineTuner.builder(), method)
                .model(Path.of(options.get("model")))
                .dataset(rows)
                .truncation(Truncation.SKIP)
                .maxSequenceLength(number("length", 0) == 0 ? 512 : number("length", 0))
                .device(ComputeDevice.cpu())
                .training(t -> t.batchSize(number("batch", 8)));
        if (!rate.equals("default")) {
            builder.training(t -> t.learningRate(Double.parseDouble(rate)));
        }
        if (steps > 0) {
            builder.training(t -> t.maxSteps(steps));
        }
        if (options.containsKey("warmup")) {
            builder.training(t -> t.schedule(LearningRateSchedule.cosine(), Double.parseDouble(options.get("warmup"))));
        }
        if (options.containsKey("epochs")) {
            builder.training(t -> t.epochs(Double.parseDouble(options.get("epochs"))));
        }
        if (options.containsKey("precision")) {
            builder.precision(Precision.valueOf(options.get("precision")));
        }
        if (options.containsKey("template")) {
            builder.chatTemplate(options.get("template"));
        }
        long start = System.nanoTime();
        try (FineTunedModel tuned = builder.train()) {
            double seconds = (System.nanoTime() - start) / 1e9;
            List<StepReport> done = tuned.report().steps();
            double peak =
                    done.stream().mapToDouble(StepReport::learningRate).max().orElse(0);
            System.out.printf(
                    Locale.ROOT,
                    "| %s | %s | %.1e | %d | %.3f | %.3f | %s | %.1f | %s%n",
                    method,
                    option("precision", "default"),
                    peak,
                    done.size(),
                    done.get(0).loss(),
                    mean(done.subList(Math.max(0, done.size() - 5), done.size())),
                    right(tuned, rows),
                    seconds,
                    tuned.report().warnings());
        } catch (RuntimeException e) {
            System.out.printf(
                    "| %s | %s | %s | | | | %s | |%n", method, option("precision", "default"), rate, e.getMessage());
        }
    }

    private static Map<String, String> bindings(String text) {
        Map<String, String> values = new HashMap<>();
        for (String pair : text.split(",", -1)) {
            values.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
        }
        return values;
    }

    private static double mean(List<StepReport> steps) {
        return steps.stream().mapToDouble(StepReport::loss).average().orElse(Double.NaN);
    }

    private FineTuner.Builder method(FineTuner.Builder builder, String method) {
        int rank = number("rank", 16);
        return switch (method) {
            case "lora" -> builder.lora(l -> l.rank(rank));
            case "qlora" -> builder.qlora(q -> q.rank(rank));
            case "full" -> builder.full();
            case "ia3" -> builder.ia3();
            case "prefix" -> builder.prefixTuning(16);
            case "ptuning" -> builder.pTuning(16);
            case "prompt" -> builder.promptTuning(16);
            default -> throw new IllegalArgumentException("no method " + method);
        };
    }

    /** How many of the answers that were learned are given word by word. */
    private String right(FineTunedModel tuned, Dataset rows) {
        List<Example> asked = rows.examples();
        int count = Math.min(asked.size(), number("answers", 200));
        if (count == 0) {
            return "-";
        }
        int right = 0;
        for (int i = 0; i < count; i++) {
            SftExample example = (SftExample) asked.get(i * asked.size() / count);
            List<ChatMessage> messages = example.conversation().messages();
            String question = last(messages, Role.USER);
            String answer = last(messages, Role.ASSISTANT);
            right += tuned.ask(question).strip().equals(answer.strip()) ? 1 : 0;
        }
        return right + "/" + count;
    }

    private static String last(List<ChatMessage> messages, Role role) {
        return messages.stream()
                .filter(message -> message.role() == role)
                .reduce((first, second) -> second)
                .orElseThrow()
                .content();
    }
}
