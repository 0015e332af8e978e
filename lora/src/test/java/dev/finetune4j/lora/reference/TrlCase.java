package dev.finetune4j.lora.reference;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.data.batch.EncodedSequence.Kind;
import dev.finetune4j.lora.objective.AnswerLoss;
import dev.finetune4j.lora.objective.Cpo;
import dev.finetune4j.lora.objective.Dpo;
import dev.finetune4j.lora.objective.Hinge;
import dev.finetune4j.lora.objective.Ipo;
import dev.finetune4j.lora.objective.Kto;
import dev.finetune4j.lora.objective.KtoObjective;
import dev.finetune4j.lora.objective.MeanOfMicroBatches;
import dev.finetune4j.lora.objective.Objective;
import dev.finetune4j.lora.objective.Orpo;
import dev.finetune4j.lora.objective.PairLoss;
import dev.finetune4j.lora.objective.PreferenceObjective;
import dev.finetune4j.lora.objective.ReferenceScores;
import dev.finetune4j.lora.objective.RobustDpo;
import dev.finetune4j.lora.objective.SftObjective;
import dev.finetune4j.lora.objective.SimPo;
import dev.finetune4j.lora.objective.StartCheck;
import dev.finetune4j.lora.objective.WithSft;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.lora.train.ScheduleNames;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A training that TRL recorded.
 *
 * @param folder with settings, batches, adapters and numbers
 * @param settings settings.json
 */
record TrlCase(Path folder, JsonNode settings) {
    static TrlCase read(Path folder) {
        return new TrlCase(folder, TestData.json(folder.resolve("settings.json")));
    }

    String method() {
        return settings.path("method").asText();
    }

    int microBatch() {
        return settings.path("per_device_train_batch_size").asInt();
    }

    int accumulation() {
        return settings.path("gradient_accumulation_steps").asInt();
    }

    TrainingSettings training() {
        double steps = settings.path("steps").asDouble();
        return TrainingSettings.builder()
                .epochs(settings.path("epochs").asDouble())
                .batchSize(microBatch())
                .gradientAccumulation(accumulation())
                .learningRate(settings.path("learning_rate").asDouble())
                .schedule(
                        ScheduleNames.schedule(
                                settings.path("lr_scheduler_type").asText(), settings.path("no_arguments")),
                        settings.path("warmup_steps").asInt() / steps)
                .weightDecay(settings.path("weight_decay").asDouble())
                .optimizer(new Optimizer.AdamW(
                        settings.path("adam_beta1").asDouble(),
                        settings.path("adam_beta2").asDouble(),
                        settings.path("adam_epsilon").asDouble()))
                .maxGradNorm(settings.path("max_grad_norm").asDouble())
                .build();
    }

    /** What TRL minimized, with the arithmetic of its own. */
    Objective objective(@Nullable CausalLM reference, @Nullable ReferenceScores known) {
        return objective(reference, Communicator.alone(), known);
    }

    /** The same on one of several ranks. */
    Objective objective(@Nullable CausalLM reference, Communicator ranks, @Nullable ReferenceScores known) {
        JsonNode trl = settings.path("trl");
        double beta = trl.path("beta").asDouble();
        return switch (method()) {
            case "sft" -> new SftObjective();
            case "kto" ->
                new MeanOfMicroBatches(new KtoObjective(
                        new Kto(
                                beta,
                                trl.path("desirable_weight").asDouble(),
                                trl.path("undesirable_weight").asDouble()),
                        reference,
                        new StartCheck(false),
                        ranks,
                        known));
            case "orpo" -> pairs(new Orpo(beta, AnswerLoss.TOKENS_WITH_PROMPTS), null, null);
            case "cpo" -> pairs(cpo(trl, beta), null, null);
            case "dpo" -> pairs(dpo(trl, beta), reference, known);
            default -> throw new AssertionError(folder + ": no objective for " + method());
        };
    }

    private static Objective pairs(PairLoss loss, @Nullable CausalLM reference, @Nullable ReferenceScores known) {
        return new MeanOfMicroBatches(new PreferenceObjective(loss, reference, new StartCheck(false), known));
    }

    private static PairLoss cpo(JsonNode trl, double beta) {
        double smoothing = trl.path("label_smoothing").asDouble();
        String type = trl.path("loss_type").asText("sigmoid");
        PairLoss loss = switch (type) {
            case "simpo" -> new SimPo(beta, trl.path("simpo_gamma").asDouble());
            case "sigmoid" -> new Cpo(beta, smoothing);
            default -> throw new AssertionError("no CPO loss for " + type);
        };
        double alpha = trl.path("cpo_alpha").asDouble(1);
        return alpha == 0 ? loss : new WithSft(loss, alpha, AnswerLoss.TOKENS);
    }

    private static PairLoss dpo(JsonNode trl, double beta) {
        double smoothing = trl.path("label_smoothing").asDouble();
        JsonNode types = trl.path("loss_type");
        String type = types.isArray() ? types.path(0).asText() : types.asText();
        JsonNode weights = trl.path("loss_weights");
        PairLoss loss = switch (type) {
            // TRL does not heed its smoothing here.
            case "sigmoid" -> Dpo.of(beta);
            case "robust" -> new RobustDpo(beta, smoothing);
            // For one pair alone, as recorded.
            case "aot" -> new Dpo(beta, smoothing);
            case "hinge" -> new Hinge(beta);
            case "ipo" -> new Ipo(beta);
            default -> throw new AssertionError("no DPO loss for " + type);
        };
        if (types.size() < 2) {
            return loss;
        }
        if (types.size() > 2
                || !types.path(1).asText().equals("sft")
                || weights.path(0).asDouble() != 1) {
            throw new AssertionError("no DPO loss for " + types + " with the weights " + weights);
        }
        return new WithSft(loss, weights.path(1).asDouble(), AnswerLoss.TOKENS);
    }

    JsonNode log() {
        return TestData.json(folder.resolve("golden.json")).path("log");
    }

    /** The rows of the first epoch, in the order of the training. */
    List<EncodedExample> examples() {
        int steps = settings.path("steps").asInt() / settings.path("epochs").asInt();
        List<EncodedExample> examples = new ArrayList<>();
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("batches.safetensors"))) {
            for (int step = 0; step < steps; step++) {
                int micro = settings.path("micro_batches_per_step").path(step).asInt();
                for (int i = 0; i < micro; i++) {
                    examples.addAll(examples(file, "step" + step + ".micro" + i + "."));
                }
            }
        }
        return examples;
    }

    private List<EncodedExample> examples(SafetensorsFile file, String micro) {
        return switch (method()) {
            case "sft" ->
                rows(file, micro, "", "labels", Kind.TARGET).stream()
                        .map(row -> new EncodedExample(List.of(row)))
                        .toList();
            case "dpo" -> {
                List<EncodedSequence> rows = rows(file, micro, "", "completion_mask", Kind.CHOSEN);
                int pairs = rows.size() / 2;
                yield pairs(rows.subList(0, pairs), ofKind(rows.subList(pairs, 2 * pairs), Kind.REJECTED));
            }
            case "kto" -> {
                long[] good = TensorData.longs(file, micro + "label");
                List<EncodedSequence> answers = new ArrayList<>();
                for (EncodedSequence row : rows(file, micro, "", "completion_mask", Kind.DESIRABLE)) {
                    boolean desirable = good[answers.size()] == 1;
                    answers.addAll(ofKind(List.of(row), desirable ? Kind.DESIRABLE : Kind.UNDESIRABLE));
                }
                yield pairs(answers, rows(file, micro, "KL_", "completion_mask", Kind.MISMATCHED));
            }
            default ->
                pairs(
                        rows(file, micro, "chosen_", "labels", Kind.CHOSEN),
                        rows(file, micro, "rejected_", "labels", Kind.REJECTED));
        };
    }

    private static List<EncodedSequence> ofKind(List<EncodedSequence> rows, Kind kind) {
        return rows.stream()
                .map(row -> new EncodedSequence(row.inputIds(), row.labels(), kind))
                .toList();
    }

    private static List<EncodedExample> pairs(List<EncodedSequence> first, List<EncodedSequence> second) {
        List<EncodedExample> pairs = new ArrayList<>();
        for (int i = 0; i < first.size(); i++) {
            pairs.add(new EncodedExample(List.of(first.get(i), second.get(i))));
        }
        return pairs;
    }

    /** The rows of a micro-batch without their padding, labels moved to the positions that predict them. */
    private static List<EncodedSequence> rows(
            SafetensorsFile file, String micro, String side, String learned, Kind kind) {
        long[] shape = file.info(micro + side + "input_ids").shape();
        int length = Math.toIntExact(shape[1]);
        long[] ids = TensorData.longs(file, micro + side + "input_ids");
        long[] there = TensorData.longs(file, micro + side + "attention_mask");
        long[] marks = TensorData.longs(file, micro + side + learned);
        long unlearned = learned.equals("labels") ? Labels.IGNORE : 0;
        List<EncodedSequence> rows = new ArrayList<>();
        for (int row = 0; row < shape[0]; row++) {
            int start = row * length;
            int count = (int) Arrays.stream(there, start, start + length).sum();
            int[] tokens = Arrays.stream(ids, start, start + count)
                    .mapToInt(Math::toIntExact)
                    .toArray();
            int[] labels = new int[count];
            for (int i = 0; i < count; i++) {
                boolean wanted = i + 1 < count && marks[start + i + 1] != unlearned;
                labels[i] = wanted ? tokens[i + 1] : Labels.IGNORE;
            }
            rows.add(new EncodedSequence(tokens, labels, kind));
        }
        return rows;
    }

    /** What {@code micro} of the log calls the log-probabilities of the first and the second of each pair. */
    Map.Entry<String, String> logProbNames() {
        return method().equals("kto") ? Map.entry("logps", "kl_logps") : Map.entry("logps_chosen", "logps_rejected");
    }
}
