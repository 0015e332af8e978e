package dev.finetune4j.benchmarks;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Labels;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.data.batch.EncodedSequence;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.objective.Dpo;
import dev.finetune4j.lora.objective.PreferenceObjective;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * Times steps of direct preference optimization with QLoRA of rank 16 through the {@link Trainer}: both passes over both answers of
 * each pair, backward, clip, optimizer, report. One line of JSON for each cell on the standard output, and all of them as a table on
 * the standard error at the end. Tokens are those of prompt and chosen answer and of prompt and rejected answer, without padding,
 * whether the prompt is computed once or twice.
 *
 * <p>Arguments, all with usual values: {@code --preset 6b --pairs 4 --layouts shared,packed,padded --ckpt none,full --steps 8
 * --warmup 3 --device cuda}, and {@code --prompt 512 --answer 256} for pairs of one length or {@code --lengths FILE} for those of a
 * file: an array of steps, each an array of pairs, each {@code [prompt, chosen, rejected]} in tokens.
 *
 * <p>With {@code --model FOLDER --data pairs.json} and {@code --epochs 3 --template llama2} the same through the public builder: tokens a
 * second in each epoch, of which all but the first know what the reference says, and the peak beside the plan.
 */
public final class PreferenceCells {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final double GIBIBYTE = 1 << 30;
    private static final int BUILDER_LENGTH = 4096;

    private final String[] args;
    private final RandomModel shape;
    private final int steps;
    private final int warmup;
    private final int pairs;
    private final List<EncodedExample> examples;

    private PreferenceCells(String[] args) throws IOException {
        this.args = args;
        this.shape = RandomModel.of(option("--preset", "6b"));
        this.steps = Integer.parseInt(option("--steps", "8"));
        this.warmup = Integer.parseInt(option("--warmup", "3"));
        this.pairs = Integer.parseInt(option("--pairs", "4"));
        this.examples = examples();
    }

    public static void main(String[] args) throws IOException {
        PreferenceCells cells = new PreferenceCells(args);
        System.err.println(
                RealCells.table(cells.option("--model", "").isEmpty() ? cells.random() : cells.throughBuilder()));
    }

    private ComputeDevice device() {
        return option("--device", "cuda").equals("cuda") ? ComputeDevice.cuda(0) : ComputeDevice.cpu();
    }

    private static void print(List<Map<String, Object>> lines, Map<String, Object> line)
            throws JsonProcessingException {
        System.out.println(JSON.writeValueAsString(line));
        lines.add(line);
    }

    private List<Map<String, Object>> throughBuilder() throws JsonProcessingException {
        Path model = Path.of(option("--model", ""));
        double epochs = Double.parseDouble(option("--epochs", "3"));
        RealTraining training = RealTraining.run(new RealTraining.Task(
                model,
                device(),
                Dataset.read(Path.of(option("--data", ""))),
                option("--template", "llama2"),
                BUILDER_LENGTH,
                0,
                t -> t.epochs(epochs).batchSize(pairs),
                builder -> builder.dpo(d -> d.beta(0.1))));
        List<Map<String, Object>> lines = new ArrayList<>();
        for (var epoch : training.epochs().entrySet()) {
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("part", "dpo");
            line.put("model", model.getFileName().toString());
            line.put("cell", "builder, epoch " + epoch.getKey());
            line.put("pairs", pairs);
            line.put("steps", epoch.getValue().size());
            line.put("tokens_per_s", Math.round(RealTraining.tokensPerSecond(epoch.getValue())));
            line.put("loss", RealCells.rounded(RealTraining.loss(epoch.getValue())));
            print(lines, line);
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("part", "dpo");
        line.put("model", model.getFileName().toString());
        line.put("cell", "builder");
        line.put("s_before_first_step", RealCells.rounded(training.secondsBefore()));
        line.put("s_first_step", RealCells.rounded(training.steps().get(0).seconds()));
        line.put("s_in_all", RealCells.rounded(training.secondsInAll()));
        line.put("plan_gib", RealCells.rounded(training.plannedGibibytes()));
        line.put("peak_alloc_gib", RealCells.rounded(training.peakGibibytes()));
        line.put("reserved_gib", RealCells.rounded(training.reservedGibibytes()));
        print(lines, line);
        return lines;
    }

    private String option(String name, String usual) {
        return TrainCells.option(args, name, usual);
    }

    private List<Map<String, Object>> random() throws IOException {
        List<Map<String, Object>> lines = new ArrayList<>();
        try (CausalLM base =
                shape.load(new QuantizedLinearFactory(QuantSettings.nf4()), new Placement(device(), Precision.BF16))) {
            for (String layout : option("--layouts", "shared,packed,padded").split(",", -1)) {
                for (String checkpointing : option("--ckpt", "none").split(",", -1)) {
                    // Each begins as its reference does.
                    try (PeftAdapter adapter =
                            AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
                        print(lines, cell(base, adapter, layout, checkpointing));
                    }
                }
            }
        }
        return lines;
    }

    private Map<String, Object> cell(CausalLM base, PeftAdapter adapter, String layout, String checkpointing) {
        ComputeDevice device = base.placement().device();
        boolean gpu = device.kind() == ComputeDevice.Kind.CUDA;
        Collator.Rounding rounding = layout.equals("padded") ? new Collator.FewSizes(16) : new Collator.FewSizes();
        BatchLoader loader = new BatchLoader(
                examples,
                pairs,
                1,
                1,
                new Collator(
                        0,
                        gpu ? rounding : new Collator.Multiple(1),
                        Collator.Layout.valueOf(layout.toUpperCase(Locale.ROOT))),
                false);
        TrainingSettings settings = TrainingSettings.builder()
                .epochs(1)
                .learningRate(5e-6)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        TimedSteps timed = new TimedSteps(warmup);
        if (gpu) {
            CudaMemory.emptyCache();
            CudaMemory.resetPeak(device);
        }
        new Trainer(
                        adapter.attachTo(base)
                                .withActivations(
                                        checkpointing.equals("full")
                                                ? ActivationCheckpointing.all()
                                                : ActivationCheckpointing.none()),
                        adapter.trainable(),
                        loader,
                        settings,
                        List.of(timed),
                        () -> false)
                .minimizing(new PreferenceObjective(Dpo.of(0.1), base))
                .run();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("part", "dpo");
        line.put("model", shape.label);
        line.put("cell", layout + ", " + checkpointing);
        line.put("pairs", pairs);
        line.put("tokens_per_step", timed.tokens() / steps);
        line.put("ms_step", RealCells.rounded(timed.medianMillis()));
        line.put("tokens_per_s", Math.round(timed.tokensPerSecond()));
        line.put("peak_alloc_gib", gpu ? RealCells.rounded(CudaMemory.of(device).peak() / GIBIBYTE) : -1);
        line.put("loss_first", RealCells.rounded(timed.firstLoss()));
        line.put("loss_last", RealCells.rounded(timed.lastLoss()));
        return line;
    }

    private List<EncodedExample> examples() throws IOException {
        SplittableRandom random = new SplittableRandom(7);
        List<EncodedExample> made = new ArrayList<>();
        for (int[] lengths : lengths()) {
            int[] prompt = random.ints(lengths[0], 3, shape.vocabulary).toArray();
            made.add(new EncodedExample(List.of(
                    sequence(random, prompt, lengths[1], EncodedSequence.Kind.CHOSEN),
                    sequence(random, prompt, lengths[2], EncodedSequence.Kind.REJECTED))));
        }
        return made;
    }

    private List<int[]> lengths() throws IOException {
        List<int[]> lengths = new ArrayList<>();
        String file = option("--lengths", "");
        if (file.isEmpty()) {
            int prompt = Integer.parseInt(option("--prompt", "512"));
            int answer = Integer.parseInt(option("--answer", "256"));
            for (int i = 0; i < pairs * (warmup + steps); i++) {
                lengths.add(new int[] {prompt, answer, answer});
            }
            return lengths;
        }
        for (JsonNode step : JSON.readTree(Path.of(file).toFile())) {
            for (JsonNode pair : step) {
                lengths.add(new int[] {
                    pair.path(0).asInt(), pair.path(1).asInt(), pair.path(2).asInt()
                });
            }
        }
        return lengths.subList(0, pairs * (warmup + steps));
    }

    private EncodedSequence sequence(SplittableRandom random, int[] prompt, int answer, EncodedSequence.Kind kind) {
        int[] ids = Arrays.copyOf(prompt, prompt.length + answer);
        int[] drawn = random.ints(answer, 3, shape.vocabulary).toArray();
        System.arraycopy(drawn, 0, ids, prompt.length, answer);
        int[] labels = new int[ids.length];
        Arrays.fill(labels, Labels.IGNORE);
        System.arraycopy(drawn, 0, labels, prompt.length - 1, answer);
        return new EncodedSequence(ids, labels, kind);
    }
}
