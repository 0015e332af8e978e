package dev.finetune4j.lora.report;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/** Writes {@code trainer_log.jsonl} in the field names of LLaMA-Factory, and metrics in those of TRL. Holds no file open between two lines. */
final class TrainerLog implements TrainingListener {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path file;
    private long tokens;
    private Duration elapsed = Duration.ZERO;
    private Duration remaining = Duration.ZERO;

    TrainerLog(Path folder) {
        file = folder.resolve("trainer_log.jsonl");
    }

    @Override
    public void onStart(int totalSteps, long trainableParameters) {
        write("", StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
    }

    /** Writes the lines of what was before anew: those of steps after the checkpoint, which are done again, are gone. */
    @Override
    public void onResume(TrainingReport.History before) {
        int told = 0;
        for (StepReport step : before.steps()) {
            told = tell(before.evaluations(), told, step.step());
            tell(step);
        }
        tell(before.evaluations(), told, Integer.MAX_VALUE);
    }

    /** Tells evaluations after earlier steps. */
    private int tell(List<TrainingReport.Evaluation> evaluations, int from, int step) {
        int next = from;
        while (next < evaluations.size() && evaluations.get(next).step() < step) {
            tell(evaluations.get(next));
            next++;
        }
        return next;
    }

    @Override
    public void onStep(StepReport report, Control control) {
        tell(report);
    }

    private void tell(StepReport report) {
        tokens += report.throughput().tokens();
        elapsed = report.timing().elapsed();
        remaining = report.timing().remaining();
        Map<String, Object> line = progress(report.step(), report.totalSteps());
        putNumber(line, "loss", report.loss());
        Double accuracy = report.metrics().get("rewards/accuracies");
        if (accuracy != null) {
            putNumber(line, "accuracy", accuracy);
        }
        new TreeMap<>(report.metrics()).forEach((name, value) -> putNumber(line, name, value));
        putNumber(line, "lr", report.learningRate());
        append(line, report.epoch(), report.step(), report.totalSteps());
    }

    @Override
    public void onEvaluation(TrainingReport.Evaluation evaluation, Control control) {
        tell(evaluation);
    }

    private void tell(TrainingReport.Evaluation evaluation) {
        Map<String, Object> line = progress(evaluation.step(), evaluation.totalSteps());
        putNumber(line, "eval_loss", evaluation.loss());
        new TreeMap<>(evaluation.metrics()).forEach((name, value) -> putNumber(line, "eval_" + name, value));
        append(line, evaluation.epoch(), evaluation.step(), evaluation.totalSteps());
    }

    private static Map<String, Object> progress(int step, int totalSteps) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("current_steps", step);
        line.put("total_steps", totalSteps);
        return line;
    }

    /** JSON has no NaN; a loss that is none is left out. */
    private static void putNumber(Map<String, Object> line, String name, double value) {
        if (Double.isFinite(value)) {
            line.put(name, value);
        }
    }

    private void append(Map<String, Object> line, double epoch, int step, int totalSteps) {
        line.put("epoch", epoch);
        line.put("percentage", round(100.0 * step / totalSteps));
        line.put("elapsed_time", clock(elapsed));
        line.put("remaining_time", clock(remaining));
        if (!elapsed.isZero()) {
            line.put("throughput", round(tokens / (elapsed.toNanos() / 1e9)));
        }
        line.put("total_tokens", tokens);
        try {
            write(JSON.writeValueAsString(line) + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e); // of numbers and strings
        }
    }

    private static double round(double value) {
        return Math.round(value * 100) / 100.0;
    }

    /** As Python prints a timedelta of whole seconds. */
    private static String clock(Duration time) {
        String clock = String.format(
                Locale.ROOT, "%d:%02d:%02d", time.toHoursPart(), time.toMinutesPart(), time.toSecondsPart());
        long days = time.toDays();
        return days == 0 ? clock : days + (days == 1 ? " day, " : " days, ") + clock;
    }

    private void write(String text, OpenOption... options) {
        try {
            Files.createDirectories(file.toAbsolutePath().getParent());
            Files.write(file, text.getBytes(StandardCharsets.UTF_8), options);
        } catch (IOException e) {
            throw new FineTune4jException(
                    file + ": the log could not be written (" + e + "); check space and rights", e);
        }
    }
}
