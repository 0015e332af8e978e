package dev.finetune4j.benchmarks;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.decode.CudaGraphDecoder;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Says where the time of training and decoding steps goes on a GPU: each cell runs some steps that are not counted, so that
 * their work is captured as graphs, then some by the clock alone and then as many under a {@link KernelTrace}. One line of JSON
 * for each cell on the standard output, the same as a table on the standard error. Without CUPTI it ends with 1.
 *
 * <p>Arguments: {@code --preset 6b --methods qlora,lora,qlora-resident --grid 4x2048 --layout padded,packed --ckpt none,full
 * --decode-batch 1,8 --decode-adapters false,true --prompt 128 --steps 5 --decode-steps 32 --warmup 5 --peak-tflops 989}; {@code
 * --grid none} and {@code --decode-batch none} leave a half out; packed sequences lie behind one another in one row. The peak is the GPU's for dense bfloat16 products; it is used where weights are
 * dense ({@link StepKinds}).
 */
public final class StepBreakdown {
    private static final ComputeDevice GPU = ComputeDevice.cuda(0);
    private static final double LEAST_TRACED = 0.6;

    private final String[] args;
    private final RandomModel shape;
    private final String method;
    private final KernelTrace trace;

    private StepBreakdown(String[] args, RandomModel shape, String method, KernelTrace trace) {
        this.args = args;
        this.shape = shape;
        this.method = method;
        this.trace = trace;
    }

    /** What was measured of a number of steps. */
    private record Measured(double untracedMillis, List<TracedKernel> traced) {}

    /** Starts the program; it ends the process with 1 when CUPTI is missing. */
    public static void main(String[] args) throws IOException {
        try {
            run(args);
        } catch (KernelTrace.UnavailableException e) {
            System.err.println(e.getMessage());
            System.exit(1);
        }
    }

    private static void run(String[] args) throws IOException {
        KernelTrace trace = KernelTrace.ofProcess();
        System.err.println("CUPTI " + KernelTrace.version());
        RandomModel shape = RandomModel.of(TrainCells.option(args, "--preset", "6b"));
        for (String method : TrainCells.option(args, "--methods", "qlora").split(",", -1)) {
            QuantizedLinearFactory quantized = new QuantizedLinearFactory(QuantSettings.nf4());
            LinearFactory factory = switch (method) {
                case "lora" -> LinearFactory.dense();
                case "qlora" -> quantized;
                case "qlora-resident" -> quantized.keepingDense();
                default ->
                    throw new IllegalArgumentException("--methods takes lora, qlora and qlora-resident, not " + method);
            };
            try (CausalLM base = shape.load(factory, new Placement(GPU, Precision.BF16));
                    PeftAdapter adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1))) {
                StepBreakdown program = new StepBreakdown(args, shape, method, trace);
                program.training(base, adapter);
                program.decoding(base, adapter);
            }
        }
    }

    private int number(String option, int usual) {
        return Integer.parseInt(TrainCells.option(args, option, Integer.toString(usual)));
    }

    /** The parts of a list; none for {@code none}. */
    private List<String> list(String option, String usual) {
        String value = TrainCells.option(args, option, usual);
        return value.equals("none") ? List.of() : Arrays.asList(value.split(",", -1));
    }

    private void training(CausalLM base, PeftAdapter adapter) throws JsonProcessingException {
        int steps = number("--steps", 5);
        double peak = number("--peak-tflops", 989) * 1e12;
        for (String checkpointing : TrainCells.option(args, "--ckpt", "none").split(",", -1)) {
            CausalLM model = adapter.attachTo(base)
                    .withActivations(
                            checkpointing.equals("full")
                                    ? ActivationCheckpointing.all()
                                    : ActivationCheckpointing.none());
            for (String cell : list("--grid", "4x2048")) {
                String[] parts = cell.split("x", -1);
                int batch = Integer.parseInt(parts[0]);
                int sequence = Integer.parseInt(parts[1]);
                for (String layout : list("--layout", "padded")) {
                    Collator collator = collator(layout);
                    Measured measured = train(model, adapter, new Rows(batch, sequence, collator), steps);
                    double shortest = 2.0 * batch * sequence * shape.hidden * shape.hidden / peak * 1e9;
                    Map<String, Object> head = head("train");
                    head.put("batch", batch);
                    head.put("seq", sequence);
                    head.put("layout", layout);
                    head.put("ckpt", checkpointing);
                    print(head, measured, steps, shortest);
                }
            }
        }
    }

    private record Rows(int batch, int sequence, Collator collator) {}

    private static Collator collator(String layout) {
        return new Collator(0, new Collator.Multiple(1), Collator.Layout.valueOf(layout.toUpperCase(Locale.ROOT)));
    }

    private Measured train(CausalLM model, PeftAdapter adapter, Rows rows, int steps) {
        int warmup = number("--warmup", 5);
        // A GPU is given the passes of the next step before it is asked for the last: one more step keeps all of them
        // alike.
        int total = warmup + 2 * steps + 1;
        BatchLoader loader = new BatchLoader(
                TrainCells.examples(shape, rows.batch() * total, rows.sequence()),
                rows.batch(),
                1,
                1,
                rows.collator(),
                false);
        TrainingSettings settings = TrainingSettings.builder()
                .epochs(1)
                .learningRate(1e-4)
                .schedule(LearningRateSchedule.constant(), 0)
                .build();
        StepClock clock = new StepClock(trace, warmup, steps);
        trace.on();
        new Trainer(model, adapter.trainable(), loader, settings, List.of(clock), () -> false).run();
        return clock.measured();
    }

    /** Switches the trace between the steps of a training, when the GPU has done all that it was asked for. */
    private static final class StepClock implements TrainingListener {
        private final KernelTrace trace;
        private final int warmup;
        private final int steps;
        private long start;
        private double untracedMillis;
        private @Nullable List<TracedKernel> traced;
        private @Nullable RuntimeException failure;

        StepClock(KernelTrace trace, int warmup, int steps) {
            this.trace = trace;
            this.warmup = warmup;
            this.steps = steps;
        }

        @Override
        public void onStep(StepReport report, Control control) {
            // A trainer goes on when a listener fails.
            try {
                after(report.step());
            } catch (RuntimeException e) {
                failure = failure == null ? e : failure;
            }
        }

        private void after(int step) {
            if (step == warmup) {
                trace.off();
                start = System.nanoTime();
            } else if (step == warmup + steps) {
                CudaMemory.synchronize();
                untracedMillis = (System.nanoTime() - start) / 1e6 / steps;
                trace.begin();
            } else if (step == warmup + 2 * steps) {
                traced = trace.end();
            }
        }

        Measured measured() {
            if (failure != null) {
                throw failure;
            }
            if (traced == null) {
                throw new IllegalStateException("the training ended before all steps were traced");
            }
            return new Measured(untracedMillis, traced);
        }
    }

    private void decoding(CausalLM base, PeftAdapter adapter) throws JsonProcessingException {
        int prompt = number("--prompt", 128);
        int steps = number("--decode-steps", 32);
        for (String batch : list("--decode-batch", "1,8")) {
            for (String adapters : list("--decode-adapters", "false")) {
                CausalLM model = Boolean.parseBoolean(adapters) ? adapter.attachTo(base) : base;
                Measured measured = decode(model, Integer.parseInt(batch), prompt, steps);
                Map<String, Object> head = head("decode");
                head.put("batch", Integer.parseInt(batch));
                head.put("prompt", prompt);
                head.put("adapters", Boolean.parseBoolean(adapters));
                // A product that is not made by a GEMV kernel has a base weight: LoRA's are in those kernels.
                print(head, measured, steps, 0);
            }
        }
    }

    private Measured decode(CausalLM model, int batch, int prompt, int steps) {
        int warmup = number("--warmup", 5);
        trace.on();
        try (KvCache cache = model.newCache();
                CudaGraphDecoder decoder = new CudaGraphDecoder(model, cache, batch)) {
            long[] first = new long[batch];
            Arrays.fill(first, DecodeCells.prefill(model, shape, cache, batch, prompt));
            // So much that no step needs to be captured again.
            decoder.reserve(prompt + warmup + 2L * steps + 2);
            decoder.feed(first);
            feed(decoder, 1 + warmup);
            trace.off();
            long start = System.nanoTime();
            feed(decoder, steps);
            CudaMemory.synchronize();
            double untracedMillis = (System.nanoTime() - start) / 1e6 / steps;
            trace.begin();
            feed(decoder, steps);
            return new Measured(untracedMillis, trace.end());
        }
    }

    private static void feed(CudaGraphDecoder decoder, int steps) {
        for (int i = 0; i < steps; i++) {
            decoder.feedArgmax();
        }
    }

    private Map<String, Object> head(String pass) {
        Map<String, Object> head = new LinkedHashMap<>();
        head.put("part", "breakdown");
        head.put("provider", "finetune4j");
        head.put("preset", shape.label);
        head.put("method", method);
        head.put("pass", pass);
        return head;
    }

    private static void print(Map<String, Object> head, Measured measured, int steps, double shortestNanos)
            throws JsonProcessingException {
        if (measured.traced().isEmpty()) {
            throw new KernelTrace.UnavailableException(
                    "CUPTI gave no records of " + steps + " steps: is another profiler attached to the GPU?", null);
        }
        Breakdown breakdown = Breakdown.of(measured.traced(), steps, shortestNanos);
        System.err.printf(
                Locale.ROOT,
                "%n%s%n%.3f ms a step without the trace, %.3f with it; the GPU is busy for %.1f%% of that%n%s",
                head,
                measured.untracedMillis(),
                breakdown.wallMillis(),
                100 * breakdown.busyMillis() / breakdown.wallMillis(),
                breakdown.table());
        if (breakdown.busyMillis() < LEAST_TRACED * measured.untracedMillis()) {
            System.err.printf(
                    Locale.ROOT,
                    "The trace holds only %.3f ms of work of a step of %.3f ms: either the host is too slow, or kernels of"
                            + " captured graphs are missing.%n",
                    breakdown.busyMillis(),
                    measured.untracedMillis());
        }
        Map<String, Object> line = new LinkedHashMap<>(head);
        line.put("ms_step", Math.round(measured.untracedMillis() * 1e4) / 1e4);
        line.putAll(breakdown.toMap());
        System.out.println(new ObjectMapper().writeValueAsString(line));
    }
}
