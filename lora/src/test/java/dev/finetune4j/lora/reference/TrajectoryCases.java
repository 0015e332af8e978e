package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.train.ScheduleNames;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.ParameterGroups;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.Tensor;

/** Whole trainings against peft: {@code trajectories/*}. */
final class TrajectoryCases {
    private static final double END = 1e-3;
    private static final Pattern SCHEDULER = Pattern.compile("(\\w+), warmup (\\d+) of (\\d+) steps");

    private TrajectoryCases() {}

    static List<ReferenceCase> of(ReferenceFolder reference) {
        List<ReferenceCase> cases = new ArrayList<>();
        for (Path folder : reference.folders("trajectories")) {
            Path end = folder.resolve("end");
            List<Path> files =
                    new ArrayList<>(List.of(folder.resolve("golden.json"), folder.resolve("batches.safetensors")));
            for (Path adapter : List.of(folder.resolve("start"), end)) {
                files.add(adapter.resolve("adapter_config.json"));
                files.add(adapter.resolve("adapter_model.safetensors"));
            }
            String name = ReferenceFolder.name(folder);
            cases.add(
                    new ReferenceCase("trajectories", name + " steps", files, near -> steps(near, reference, folder)));
            if (Files.exists(end)) {
                cases.add(
                        new ReferenceCase("trajectories", name + " end", files, near -> end(near, reference, folder)));
            }
        }
        return cases;
    }

    @FunctionalInterface
    private interface AfterTraining {
        void check(CausalLM base, PeftAdapter adapter, TrainingReport report, boolean fourBit);
    }

    private static void steps(Closeness near, ReferenceFolder reference, Path folder) {
        JsonNode log = TestData.json(folder.resolve("golden.json")).path("log");
        assertTrue(log.size() > 0, "golden.json has no log");
        train(reference, folder, (base, adapter, report, fourBit) -> {
            assertEquals(log.size(), report.steps().size(), "steps");
            double allowed = fourBit ? ModelCases.FOUR_BIT : ModelCases.LOSS;
            for (int i = 0; i < log.size(); i++) {
                StepReport step = report.steps().get(i);
                JsonNode expected = log.get(i);
                String where = "step " + (i + 1);
                near.absolute("learning rate", where, number(expected, "lr"), step.learningRate(), 1e-12);
                near.absolute("step loss", where, number(expected, "loss"), step.loss(), allowed);
                near.absolute("gradient norm", where, number(expected, "grad_norm"), step.gradNorm(), 10 * allowed);
            }
        });
    }

    private static double number(JsonNode node, String field) {
        assertTrue(node.path(field).isNumber(), () -> field + " is missing in " + node);
        return node.path(field).asDouble();
    }

    private static void end(Closeness near, ReferenceFolder reference, Path folder) {
        train(reference, folder, (base, adapter, report, fourBit) -> {
            try (PeftAdapter end = AdapterFiles.load(folder.resolve("end"), base);
                    TensorScope scope = new TensorScope()) {
                Map<String, Tensor> expected = end.stored();
                Map<String, Tensor> actual = adapter.stored();
                assertEquals(expected.keySet(), actual.keySet(), "trained tensors");
                expected.forEach((name, tensor) -> near.relative(
                        "end adapter", name, Tensors.toFloats(tensor), Tensors.toFloats(actual.get(name)), END));
            }
        });
    }

    /** A trajectory on another base may share start, batches and optimizer with another one. */
    private static void train(ReferenceFolder reference, Path folder, AfterTraining after) {
        JsonNode golden = TestData.json(folder.resolve("golden.json"));
        JsonNode shared = golden.path("same_start_and_batches_as");
        Path source = shared.isTextual() ? reference.root().resolve(shared.asText()) : folder;
        JsonNode recipe = golden.has("adamw") ? golden : TestData.json(source.resolve("golden.json"));
        Path start = source.resolve("start");
        String name = ReferenceFolder.name(folder);
        Path baseFolder = golden.has("base")
                ? reference.base(golden.path("base").asText(), name)
                : AdapterCases.base(reference, start, name);
        TrajectoryBatches batches = TrajectoryBatches.read(source.resolve("batches.safetensors"));
        try (CausalLM base = ReferenceFolder.load(baseFolder);
                PeftAdapter adapter = AdapterFiles.load(start, base)) {
            BatchLoader loader = batches.loader();
            Trainer trainer = new Trainer(
                    adapter.attachTo(base),
                    adapter.trainable(),
                    ParameterGroups.ONE,
                    loader,
                    settings(recipe, loader.stepsPerEpoch()),
                    List.of(),
                    () -> false);
            after.check(base, adapter, trainer.run(), ReferenceFolder.isFourBit(baseFolder));
        }
    }

    private static TrainingSettings settings(JsonNode recipe, int steps) {
        JsonNode adamw = recipe.path("adamw");
        assertEquals(0.9, adamw.path("betas").path(0).asDouble(), "the optimizer's first beta is fixed");
        assertEquals(0.999, adamw.path("betas").path(1).asDouble(), "the optimizer's second beta is fixed");
        assertEquals(1e-8, adamw.path("eps").asDouble(), "the optimizer's epsilon is fixed");
        String scheduler = recipe.path("scheduler").asText();
        Matcher course = SCHEDULER.matcher(scheduler);
        assertTrue(course.matches(), () -> "scheduler is not of the form \"" + SCHEDULER + "\": " + scheduler);
        assertEquals(steps, Integer.parseInt(course.group(3)), "steps of the scheduler");
        double warmup = Integer.parseInt(course.group(2)) / (double) steps;
        return TrainingSettings.builder()
                .epochs(1)
                .learningRate(number(adamw, "lr"))
                .schedule(ScheduleNames.schedule(course.group(1), JsonNodeFactory.instance.objectNode()), warmup)
                .weightDecay(number(adamw, "weight_decay"))
                .maxGradNorm(number(recipe, "clip"))
                .build();
    }
}
