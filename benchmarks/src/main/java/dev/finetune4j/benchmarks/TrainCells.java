package dev.finetune4j.benchmarks;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedExample;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;

/**
 * Times whole training steps through the {@link Trainer}: forward, backward, clip, optimizer, report. One line of JSON for
 * each cell, with the keys that the comparison with Python uses.
 *
 * <p>Arguments: {@code --preset 6b --methods qlora,lora --grid 1x2048,4x2048 --ckpt none,full --steps 8 --warmup 3 --device cuda},
 * and {@code --adapters lora,dropout,dora,attention,experts,single} for LoRA, with a dropout of 0.05, DoRA, on attention alone, and with
 * rank 8 on all experts too, together or on the linears of each.
 */
public final class TrainCells {
    private TrainCells() {}

    public static void main(String[] args) throws IOException {
        String preset = option(args, "--preset", "6b");
        int steps = Integer.parseInt(option(args, "--steps", "8"));
        int warmup = Integer.parseInt(option(args, "--warmup", "3"));
        ComputeDevice device =
                option(args, "--device", "cuda").equals("cuda") ? ComputeDevice.cuda(0) : ComputeDevice.cpu();
        RandomModel shape = RandomModel.of(preset);
        for (String method : option(args, "--methods", "qlora").split(",", -1)) {
            QuantizedLinearFactory quantized = new QuantizedLinearFactory(QuantSettings.nf4());
            LinearFactory factory = switch (method) {
                case "lora" -> LinearFactory.dense();
                case "qlora" -> quantized;
                case "qlora-resident" -> quantized.keepingDense();
                default ->
                    throw new IllegalArgumentException("--methods takes lora, qlora and qlora-resident, not " + method);
            };
            long start = System.nanoTime();
            try (CausalLM base = shape.load(factory, new Placement(device, Precision.BF16))) {
                System.err.printf(
                        Locale.ROOT, "%s %s loaded in %.1f s%n", preset, method, (System.nanoTime() - start) / 1e9);
                for (String kind : option(args, "--adapters", "lora").split(",", -1)) {
                    try (PeftAdapter adapter = AdapterKinds.create(base, settings(kind), InitSources.seed(1))) {
                        for (String checkpointing :
                                option(args, "--ckpt", "none").split(",", -1)) {
                            CausalLM model = adapter.attachTo(base).withActivations(policy(checkpointing));
                            for (String size :
                                    option(args, "--grid", "1x2048,4x2048").split(",", -1)) {
                                Cell cell = Cell.of(method, kind, checkpointing, size);
                                run(shape, cell, model, adapter, warmup, steps);
                            }
                        }
                    }
                }
            }
        }
    }

    static LoraSettings settings(String kind) {
        return switch (kind) {
            case "lora" -> LoraSettings.defaults();
            case "dropout" -> LoraSettings.builder().dropout(0.05).build();
            case "attention" ->
                LoraSettings.builder()
                        .targetModules("q_proj", "k_proj", "v_proj", "o_proj")
                        .build();
            case "experts" ->
                LoraSettings.builder()
                        .rank(8)
                        .targetModules("q_proj", "k_proj", "v_proj", "o_proj")
                        .targetParameters("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
                        .build();
            case "single" ->
                LoraSettings.builder()
                        .rank(8)
                        .targetModules("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
                        .build();
            case "dora" -> LoraSettings.builder().useDora(true).build();
            default ->
                throw new IllegalArgumentException(
                        "--adapters takes lora, dropout, dora, attention, experts and single, not " + kind);
        };
    }

    private static ActivationCheckpointing policy(String checkpointing) {
        return switch (checkpointing) {
            case "none" -> ActivationCheckpointing.none();
            case "full" -> ActivationCheckpointing.all();
            case "full-attention" -> ActivationCheckpointing.all().keepingAttention();
            default ->
                throw new IllegalArgumentException("--ckpt takes none, full and full-attention, not " + checkpointing);
        };
    }

    static String option(String[] args, String name, String usual) {
        for (int i = 0; i + 1 < args.length; i++) {
            if (args[i].equals(name)) {
                return args[i + 1];
            }
        }
        return usual;
    }

    private record Cell(String method, String adapter, String checkpointing, int batch, int sequence) {
        static Cell of(String method, String adapter, String checkpointing, String size) {
            String[] parts = size.split("x", -1);
            return new Cell(method, adapter, checkpointing, Integer.parseInt(parts[0]), Integer.parseInt(parts[1]));
        }
    }

    private static void run(RandomModel shape, Cell cell, CausalLM model, PeftAdapter adapter, int warmup, int steps) {
        ComputeDevice device = model.placement().device();
        boolean gpu = device.kind() == ComputeDevice.Kind.CUDA;
        BatchLoader loader = new BatchLoader(
                examples(shape, cell.batch() * (warmup + steps), cell.sequence()),
                cell.batch(),
                1,
                1,
                new Collator(0, 1),
                false);
        TrainingSettings settings = TrainingSettings.builder()
                .epochs(1)
                .learningRate(1e-4)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        TimedSteps timed = new TimedSteps(warmup);
        if (gpu) {
            CudaMemory.emptyCache();
            CudaMemory.resetPeak(device);
        }
        new Trainer(model, adapter.trainable(), loader, settings, List.of(timed), () -> false).run();
        print(shape, cell, timed, gpu ? CudaMemory.of(device).peak() / (double) (1 << 30) : Double.NaN);
    }

    private static void print(RandomModel shape, Cell cell, TimedSteps timed, double peak) {
        double millis = timed.medianMillis();
        double tokens = (double) cell.batch() * cell.sequence() / millis * 1e3;
        System.out.printf(
                Locale.ROOT,
                "{\"part\": \"train\", \"provider\": \"finetune4j\", \"preset\": \"%s\", \"method\": \"%s\", \"adapter\": \"%s\", \"batch\": %d,"
                        + " \"seq\": %d, \"ckpt\": \"%s\", \"ms_step\": %.2f, \"tokens_per_s\": %.0f,"
                        + " \"peak_alloc_gib\": %.2f, \"model_tflops\": %.1f, \"loss_first\": %.4f, \"loss_last\": %.4f}%n",
                shape.label,
                cell.method(),
                cell.adapter(),
                cell.batch(),
                cell.sequence(),
                cell.checkpointing(),
                millis,
                tokens,
                peak,
                tokens * shape.modelFlops(cell.sequence()) / 1e12,
                timed.firstLoss(),
                timed.lastLoss());
    }

    static List<EncodedExample> examples(RandomModel shape, int count, int sequence) {
        SplittableRandom random = new SplittableRandom(7);
        List<EncodedExample> examples = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int[] ids = random.ints(sequence, 0, shape.vocabulary).toArray();
            int[] labels = new int[sequence];
            System.arraycopy(ids, 1, labels, 0, sequence - 1);
            labels[sequence - 1] = -100;
            examples.add(new EncodedExample(ids, labels));
        }
        return examples;
    }
}
