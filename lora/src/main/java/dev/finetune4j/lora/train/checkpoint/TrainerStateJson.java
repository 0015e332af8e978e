package dev.finetune4j.lora.train.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A {@link TrainerState} as two files: {@code trainer_state.json} with the fields of transformers, which reads it too, and whose tools
 * draw curves from {@code log_history}; and {@code resume.json} with what they have no place for.
 */
final class TrainerStateJson {
    /** Raised when a reader of the one before would go on wrongly. */
    private static final int FORMAT = 1;

    /** What the names of an evaluation's figures begin with, as in transformers. */
    private static final String EVAL = "eval_";

    private static final Set<String> EVALUATION_FIELDS = Set.of("eval_loss", "eval_terms", "eval_runtime_nanos");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Set<String> STEP_FIELDS = Set.of(
            "step",
            "epoch",
            "loss",
            "grad_norm",
            "learning_rate",
            "num_target_tokens",
            "num_tokens",
            "tokens_per_second",
            "elapsed_nanos",
            "remaining_nanos");

    private TrainerStateJson() {}

    static ObjectNode write(TrainerState state, String prefix) {
        ObjectNode node = JSON.createObjectNode();
        node.put("global_step", state.step());
        node.put("max_steps", state.totalSteps());
        node.put("epoch", (double) state.step() / state.stepsPerEpoch());
        state.best().ifPresent(best -> {
            node.put("best_metric", best.loss());
            node.put("best_global_step", best.step());
            node.put("best_model_checkpoint", prefix + best.step());
        });
        ArrayNode log = node.putArray("log_history");
        state.history().steps().forEach(step -> log.add(write(step)));
        state.history().evaluations().forEach(evaluation -> log.add(write(evaluation)));
        return node;
    }

    /** What transformers' fields leave out. */
    static ObjectNode rest(TrainerState state) {
        ObjectNode ours = JSON.createObjectNode();
        ours.put("format", FORMAT);
        ours.put("updates", state.updates());
        ours.put("steps_per_epoch", state.stepsPerEpoch());
        ours.put("data_epoch", state.position().epoch());
        ours.put("data_next", state.position().next());
        ours.put("dropout_seed", state.dropoutSeed());
        ours.put("dropout_pass", state.dropoutPass());
        ours.put("elapsed_nanos", state.history().elapsed().toNanos());
        ArrayNode skipped = ours.putArray("skipped");
        state.history().skipped().forEach(step -> skipped.add(write(step)));
        return ours;
    }

    private static ObjectNode write(StepReport step) {
        ObjectNode node = JSON.createObjectNode();
        node.put("step", step.step());
        node.put("epoch", step.epoch());
        put(node, "loss", step.loss());
        put(node, "grad_norm", step.gradNorm());
        put(node, "learning_rate", step.learningRate());
        step.metrics().forEach((name, value) -> put(node, name, value));
        node.put("num_target_tokens", step.throughput().targetTokens());
        node.put("num_tokens", step.throughput().tokens());
        put(node, "tokens_per_second", step.throughput().tokensPerSecond());
        node.put("elapsed_nanos", step.timing().elapsed().toNanos());
        node.put("remaining_nanos", step.timing().remaining().toNanos());
        return node;
    }

    private static ObjectNode write(TrainingReport.Evaluation evaluation) {
        ObjectNode node = JSON.createObjectNode();
        node.put("step", evaluation.step());
        node.put("epoch", evaluation.epoch());
        put(node, "eval_loss", evaluation.loss());
        evaluation.metrics().forEach((name, value) -> put(node, EVAL + name, value));
        node.put("eval_terms", evaluation.terms());
        node.put("eval_runtime_nanos", evaluation.duration().toNanos());
        return node;
    }

    private static ObjectNode write(TrainingReport.NonFinite step) {
        ObjectNode node = JSON.createObjectNode();
        node.put("step", step.step());
        put(node, "loss", step.loss());
        put(node, "grad_norm", step.gradNorm());
        ArrayNode sequences = node.putArray("sequences");
        step.sequences().forEach(ids -> {
            ArrayNode list = sequences.addArray();
            ids.forEach(list::add);
        });
        return node;
    }

    /** JSON has no NaN and no infinity; they are texts. */
    private static void put(ObjectNode node, String name, double value) {
        if (Double.isFinite(value)) {
            node.put(name, value);
        } else {
            node.put(name, Double.toString(value));
        }
    }

    /**
     * Reads what {@link #write} and {@link #rest} gave.
     *
     * @param folder for messages
     * @throws ModelFileException when it is something else, or of a later format
     */
    static TrainerState read(Path folder, ObjectNode node, ObjectNode ours) {
        if (ours.path("format").asInt() != FORMAT) {
            throw new ModelFileException(folder + " has the format " + ours.path("format") + ", but this version reads "
                    + FORMAT + "; go on with the version of the library that wrote it");
        }
        Fields fields = new Fields(folder);
        int totalSteps = fields.integer(node, "max_steps");
        List<StepReport> steps = new ArrayList<>();
        List<TrainingReport.Evaluation> evaluations = new ArrayList<>();
        for (JsonNode entry : node.path("log_history")) {
            if (entry.has("eval_loss")) {
                evaluations.add(evaluation(fields, entry, totalSteps));
            } else {
                steps.add(step(fields, entry, totalSteps));
            }
        }
        List<TrainingReport.NonFinite> skipped = new ArrayList<>();
        ours.path("skipped").forEach(entry -> skipped.add(skipped(fields, entry)));
        return new TrainerState(
                fields.integer(ours, "updates"),
                totalSteps,
                fields.integer(ours, "steps_per_epoch"),
                new BatchLoader.Position(fields.integer(ours, "data_epoch"), fields.integer(ours, "data_next")),
                fields.whole(ours, "dropout_seed"),
                fields.integer(ours, "dropout_pass"),
                new TrainingReport.History(
                        fields.integer(node, "global_step"),
                        steps,
                        skipped,
                        evaluations,
                        Duration.ofNanos(fields.whole(ours, "elapsed_nanos"))));
    }

    private static TrainingReport.Evaluation evaluation(Fields fields, JsonNode entry, int totalSteps) {
        return new TrainingReport.Evaluation(
                fields.integer(entry, "step"),
                totalSteps,
                fields.number(entry, "epoch"),
                fields.number(entry, "eval_loss"),
                metrics(fields, entry, EVAL, EVALUATION_FIELDS),
                fields.whole(entry, "eval_terms"),
                Duration.ofNanos(fields.whole(entry, "eval_runtime_nanos")));
    }

    /** The fields that have a beginning and no other meaning. */
    private static Map<String, Double> metrics(Fields fields, JsonNode entry, String prefix, Set<String> others) {
        Map<String, Double> metrics = new LinkedHashMap<>();
        entry.properties().forEach(field -> {
            String name = field.getKey();
            if (name.startsWith(prefix) && !others.contains(name)) {
                metrics.put(name.substring(prefix.length()), fields.number(entry, name));
            }
        });
        return metrics;
    }

    private static StepReport step(Fields fields, JsonNode entry, int totalSteps) {
        return new StepReport(
                fields.integer(entry, "step"),
                totalSteps,
                fields.number(entry, "epoch"),
                fields.number(entry, "loss"),
                fields.number(entry, "grad_norm"),
                fields.number(entry, "learning_rate"),
                metrics(fields, entry, "", STEP_FIELDS),
                new StepReport.Throughput(
                        fields.integer(entry, "num_target_tokens"),
                        fields.integer(entry, "num_tokens"),
                        fields.number(entry, "tokens_per_second")),
                new StepReport.Timing(
                        Duration.ofNanos(fields.whole(entry, "elapsed_nanos")),
                        Duration.ofNanos(fields.whole(entry, "remaining_nanos"))));
    }

    private static TrainingReport.NonFinite skipped(Fields fields, JsonNode entry) {
        List<List<Integer>> sequences = new ArrayList<>();
        for (JsonNode list : entry.path("sequences")) {
            List<Integer> ids = new ArrayList<>();
            list.forEach(id -> ids.add(id.asInt()));
            sequences.add(ids);
        }
        return new TrainingReport.NonFinite(
                fields.integer(entry, "step"),
                fields.number(entry, "loss"),
                fields.number(entry, "grad_norm"),
                sequences);
    }

    /** Reads fields that have to be there. */
    private record Fields(Path folder) {
        int integer(JsonNode node, String name) {
            return Math.toIntExact(whole(node, name));
        }

        long whole(JsonNode node, String name) {
            JsonNode value = node.path(name);
            if (!value.canConvertToLong() || !value.isIntegralNumber()) {
                throw wrong(name, value, "a whole number");
            }
            return value.longValue();
        }

        double number(JsonNode node, String name) {
            JsonNode value = node.path(name);
            if (value.isTextual()) {
                return switch (value.textValue()) {
                    case "NaN" -> Double.NaN;
                    case "Infinity" -> Double.POSITIVE_INFINITY;
                    case "-Infinity" -> Double.NEGATIVE_INFINITY;
                    default -> throw wrong(name, value, "a number");
                };
            }
            if (!value.isNumber()) {
                throw wrong(name, value, "a number");
            }
            return value.doubleValue();
        }

        private ModelFileException wrong(String name, JsonNode found, String expected) {
            return new ModelFileException(folder + ": " + name + " is " + (found.isMissingNode() ? "missing" : found)
                    + ", expected " + expected + "; a file was changed or is of another version");
        }
    }
}
