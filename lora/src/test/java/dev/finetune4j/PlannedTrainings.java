package dev.finetune4j;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.kernel.cuda.CudaMemory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.KtoExample;
import dev.finetune4j.data.PreferenceExample;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A program that trains a random model of some size through the builder and prints what the plan said beside what the memory was.
 * Arguments: a folder with a model or for the random one, {@code cpu} or {@code cuda}, and the cells as {@code method/optimizer/objective}, with
 * {@code /checkpoints} behind it for one after each step; none for all.
 * On the CPU the process should have a heap of fixed size, touched beforehand, and glibc's {@code MALLOC_MMAP_THRESHOLD_}, so that what it
 * frees leaves its memory.
 */
final class PlannedTrainings {
    private static final int ROWS = 4;
    private static final int CHARACTERS = Integer.getInteger("finetune4j.characters", 420);
    private static final int STEPS = 3;
    private static final long SAMPLE_MILLIS = 1;

    static final Map<String, UnaryOperator<FineTuner.Builder>> METHODS = new LinkedHashMap<>();
    static final Map<String, UnaryOperator<FineTuner.Builder>> OBJECTIVES = new LinkedHashMap<>();
    static final List<String> OPTIMIZERS = List.of("adamw_torch", "adamw_8bit", "adafactor", "lion");

    static {
        METHODS.put("full", FineTuner.Builder::full);
        METHODS.put("freeze", b -> b.freeze(f -> f.lastLayers(2)));
        METHODS.put("lora", b -> b.lora(l -> l.rank(16)));
        METHODS.put("qlora", b -> b.qlora(q -> q.rank(16)));
        METHODS.put("dora", b -> b.lora(l -> l.rank(16).useDora(true)));
        METHODS.put("ia3", FineTuner.Builder::ia3);
        METHODS.put("vera", b -> b.vera(v -> v.rank(64)));
        METHODS.put("lnTuning", FineTuner.Builder::lnTuning);
        METHODS.put("prefix", b -> b.prefixTuning(16));
        METHODS.put("pTuning", b -> b.pTuning(16));
        METHODS.put("prompt", b -> b.promptTuning(16));
        OBJECTIVES.put("sft", b -> b);
        OBJECTIVES.put("pt", b -> b);
        OBJECTIVES.put("dpo", b -> b.dpo());
        OBJECTIVES.put("orpo", b -> b.orpo(0.1));
        OBJECTIVES.put("simpo", b -> b.simPo(2, 1));
        OBJECTIVES.put("cpo", b -> b.cpo(0.1));
        OBJECTIVES.put("kto", b -> b.kto(0.1));
    }

    private PlannedTrainings() {}

    /** Each method and each objective with AdamW, and LoRA and all weights with each optimizer. */
    static List<String> cells() {
        List<String> cells = new ArrayList<>();
        METHODS.keySet().forEach(method -> cells.add(method + "/adamw_torch/sft"));
        OPTIMIZERS.stream().skip(1).forEach(optimizer -> {
            cells.add("full/" + optimizer + "/sft");
            cells.add("lora/" + optimizer + "/sft");
        });
        OBJECTIVES.keySet().stream().skip(1).forEach(objective -> cells.add("lora/adamw_torch/" + objective));
        List.of("full", "freeze").forEach(method -> cells.add(method + "/adamw_torch/sft/checkpoints"));
        return cells;
    }

    public static void main(String[] args) throws Exception {
        Path given = Path.of(args[0]);
        Path model = Files.exists(given.resolve("config.json")) ? given : randomModel(given);
        boolean gpu = args[1].equals("cuda");
        ComputeDevice device = gpu ? ComputeDevice.cuda(0) : ComputeDevice.cpu();
        // Libraries are loaded, and classes, before anything is measured.
        run(model, device, "lora/adamw_torch/sft");
        List<String> cells = args.length > 2 ? List.of(args).subList(2, args.length) : cells();
        for (String cell : cells) {
            long[] found = run(model, device, cell);
            System.out.printf(
                    Locale.ROOT,
                    "cell %s planned %.1f MiB measured %.1f MiB ratio %.3f checkpoint %.1f MiB%n",
                    cell,
                    found[0] / 1048576.0,
                    found[1] / 1048576.0,
                    (double) found[0] / found[1],
                    found[2] / 1048576.0);
        }
    }

    /** @return the planned and the measured peak, and what of the planned one a checkpoint takes while it is written */
    private static long[] run(Path model, ComputeDevice device, String cell) throws Exception {
        long start = Sampler.anonymous();
        String[] parts = cell.split("/", -1);
        UnaryOperator<FineTuner.Builder> method = METHODS.get(parts[0]);
        UnaryOperator<FineTuner.Builder> objective = OBJECTIVES.get(parts[2]);
        FineTuner.Builder builder = FineTuner.builder();
        String template = System.getProperty("finetune4j.template", "");
        if (!template.isEmpty()) {
            builder.chatTemplate(template);
        }
        if (parts.length > 3) {
            builder.checkpoints(
                    Files.createTempDirectory("checkpoints"),
                    c -> c.saveSteps(1).saveTotalLimit(1));
        }
        FineTuner tuner = objective
                .apply(method.apply(builder))
                .model(model)
                .dataset(rows(parts[2]))
                .training(t -> t.maxSteps(STEPS).batchSize(ROWS).optimizer(Optimizer.named(parts[1])))
                .device(device)
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport report, Control control) {
                        if (Boolean.getBoolean("finetune4j.describe")) {
                            System.out.printf(
                                    "after step %d: %.1f MiB%n",
                                    report.step(), (Sampler.anonymous() - start) / 1048576.0);
                        }
                    }
                })
                .build();
        MemoryPlan plan = tuner.plan();
        if (Boolean.getBoolean("finetune4j.describe")) {
            System.out.println(cell + ": " + plan.describe());
        }
        boolean gpu = device.kind() == ComputeDevice.Kind.CUDA;
        try (Sampler sampler = gpu ? null : new Sampler()) {
            if (gpu) {
                CudaMemory.resetPeak(device);
            }
            try (FineTunedModel tuned = tuner.train()) {
                return new long[] {
                    plan.peak(),
                    gpu ? CudaMemory.of(device).peak() : sampler.peak(),
                    plan.bytes().checkpoint()
                };
            }
        }
    }

    private static Dataset rows(String objective) {
        List<Example> rows = new ArrayList<>();
        SplittableRandom random = new SplittableRandom(3);
        for (int i = 0; i < ROWS * STEPS; i++) {
            String one = text(random);
            String other = text(random);
            rows.add(
                    switch (objective) {
                        case "sft" -> SftExample.of("Q", one);
                        case "pt" -> TextExample.of(one);
                        case "kto" -> KtoExample.of("Q", one, i % 2 == 0);
                        default -> PreferenceExample.of("Q", one, other);
                    });
        }
        return Dataset.of(rows);
    }

    private static String text(SplittableRandom random) {
        StringBuilder text = new StringBuilder();
        while (text.length() < CHARACTERS) {
            text.append((char) ('a' + random.nextInt(26)));
        }
        return text.toString();
    }

    /** The reference Llama's folder with other sizes and random weights, about 60 MiB of them. */
    private static Path randomModel(Path folder) throws IOException {
        Fixtures.tinyChatModel(folder);
        Path config = folder.resolve("config.json");
        String sizes = Files.readString(config)
                .replaceAll("\"hidden_size\": *\\d+", "\"hidden_size\": 512")
                .replaceAll("\"intermediate_size\": *\\d+", "\"intermediate_size\": 1408")
                .replaceAll("\"num_hidden_layers\": *\\d+", "\"num_hidden_layers\": 8")
                .replaceAll("\"num_attention_heads\": *\\d+", "\"num_attention_heads\": 8")
                .replaceAll("\"num_key_value_heads\": *\\d+", "\"num_key_value_heads\": 4")
                .replaceAll("\"head_dim\": *\\d+", "\"head_dim\": 64")
                .replaceAll("\"max_position_embeddings\": *\\d+", "\"max_position_embeddings\": 2048")
                .replaceAll("\"vocab_size\": *\\d+", "\"vocab_size\": 4096");
        Files.writeString(config, sizes);
        Files.delete(folder.resolve("model.safetensors"));
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard();
                CausalLM meta = ModelLoader.meta(PretrainedFolder.open(folder))) {
            Map<String, Tensor> weights = new LinkedHashMap<>();
            meta.parameters().forEach((name, shape) -> {
                Tensor weight = Tensors.zeros(ComputeDevice.cpu(), ScalarType.BFloat16, shape.shape());
                weights.put(name, weight.normal_(name.endsWith("norm.weight") ? 1 : 0, 0.02, new GeneratorOptional()));
            });
            SafetensorsWriter.write(folder.resolve("model.safetensors"), weights, Map.of("format", "pt"));
        }
        return folder;
    }

    /** The most anonymous memory of the process since it was made, less what there was then. */
    private static final class Sampler implements AutoCloseable {
        private final AtomicBoolean open = new AtomicBoolean(true);
        private final AtomicLong most = new AtomicLong();
        private final long before;
        private final Thread thread = new Thread(this::sample, "memory");

        Sampler() {
            before = anonymous();
            thread.setDaemon(true);
            thread.start();
        }

        private void sample() {
            while (open.get()) {
                most.accumulateAndGet(anonymous(), Math::max);
                try {
                    Thread.sleep(SAMPLE_MILLIS);
                } catch (InterruptedException e) {
                    return;
                }
            }
        }

        private static long anonymous() {
            try {
                for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                    if (line.startsWith("RssAnon:")) {
                        return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
                    }
                }
                throw new IllegalStateException("there is no RssAnon in /proc/self/status");
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }

        long peak() {
            return most.get() - before;
        }

        @Override
        public void close() throws InterruptedException {
            open.set(false);
            thread.join();
        }
    }
}
