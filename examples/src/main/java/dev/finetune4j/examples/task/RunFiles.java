package dev.finetune4j.examples.task;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.io.AtomicFile;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Writes what a training came to under the names of transformers and LLaMA-Factory. Stateless. */
final class RunFiles {
    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    private RunFiles() {}

    /**
     * Writes {@code train_results.json}, {@code eval_results.json} if there were evaluations, {@code all_results.json} and {@code
     * trainer_state.json}.
     *
     * @param examplesPerStep of all processes
     * @return what all_results.json holds
     */
    static Map<String, Object> write(Path folder, TrainingReport report, int examplesPerStep) {
        Map<String, Object> train = train(report, examplesPerStep);
        Map<String, Object> all = new TreeMap<>(train);
        write(folder.resolve("train_results.json"), train);
        if (!report.evaluations().isEmpty()) {
            Map<String, Object> eval =
                    evaluation(report.evaluations().get(report.evaluations().size() - 1));
            write(folder.resolve("eval_results.json"), eval);
            all.putAll(eval);
        }
        write(folder.resolve("all_results.json"), all);
        write(folder.resolve("trainer_state.json"), state(report));
        return all;
    }

    /** Deletes what an earlier training came to. */
    static void delete(Path folder) {
        try {
            for (String name : List.of(
                    "train_results.json",
                    "eval_results.json",
                    "all_results.json",
                    "trainer_state.json",
                    "training_loss.png",
                    "training_eval_loss.png")) {
                Files.deleteIfExists(folder.resolve(name));
            }
        } catch (IOException e) {
            throw new FineTune4jException(
                    "the results of an earlier training in " + folder + " cannot be deleted (" + e
                            + "); check its rights",
                    e);
        }
    }

    private static Map<String, Object> train(TrainingReport report, int examplesPerStep) {
        List<StepReport> steps = report.steps();
        double seconds = report.duration().toNanos() / 1e9;
        Map<String, Object> results = new TreeMap<>();
        put(
                results,
                "train_loss",
                steps.stream().mapToDouble(StepReport::loss).average().orElse(Double.NaN));
        results.put("train_runtime", round(seconds, 1e4));
        put(results, "train_samples_per_second", round(steps.size() * examplesPerStep / seconds, 1e3));
        put(results, "train_steps_per_second", round(steps.size() / seconds, 1e3));
        results.put(
                "num_input_tokens_seen",
                steps.stream().mapToLong(step -> step.throughput().tokens()).sum());
        if (!steps.isEmpty()) {
            put(results, "epoch", steps.get(steps.size() - 1).epoch());
        }
        return results;
    }

    private static Map<String, Object> evaluation(TrainingReport.Evaluation evaluation) {
        Map<String, Object> results = new TreeMap<>();
        put(results, "epoch", evaluation.epoch());
        put(results, "eval_loss", evaluation.loss());
        put(results, "perplexity", evaluation.perplexity());
        evaluation.metrics().forEach((name, value) -> put(results, "eval_" + name, value));
        results.put("eval_runtime", round(evaluation.duration().toNanos() / 1e9, 1e4));
        return results;
    }

    private static Map<String, Object> state(TrainingReport report) {
        List<Map<String, Object>> history = new ArrayList<>();
        int told = 0;
        for (StepReport step : report.steps()) {
            history.add(line(step));
            while (told < report.evaluations().size()
                    && report.evaluations().get(told).step() <= step.step()) {
                TrainingReport.Evaluation evaluation = report.evaluations().get(told++);
                Map<String, Object> line = evaluation(evaluation);
                line.put("step", evaluation.step());
                history.add(line);
            }
        }
        Map<String, Object> state = new LinkedHashMap<>();
        if (!report.steps().isEmpty()) {
            StepReport last = report.steps().get(report.steps().size() - 1);
            put(state, "epoch", last.epoch());
            state.put("global_step", last.step());
            state.put("max_steps", last.totalSteps());
        }
        state.put("log_history", history);
        return state;
    }

    private static Map<String, Object> line(StepReport step) {
        Map<String, Object> line = new TreeMap<>();
        put(line, "epoch", step.epoch());
        put(line, "grad_norm", step.gradNorm());
        put(line, "learning_rate", step.learningRate());
        put(line, "loss", step.loss());
        line.put("step", step.step());
        return line;
    }

    /** JSON has no NaN; a value that is none is left out. */
    private static void put(Map<String, Object> values, String name, double value) {
        if (Double.isFinite(value)) {
            values.put(name, value);
        }
    }

    private static double round(double value, double places) {
        return Math.round(value * places) / places;
    }

    private static void write(Path file, Map<String, Object> content) {
        try {
            AtomicFile.write(file, JSON.writeValueAsBytes(content));
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e); // of numbers and strings
        } catch (IOException e) {
            throw new FineTune4jException(file + " could not be written (" + e + "); check space and rights", e);
        }
    }
}
