package dev.finetune4j.benchmarks;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.Ia3Settings;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.plan.estimate.MemoryPlanner;
import dev.finetune4j.lora.plan.estimate.PlannedBatch;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * Compares memory plans with what a GPU really takes. One line of JSON for each cell: planned and measured bytes of the loaded
 * model with its adapter, and of the peak of some training steps, with their mean time. On the CPU, which counts no peak, it
 * prints the plans alone.
 *
 * <p>Arguments: {@code --preset 6b --methods qlora,lora,dora,ia3,attention,experts,single --grid 1x2048,4x2048 --every 0,4,1 --steps 2 --device cuda}. With
 * {@code --grid 1x131072 --every 1,1a --steps 1} it shows what a long context takes; with {@code a} the result of attention is kept.
 */
public final class PlanCells {
    private PlanCells() {}

    public static void main(String[] args) throws IOException {
        ComputeDevice device = TrainCells.option(args, "--device", "cuda").equals("cuda")
                ? ComputeDevice.cuda(0)
                : ComputeDevice.cpu();
        RandomModel shape = RandomModel.of(TrainCells.option(args, "--preset", "6b"));
        Placement placement = new Placement(device, Precision.BF16);
        for (String method : TrainCells.option(args, "--methods", "qlora").split(",", -1)) {
            @Nullable QuantSettings form = method.equals("lora") ? null : QuantSettings.nf4();
            AdapterSettings settings = settings(method);
            DeviceMemory memory = DeviceMemory.of(device);
            MemoryPlanner planner = shape.with(directory -> MemoryPlanner.of(directory, form, settings, placement));
            if (device.kind() == ComputeDevice.Kind.CPU) {
                cells(
                        args,
                        (rows, tokens, policy) ->
                                System.out.println(planner.plan(PlannedBatch.padded(rows, tokens), policy, memory)
                                                .describe()
                                        + System.lineSeparator()));
                continue;
            }
            LinearFactory factory = form == null ? LinearFactory.dense() : new QuantizedLinearFactory(form);
            try (CausalLM base = shape.load(factory, placement);
                    PeftAdapter adapter = AdapterKinds.create(base, settings, InitSources.seed(1))) {
                long loaded = CudaMemory.of(device).allocated();
                cells(args, (rows, tokens, policy) -> {
                    MemoryPlan plan = planner.plan(PlannedBatch.padded(rows, tokens), policy, memory);
                    int steps = Integer.parseInt(TrainCells.option(args, "--steps", "2"));
                    Clock clock = new Clock();
                    BatchLoader loader = new BatchLoader(
                            TrainCells.examples(shape, rows * steps, tokens), rows, 1, 1, new Collator(0, 1), false);
                    train(base.withActivations(policy), adapter, loader, clock);
                    print(method, plan, loaded, CudaMemory.of(device).peak(), clock.seconds);
                });
            }
        }
    }

    private interface Cell {
        void run(int rows, int tokens, ActivationCheckpointing policy);
    }

    private static void cells(String[] args, Cell cell) {
        for (String every : TrainCells.option(args, "--every", "0").split(",", -1)) {
            for (String size :
                    TrainCells.option(args, "--grid", "1x2048,4x2048").split(",", -1)) {
                String[] parts = size.split("x", -1);
                cell.run(
                        Integer.parseInt(parts[0]),
                        Integer.parseInt(parts[1]),
                        every.endsWith("a")
                                ? new ActivationCheckpointing(
                                        Integer.parseInt(every.substring(0, every.length() - 1)), true)
                                : new ActivationCheckpointing(Integer.parseInt(every)));
            }
        }
    }

    private static AdapterSettings settings(String method) {
        return switch (method) {
            case "qlora", "lora" -> LoraSettings.defaults();
            case "dora" -> LoraSettings.builder().useDora(true).build();
            case "dropout" -> LoraSettings.builder().dropout(0.05).build();
            case "ia3" -> Ia3Settings.defaults();
            case "attention", "experts", "single" -> TrainCells.settings(method);
            default -> throw new IllegalArgumentException("there is no method " + method);
        };
    }

    private static final class Clock implements TrainingListener {
        private long start;
        private double seconds;

        @Override
        public void onStart(int totalSteps, long trainableParameters) {
            start = System.nanoTime();
        }

        /** A step is enqueued before the one in front of it is reported, so that only their mean is a time. */
        @Override
        public void onStep(StepReport report, Control control) {
            seconds = (System.nanoTime() - start) / 1e9 / report.step();
        }
    }

    private static void train(CausalLM base, PeftAdapter adapter, BatchLoader loader, Clock clock) {
        TrainingSettings settings = TrainingSettings.builder()
                .epochs(1)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        CudaMemory.resetPeak(base.placement().device());
        new Trainer(adapter.attachTo(base), adapter.trainable(), loader, settings, List.of(clock), () -> false).run();
        CudaMemory.synchronize();
    }

    private static void print(String method, MemoryPlan plan, long loaded, long peak, double seconds) {
        System.out.printf(
                Locale.ROOT,
                "{\"part\": \"plan\", \"method\": \"%s\", \"batch\": %d, \"seq\": %d, \"every\": %d, \"keeps_attention\": %b,"
                        + " \"planned_loaded\": %d, \"loaded\": %d, \"planned_peak\": %d, \"peak\": %d,"
                        + " \"ratio\": %.3f, \"s_step\": %.2f, \"tokens_per_s\": %.0f}%n",
                method,
                plan.rows(),
                plan.tokens(),
                plan.activations().every(),
                plan.activations().keepsAttention(),
                plan.bytes().weights() + plan.bytes().adapter(),
                loaded,
                plan.peak(),
                peak,
                (double) plan.peak() / peak,
                seconds,
                (double) plan.rows() * plan.tokens() / seconds);
    }
}
