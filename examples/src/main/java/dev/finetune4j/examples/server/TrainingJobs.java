package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.TrainingJob;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.lora.report.TrainingListeners;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Trainings that requests ask for, one at a time, on the model that is served. Thread-safe. */
final class TrainingJobs {
    private static final Logger LOG = LoggerFactory.getLogger(TrainingJobs.class);
    private static final Pattern NAME = Pattern.compile("[\\p{L}\\p{N}][\\p{L}\\p{N}._-]{0,99}");
    private static final int MAX_STEPS = 1_000_000;

    private final ServerSettings settings;
    private final Map<String, Job> jobs = new LinkedHashMap<>();

    TrainingJobs(ServerSettings settings) {
        this.settings = settings;
    }

    /** A training with what has become of it. */
    private static final class Job {
        final String name;
        final TrainingJob training;
        volatile String status = "running";
        volatile @Nullable String error;
        volatile boolean stopped;

        Job(String name, TrainingJob training) {
            this.name = name;
            this.training = training;
        }

        ObjectNode told() {
            ObjectNode told = JsonBody.MAPPER.createObjectNode();
            told.put("id", name).put("object", "training.job").put("status", status);
            told.put("phase", training.phase().name());
            training.progress().ifPresent(step -> {
                told.put("step", step.step()).put("total_steps", step.totalSteps());
                told.put("loss", step.loss()).put("epoch", step.epoch());
            });
            return told.put("error", error);
        }
    }

    private Path data() {
        Path data = settings.data();
        if (data == null) {
            throw ApiException.invalid(404, "not_found", "trainings are not switched on here");
        }
        return data;
    }

    synchronized ObjectNode list() {
        data();
        ObjectNode list = JsonBody.MAPPER.createObjectNode().put("object", "list");
        ArrayNode told = list.putArray("data");
        jobs.values().forEach(job -> told.add(job.told()));
        return list;
    }

    /** Adds to a list of runs what has become of those that were asked for here. */
    synchronized ObjectNode tell(ObjectNode runs) {
        for (JsonNode run : runs.path("data")) {
            Job job = jobs.get(run.path("id").asText());
            if (job != null) {
                ((ObjectNode) run).put("status", job.status).put("error", job.error);
            }
        }
        return runs;
    }

    synchronized ObjectNode get(String name) {
        data();
        Job job = jobs.get(name);
        if (job == null) {
            throw ApiException.invalid(404, "job_not_found", "there is no training \"" + Texts.shortened(name) + "\"");
        }
        return job.told();
    }

    synchronized ObjectNode stop(String name) {
        ObjectNode told = get(name);
        Job job = Objects.requireNonNull(jobs.get(name));
        job.stopped = true;
        job.training.stop();
        return told;
    }

    /** @throws ApiException when a field is wrong, or another training is in progress */
    synchronized ObjectNode start(ObjectNode body, ServedModel model) {
        Path data = data();
        if (jobs.values().stream().anyMatch(job -> job.status.equals("running"))) {
            throw ApiException.invalid(
                    409, "training_in_progress", "another training is in progress; stop it, or wait");
        }
        Fields fields = new Fields(body, "");
        String name = fields.requiredText("name");
        Path run = folder(name, model);
        String dataset = fields.requiredText("dataset");
        Path file = new ConfinedFolder(data)
                .find(dataset)
                .filter(Files::isRegularFile)
                .orElseThrow(() -> ApiException.invalid(
                        "dataset", "there is no file " + Texts.shortened(dataset) + " in the folder of data sets"));
        FineTuner.Builder tuner = model.tuner().dataset(file);
        settings(tuner, fields);
        fields.end();
        try {
            TrainingJob training =
                    tuner.listener(TrainingListeners.trainerLog(run)).start();
            Job job = new Job(name, training);
            jobs.put(name, job);
            training.completion().whenComplete((tuned, failure) -> ended(job, run, model, tuned, failure));
            return job.told();
        } catch (FineTune4jException | IllegalArgumentException e) {
            throw ApiException.invalid(null, String.valueOf(e.getMessage()));
        }
    }

    private Path folder(String name, ServedModel model) {
        if (!NAME.matcher(name).matches()) {
            throw ApiException.invalid(
                    "name", "a name has up to 100 letters, digits and . _ - and begins with a letter or digit");
        }
        Path run = Objects.requireNonNull(settings.runs()).resolve(name);
        boolean taken = Files.exists(run)
                || name.equals(settings.modelName())
                || model.adapters().contains(name);
        if (taken) {
            throw ApiException.invalid(
                    "name", "there is something of the name \"" + name + "\" already; choose another");
        }
        return run;
    }

    private static void settings(FineTuner.Builder tuner, Fields fields) {
        fields.refuseUnless("stage", "\"sft\"", "supervised fine-tuning alone can be asked for here");
        fields.refuseUnless("finetuning_type", "\"lora\"", "LoRA alone can be asked for here");
        int rank = number(fields, "lora_rank", 512, 8);
        tuner.lora(lora -> lora.rank(rank));
        fields.integer("cutoff_len", 1, 1 << 20).ifPresent(length -> tuner.maxSequenceLength(Math.toIntExact(length)));
        var rate = fields.number("learning_rate", Double.MIN_NORMAL, 1);
        var epochs = fields.number("num_train_epochs", Double.MIN_NORMAL, 10_000);
        var steps = fields.integer("max_steps", 1, MAX_STEPS);
        var seed = fields.integer("seed", Long.MIN_VALUE, Long.MAX_VALUE);
        int batch = number(fields, "per_device_train_batch_size", 4096, 1);
        int accumulation = number(fields, "gradient_accumulation_steps", 4096, 1);
        tuner.training(training -> {
            training.batchSize(batch).gradientAccumulation(accumulation);
            rate.ifPresent(training::learningRate);
            epochs.ifPresent(training::epochs);
            steps.ifPresent(most -> training.maxSteps(Math.toIntExact(most)));
            seed.ifPresent(training::seed);
        });
    }

    private static int number(Fields fields, String name, int most, int usual) {
        return Math.toIntExact(fields.integer(name, 1, most).orElse((long) usual));
    }

    private static void ended(
            Job job, Path run, ServedModel model, @Nullable FineTunedModel tuned, @Nullable Throwable failure) {
        if (tuned == null) {
            LOG.warn("the training {} has failed", job.name, failure);
            job.error = failure == null ? "unknown" : String.valueOf(failure.getMessage());
            job.status = "failed";
            return;
        }
        try (tuned) {
            Path adapter = run.resolve("adapter");
            tuned.save(adapter);
            model.loadAdapter(job.name, adapter);
            job.status = job.stopped ? "stopped" : "succeeded";
        } catch (RuntimeException e) {
            LOG.warn("the adapter of the training {} could not be kept", job.name, e);
            job.error = String.valueOf(e.getMessage());
            job.status = "failed";
        }
    }
}
