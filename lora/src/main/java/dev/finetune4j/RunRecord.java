package dev.finetune4j;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.kind.StoredAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.checkpoint.JsonDifferences;
import dev.finetune4j.lora.train.checkpoint.RecordJson;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What {@code run.json} says of a training: all of its settings, what it was trained on, and with what it was computed, so that it can be
 * repeated, and told apart from another. Immutable.
 *
 * @param model folder of the base
 * @param baseFingerprint {@code ModelFiles.fingerprint} of the base
 * @param start hash of the weights of the adapter whose training was continued; null for a new one
 * @param data the examples
 * @param settings of the training, with what was left open filled in
 */
record RunRecord(
        Path model, String baseFingerprint, @Nullable String start, Data data, Settings settings) {
    private static final int FORMAT = 1;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final RecordJson RECORDS = new RecordJson(Map.of(AdapterSettings.class, AdapterKinds.settings()));

    private static final String ENCODING = "encoding.";
    private static final String PACKING = "encoding.packing";

    /** The parts of the settings that are the same on all ranks. */
    private static final List<String> SHARED = List.of("method", "objective", "training");

    /** What may change when a training goes on, by the beginnings of its paths. */
    private static final List<String> FREE = List.of(
            "objective.call",
            "method.continued",
            ENCODING,
            "training.epochs",
            "training.maxSteps",
            "training.maxSkippedSteps",
            "training.evaluationSteps",
            "training.batchSize",
            "training.gradientAccumulation",
            "compute.device.",
            "compute.threads",
            "compute.processes",
            "compute.activationCheckpointing");

    /**
     * The examples of a training.
     *
     * @param examples how many there are
     * @param fingerprint {@code EncodedDataset.fingerprint}
     */
    record Data(int examples, String fingerprint) {}

    /**
     * All settings.
     *
     * @param compute how it was computed
     */
    record Settings(
            TuningMethod method,
            TuningObjective objective,
            FineTuning.Encoding encoding,
            TrainingSettings training,
            Compute compute) {}

    /**
     * How a training was computed.
     *
     * @param threads of an operation on the CPU
     * @param processes that trained together, each with the batch size
     */
    record Compute(
            ComputeDevice device,
            Precision precision,
            int threads,
            int processes,
            ActivationCheckpointing activationCheckpointing) {}

    /** The record of a run as it is planned. */
    static RunRecord of(TrainingPlan planner, EncodedDataset data, TrainingSettings settings, MemoryPlan plan) {
        FineTuning tuning = planner.tuning();
        int threads = tuning.compute().threads();
        return new RunRecord(
                planner.folder().path(),
                planner.folder().files().fingerprint(),
                start(tuning.method().continued()),
                new Data(data.size(), data.fingerprint()),
                new Settings(
                        tuning.method(),
                        tuning.objective(),
                        tuning.encoding(),
                        settings,
                        new Compute(
                                planner.device(),
                                planner.placement().precision(),
                                threads > 0 ? threads : TorchRuntime.threads(),
                                tuning.compute().ranks(),
                                plan.activations())));
    }

    private static @Nullable String start(@Nullable Path continued) {
        if (continued == null) {
            return null;
        }
        Path weights = continued.resolve(StoredAdapter.WEIGHTS);
        try (DigestInputStream in =
                new DigestInputStream(Files.newInputStream(weights), MessageDigest.getInstance("SHA-256"))) {
            in.transferTo(OutputStream.nullOutputStream());
            return HexFormat.of().formatHex(in.getMessageDigest().digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every Java has it
        } catch (IOException e) {
            throw new ModelFileException(weights + " cannot be read: " + e, e);
        }
    }

    /**
     * The settings that a record says.
     *
     * @param file names it in messages
     */
    static Settings settings(Path file, JsonNode record) {
        return RECORDS.read(file + ": settings", record.path("settings"), Settings.class);
    }

    /** The content of {@code run.json}. */
    byte[] content(RunResult result) {
        ObjectNode node = JSON.createObjectNode();
        node.put("format", FORMAT);
        ObjectNode versions = node.putObject("versions");
        versions.put("finetune4j", AdapterRecord.libraryVersion());
        versions.put("java", System.getProperty("java.vm.name") + " " + Runtime.version());
        versions.put("runtime", TorchRuntime.report());
        node.put("seed", settings.training().seed());
        ObjectNode base = node.putObject("base");
        base.put("path", model.toString());
        base.put("fingerprint", baseFingerprint);
        base.put("adapter_sha256", start);
        node.set("data", RECORDS.write(data));
        node.set("settings", RECORDS.write(settings));
        node.set("result", result.json(settings.compute().device()));
        try {
            return JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(node);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e); // of numbers and texts
        }
    }

    /** What is different from the training of a record and must not be when it goes on, one sentence for each cause. */
    List<String> differences(JsonNode before) {
        List<String> found = new ArrayList<>();
        JsonNode then = before.path("settings");
        JsonNode now = RECORDS.write(settings);
        Map<String, String> differences = JsonDifferences.of(then, now);
        differences.forEach((path, sentence) -> {
            if (FREE.stream().noneMatch(path::startsWith) || path.equals(PACKING)) {
                found.add(sentence);
            }
        });
        if (step(then) != step(now)) {
            found.add("batchSize times gradientAccumulation, of all processes together, is " + step(now) + ", but was "
                    + step(then));
        }
        found.addAll(otherSources(before));
        return found;
    }

    /** Whether base and data are those of a record, and if not, why; one sentence for each cause. */
    List<String> otherSources(JsonNode before) {
        List<String> found = new ArrayList<>();
        JsonNode base = before.path("base");
        if (!baseFingerprint.equals(base.path("fingerprint").asText())) {
            found.add("the base " + model + " is another model than the one of then, "
                    + base.path("path").asText());
        }
        if (!Objects.equals(start, base.path("adapter_sha256").textValue())) {
            found.add("the adapter that the training was to continue, "
                    + settings.method().continued() + ", has other weights than then");
        }
        if (!data.fingerprint().equals(before.path("data").path("fingerprint").asText())) {
            List<String> causes =
                    JsonDifferences.of(before.path("settings"), RECORDS.write(settings)).entrySet().stream()
                            .filter(entry -> entry.getKey().startsWith(ENCODING)
                                    && !entry.getKey().equals(PACKING))
                            .map(Map.Entry::getValue)
                            .toList();
            found.addAll(causes.isEmpty() ? List.of(otherData(before.path("data"))) : causes);
        }
        return found;
    }

    /**
     * Checks that all ranks train the same. Until then none of them has loaded its model, as all wait for each other here.
     *
     * @throws SettingsException naming what is different
     */
    void requireSame(Communicator ranks) {
        ranks.requireSame("the fingerprint of the examples", data.fingerprint());
        ranks.requireSame("the fingerprint of the base", baseFingerprint);
        ranks.requireSame("the hash of the continued adapter", String.valueOf(start));
        JsonNode all = RECORDS.write(settings);
        for (String part : SHARED) {
            for (Map.Entry<String, JsonNode> setting : all.path(part).properties()) {
                // Each host may have that adapter in another folder; its weights were compared.
                if (!setting.getKey().equals("continued")) {
                    ranks.requireSame(part + "." + setting.getKey(), text(setting.getValue()));
                }
            }
        }
        ranks.requireSame(PACKING, all.at("/encoding/packing").toString());
        ranks.requireSame("compute.precision", settings.compute().precision().name());
    }

    /** The same for the same settings, in whatever order this process keeps the entries of a map. */
    private static String text(JsonNode setting) {
        if (!setting.isObject()) {
            return setting.isNull() ? "not set" : setting.toString();
        }
        Map<String, String> sorted = new TreeMap<>();
        setting.properties().forEach(entry -> sorted.put(entry.getKey(), text(entry.getValue())));
        return sorted.toString();
    }

    /**
     * Checks that this training repeats another.
     *
     * @throws SettingsException naming what of base and data is different
     */
    void requireRepeats(JsonNode other) {
        List<String> problems = otherSources(other);
        if (!problems.isEmpty()) {
            throw new SettingsException(problems.stream()
                    .map(problem -> "the recorded training cannot be repeated: " + problem)
                    .toList());
        }
    }

    private String otherData(JsonNode then) {
        int examples = then.path("examples").asInt();
        return examples == data.examples()
                ? "its " + examples + " examples have other tokens: the rows, their order, a placeholder's value, the"
                        + " tokenizer or the chat template has changed"
                : "the data set has " + data.examples() + " examples, but had " + examples;
    }

    private static long step(JsonNode settings) {
        JsonNode training = settings.path("training");
        return training.path("batchSize").asLong()
                * training.path("gradientAccumulation").asLong()
                * settings.path("compute").path("processes").asLong(1);
    }
}
