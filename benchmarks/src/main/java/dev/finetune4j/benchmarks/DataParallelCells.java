package dev.finetune4j.benchmarks;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.collective.Communicator;
import dev.finetune4j.core.collective.Membership;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.parallel.DataParallel;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.lora.train.loop.Trainer;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedLinearFactory;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Trainings on two GPUs against those on one: each GPU alone, one with the batch of both, and both together in a process each. One line
 * of JSON for each training and one for what comes of them: speed over that of one GPU, and how far the losses are apart.
 *
 * <p>Arguments: {@code --cells speed,small,rows}, {@code --preset 6b --size 4x2048 --steps 20} for the first, which is timed from its
 * {@code --warmup 5}th step on; {@code --model folder --data rows.json --template llama2} for the last, which goes through the builder.
 * {@code --launched-only} leaves out what one GPU does.
 */
public final class DataParallelCells {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String RESULT = "RESULT ";
    private static final int GPUS = 2;

    private DataParallelCells() {}

    /** What a training came to, on rank 0. */
    private record Run(double millis, double tokensPerSecond, double peakGibibytes, List<Double> losses) {
        static Run of(TimedSteps timed, @Nullable ComputeDevice device) {
            double peak = device == null || device.equals(ComputeDevice.cpu())
                    ? Double.NaN
                    : CudaMemory.of(device).peak() / (double) (1 << 30);
            return new Run(timed.medianMillis(), timed.tokensPerSecond(), peak, timed.losses());
        }

        Map<String, Object> line(String cell, String who, int batch) {
            Map<String, Object> line = new LinkedHashMap<>();
            line.put("part", "data-parallel");
            line.put("cell", cell);
            line.put("who", who);
            line.put("batch", batch);
            line.put("ms_step", RealCells.rounded(millis));
            line.put("tokens_per_s", Math.round(tokensPerSecond));
            line.put("peak_gib", RealCells.rounded(peakGibibytes));
            line.put("losses", losses);
            return line;
        }
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        if (DataParallel.isLaunched()) {
            runRank(args);
            return;
        }
        for (String cell :
                TrainCells.option(args, "--cells", "speed,small,rows").split(",", -1)) {
            compare(cell, args);
        }
    }

    private static void compare(String cell, String[] args) throws IOException, InterruptedException {
        boolean gpu = TorchRuntime.cudaDevices() > 0;
        int batch = batch(cell, args);
        List<Run> alone = new ArrayList<>();
        if (!Arrays.asList(args).contains("--launched-only")) {
            for (int i = 0; i < (gpu ? GPUS : 1); i++) {
                ComputeDevice device = gpu ? ComputeDevice.cuda(i) : ComputeDevice.cpu();
                alone.add(print(cell, device + " alone", batch, train(cell, args, device, batch, null)));
            }
            ComputeDevice first = gpu ? ComputeDevice.cuda(0) : ComputeDevice.cpu();
            alone.add(print(
                    cell,
                    first + " with the batch of both",
                    GPUS * batch,
                    train(cell, args, first, GPUS * batch, null)));
            if (gpu) {
                CudaMemory.emptyCache();
            }
        }
        String[] own = Arrays.copyOf(args, args.length + 2);
        own[args.length] = "--cell";
        own[args.length + 1] = cell;
        Results results = new Results();
        int status = DataParallel.launch(GPUS, DataParallelCells.class, own, results);
        JsonNode together = results.line;
        if (status != 0 || together == null) {
            throw new IOException("the ranks have ended with " + status + " and "
                    + (together == null ? "without" : "with") + " a result");
        }
        System.out.println(together);
        if (!alone.isEmpty()) {
            print(summary(cell, alone, together));
        }
    }

    /** Shows what the ranks print and keeps the result. */
    private static final class Results extends PrintStream {
        private volatile @Nullable JsonNode line;

        Results() {
            super(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8);
        }

        @Override
        public void println(String text) {
            int at = text.indexOf(RESULT);
            if (at < 0) {
                System.err.println(text);
                return;
            }
            try {
                line = JSON.readTree(text.substring(at + RESULT.length()));
            } catch (JsonProcessingException e) {
                throw new IllegalStateException("a rank has printed " + text, e);
            }
        }
    }

    private static Map<String, Object> summary(String cell, List<Run> alone, JsonNode together) {
        Run both = alone.get(alone.size() - 1);
        double slowest = alone.subList(0, alone.size() - 1).stream()
                .mapToDouble(Run::tokensPerSecond)
                .min()
                .orElseThrow();
        double first = 0;
        double later = 0;
        for (int i = 0; i < both.losses().size(); i++) {
            double away = Math.abs(
                    both.losses().get(i) - together.path("losses").path(i).asDouble());
            first = i == 0 ? away : first;
            later = i == 0 ? later : Math.max(later, away);
        }
        double speed = together.path("tokens_per_s").asDouble();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("part", "data-parallel");
        line.put("cell", cell);
        line.put("times_first_gpu", RealCells.rounded(speed / alone.get(0).tokensPerSecond()));
        line.put("times_slowest_gpu", RealCells.rounded(speed / slowest));
        line.put("first_loss_apart", first);
        line.put("later_losses_apart", later);
        return line;
    }

    private static void runRank(String[] args) throws IOException {
        DataParallel place = DataParallel.fromEnvironment();
        String cell = TrainCells.option(args, "--cell", "speed");
        ComputeDevice device =
                TorchRuntime.cudaDevices() > 0 ? ComputeDevice.cuda(place.localRank()) : ComputeDevice.cpu();
        int batch = batch(cell, args);
        Run run = train(cell, args, device, batch, place);
        if (place.isFirst()) {
            System.out.println(RESULT + JSON.writeValueAsString(run.line(cell, place.worldSize() + " ranks", batch)));
        }
    }

    private static int batch(String cell, String[] args) {
        return Integer.parseInt(size(cell, args)[0]);
    }

    private static String[] size(String cell, String[] args) {
        return (cell.equals("small") ? "4x128" : TrainCells.option(args, "--size", "4x2048")).split("x", -1);
    }

    private static Run train(String cell, String[] args, ComputeDevice device, int batch, @Nullable DataParallel place)
            throws IOException {
        if (device.kind() == ComputeDevice.Kind.CUDA) {
            CudaMemory.resetPeak(device);
        }
        int steps = Integer.parseInt(TrainCells.option(args, "--steps", "20"));
        int warmup = Integer.parseInt(TrainCells.option(args, "--warmup", "5"));
        TimedSteps timed = new TimedSteps(warmup);
        if (cell.equals("rows")) {
            rows(args, device, batch, steps, place, timed);
        } else {
            random(cell, args, device, batch, steps, place, timed);
        }
        // The other ranks hear of no steps.
        return timed.losses().isEmpty() ? new Run(0, 0, 0, List.of()) : Run.of(timed, device);
    }

    private static void random(
            String cell,
            String[] args,
            ComputeDevice device,
            int batch,
            int steps,
            @Nullable DataParallel place,
            TimedSteps timed)
            throws IOException {
        boolean small = cell.equals("small");
        RandomModel shape = RandomModel.of(small ? "tiny" : TrainCells.option(args, "--preset", "6b"));
        LinearFactory factory = small ? LinearFactory.dense() : new QuantizedLinearFactory(QuantSettings.nf4());
        Placement placement = new Placement(device, small ? Precision.FP32 : Precision.BF16);
        int length = Integer.parseInt(size(cell, args)[1]);
        try (Communicator ranks = place == null ? Communicator.alone() : Communicator.join(membership(place), device);
                CausalLM base = shape.load(factory, placement);
                PeftAdapter adapter = AdapterKinds.create(
                        base, LoraSettings.builder().rank(16).build(), InitSources.seed(1))) {
            BatchLoader loader = new BatchLoader(
                            TrainCells.examples(shape, GPUS * batch * steps, length),
                            batch,
                            1,
                            1,
                            new Collator(0, 1),
                            false)
                    .ofRank(ranks.rank(), ranks.size());
            TrainingSettings settings = TrainingSettings.builder()
                    .maxSteps(steps)
                    .learningRate(1e-4)
                    .schedule(LearningRateSchedule.constant(), 0)
                    .build();
            List<TrainingListener> listeners = ranks.isFirst() ? List.of(timed) : List.of();
            new Trainer(adapter.attachTo(base), adapter.trainable(), loader, settings, listeners, () -> false)
                    .among(ranks)
                    .run();
        }
    }

    private static Membership membership(DataParallel place) {
        return new Membership(
                place.rank(),
                place.worldSize(),
                place.masterAddress(),
                place.masterPort(),
                place.agentStore(),
                place.joinTimeout());
    }

    private static void rows(
            String[] args, ComputeDevice device, int batch, int steps, @Nullable DataParallel place, TimedSteps timed) {
        FineTuner.Builder builder = FineTuner.builder()
                .model(Path.of(TrainCells.option(args, "--model", "/dev/shm/llama-6b")))
                .device(device)
                .qlora(q -> q.rank(16).alpha(32))
                .dataset(Dataset.read(Path.of(TrainCells.option(args, "--data", "extra/data/alpaca_en_demo.json"))))
                .chatTemplate(TrainCells.option(args, "--template", "llama2"))
                .packing(2048)
                .truncation(Truncation.SKIP)
                .training(t -> t.learningRate(1e-4).maxSteps(steps).batchSize(batch))
                .listener(timed);
        if (place != null) {
            builder.dataParallel(place);
        }
        try (FineTunedModel tuned = builder.train()) {
            TrainingReport report = tuned.report();
            System.err.println("first rows: " + report.firstRows());
        }
    }

    private static Run print(String cell, String who, int batch, Run run) throws JsonProcessingException {
        print(run.line(cell, who, batch));
        return run;
    }

    private static void print(Map<String, Object> line) throws JsonProcessingException {
        System.out.println(JSON.writeValueAsString(line));
        System.out.flush();
    }
}
