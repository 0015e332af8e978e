package dev.finetune4j.lora;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.ModelDirectory;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.Precision;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.BatchLoader;
import dev.finetune4j.data.Collator;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.EncodedDataset;
import dev.finetune4j.data.Overflow;
import dev.finetune4j.data.SftEncoder;
import dev.finetune4j.lora.adapter.LoraAdapter;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.Trainer;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Fine-tunes a chat model: choose a model, a method and a data set, then train.
 *
 * <pre>{@code
 * try (FineTunedModel tuned = FineTuner.builder()
 *         .model(Path.of("Yi-1.5-6B-Chat"))
 *         .qlora(q -> q.rank(16).alpha(32))
 *         .dataset(Path.of("identity.json"))
 *         .placeholder("name", "张三")
 *         .train()) {
 *     tuned.saveAdapter(Path.of("adapter"));
 *     System.out.println(tuned.ask("你好,你是谁?"));
 * }
 * }</pre>
 *
 * <p>Everything that can be known to be wrong beforehand — settings, config.json, the chat template, the data — is checked
 * before any weight is read. A fine-tuner is immutable and may train several times.
 */
public final class FineTuner {
    private final Path model;
    private final TuningMethod method;
    private final Dataset dataset;
    private final @Nullable String template;
    private final int maxLength;
    private final Overflow overflow;
    private final @Nullable ComputeDevice device;
    private final @Nullable Precision precision;
    private final TrainingSettings training;
    private final List<TrainingListener> listeners;

    private FineTuner(Builder builder, Path model, TuningMethod method, Dataset dataset, TrainingSettings training) {
        this.model = model;
        this.method = method;
        this.dataset = dataset;
        this.template = builder.template;
        this.maxLength = builder.maxLength;
        this.overflow = builder.overflow;
        this.device = builder.device;
        this.precision = builder.precision;
        this.training = training;
        this.listeners = List.copyOf(builder.listeners);
    }

    /** Starts with nothing chosen; a model, a method and a data set are required. */
    public static Builder builder() {
        return new Builder();
    }

    /**
     * Trains and waits for the end. An interrupt of the thread ends it like a cancellation: the model is as the last finished
     * step left it, the report says {@code CANCELLED}, and the interrupt flag stays set.
     *
     * @return the tuned model, which the caller closes
     * @throws dev.finetune4j.core.FineTune4jException when something is wrong; the message says what and how to mend it
     */
    public FineTunedModel train() {
        return run(() -> Thread.currentThread().isInterrupted(), new TrainingListener() {});
    }

    /** Starts the training in a thread of its own; what goes wrong there arrives in the job's await and completion. */
    public TrainingJob start() {
        return TrainingJob.start(this::run);
    }

    private FineTunedModel run(BooleanSupplier cancelled, TrainingListener progress) {
        ComputeDevice chosen = device == null ? ComputeDevice.best() : device;
        TorchRuntime.require(chosen);
        ModelDirectory directory = ModelDirectory.open(model);
        ModelConfig config = ModelLoader.readConfig(directory);
        checkTargets(directory);
        Tokenizer tokenizer = Tokenizer.load(model);
        LanguageModel base = null;
        try {
            ChatEncoder encoder = new ChatEncoder(
                    tokenizer, LanguageModel.resolveTemplate(model, tokenizer, template), directory.eosTokenIds());
            LanguageModel.requireRowForEachToken(directory, tokenizer);
            EncodedDataset data = encode(encoder, config);
            base = loader(chosen).load(directory, tokenizer, encoder);
            return train(base, data, cancelled, progress);
        } catch (RuntimeException | Error e) {
            tokenizer.close();
            if (base != null) {
                base.close();
            }
            throw e;
        }
    }

    private void checkTargets(ModelDirectory directory) {
        LoraSettings lora = lora();
        if (lora != null) {
            lora.targets().resolve(ModelLoader.linearNames(directory));
        }
    }

    private EncodedDataset encode(ChatEncoder encoder, ModelConfig config) {
        int limit = maxLength > 0 ? Math.min(maxLength, config.maxPositions()) : Math.min(2048, config.maxPositions());
        return new SftEncoder(encoder, limit, overflow).encode(dataset);
    }

    private LanguageModel.Loader loader(ComputeDevice chosen) {
        LanguageModel.Loader loader = LanguageModel.loader(model).device(chosen);
        if (precision != null) {
            loader.precision(precision);
        }
        if (method instanceof TuningMethod.Qlora qlora) {
            loader.quantize(qlora.quantization());
        }
        return method instanceof TuningMethod.Full ? loader.trainable() : loader;
    }

    private FineTunedModel train(
            LanguageModel base, EncodedDataset data, BooleanSupplier cancelled, TrainingListener progress) {
        List<TrainingListener> all = new ArrayList<>(listeners);
        all.add(progress);
        BatchLoader batches = new BatchLoader(
                data.examples(),
                training.batchSize(),
                training.accumulation(),
                training.seed(),
                new Collator(0, 1),
                true);
        LoraSettings lora = lora();
        if (lora == null) {
            CausalLM whole = base.model();
            TrainingReport report = new Trainer(whole, whole.parameters(), batches, training, all, cancelled).run();
            return new FineTunedModel(base, null, report);
        }
        Adapter adapter = new Adapter(base, LoraAdapter.create(base.model(), lora, training.seed()));
        try {
            TrainingReport report =
                    new Trainer(adapter.view(), adapter.lora().parameters(), batches, training, all, cancelled).run();
            return new FineTunedModel(base, adapter, report);
        } catch (RuntimeException | Error e) {
            adapter.close();
            throw e;
        }
    }

    private @Nullable LoraSettings lora() {
        if (method instanceof TuningMethod.Lora plain) {
            return plain.lora();
        }
        return method instanceof TuningMethod.Qlora quantized ? quantized.lora() : null;
    }

    /** Collects the settings of a fine-tuning. Not thread-safe; every method but build, train and start returns this builder. */
    public static final class Builder {
        private final List<String> problems = new ArrayList<>();
        private final List<TrainingListener> listeners = new ArrayList<>();
        private final Map<String, String> placeholders = new LinkedHashMap<>();
        private @Nullable Path model;
        private @Nullable Supplier<TuningMethod> method;
        private @Nullable Supplier<Dataset> dataset;
        private @Nullable String template;
        private @Nullable ComputeDevice device;
        private @Nullable Precision precision;
        private @Nullable Double learningRate;
        private final TrainingSettings.Builder training = TrainingSettings.builder();
        private int maxLength;
        private Overflow overflow = Overflow.FAIL;

        private Builder() {}

        /** The folder of the base model, in Hugging Face's layout. Required. */
        public Builder model(Path folder) {
            once("model", model);
            this.model = folder;
            return this;
        }

        /** Trains a LoRA adapter on the base as it is. One method is required. */
        public Builder lora(Consumer<LoraOptions> options) {
            LoraOptions chosen = new LoraOptions();
            options.accept(chosen);
            return method(() -> new TuningMethod.Lora(chosen.settings()));
        }

        /** Trains a LoRA adapter on the base in 4 bits: NF4 with double quantization unless said otherwise. */
        public Builder qlora(Consumer<QloraOptions> options) {
            QloraOptions chosen = new QloraOptions();
            options.accept(chosen);
            return method(() -> new TuningMethod.Qlora(chosen.lora(), chosen.quantization()));
        }

        /** QLoRA with its defaults. */
        public Builder qlora() {
            return qlora(options -> {});
        }

        /** Trains all weights of the model, kept in float32. */
        public Builder full() {
            return method(TuningMethod.Full::new);
        }

        private Builder method(Supplier<TuningMethod> choice) {
            once("method (lora, qlora, full)", method);
            this.method = choice;
            return this;
        }

        /** The examples, from a JSON or JSONL file in the alpaca layout. A data set is required. */
        public Builder dataset(Path file) {
            once("dataset", dataset);
            this.dataset = () -> Dataset.read(file);
            return this;
        }

        /** The examples, from memory. */
        public Builder dataset(Dataset examples) {
            once("dataset", dataset);
            this.dataset = () -> examples;
            return this;
        }

        /** Replaces <code>{{name}}</code> in the examples. Every placeholder in the data needs a value. */
        public Builder placeholder(String name, String value) {
            placeholders.put(name, value);
            return this;
        }

        /** The name of the chat template; by default it is recognised from the tokenizer's configuration. */
        public Builder template(String name) {
            this.template = name;
            return this;
        }

        /** The longest example in tokens; by default the model's own limit, at most 2048. */
        public Builder maxLength(int tokens) {
            if (tokens < 2) {
                problems.add("maxLength must be at least 2 tokens, but is " + tokens);
            }
            this.maxLength = tokens;
            return this;
        }

        /** What happens to longer examples; by default they are an error. */
        public Builder overflow(Overflow policy) {
            this.overflow = policy;
            return this;
        }

        /** Where to train; by default the first CUDA GPU if there is one, otherwise the CPU. */
        public Builder device(ComputeDevice chosen) {
            this.device = chosen;
            return this;
        }

        /** The number format of the computation; by default BF16 on a GPU and FP32 on the CPU. */
        public Builder precision(Precision chosen) {
            this.precision = chosen;
            return this;
        }

        /** Passes over the data; 3 by default. */
        public Builder epochs(double epochs) {
            training.epochs(epochs);
            return this;
        }

        /** Optimizer steps, instead of epochs. */
        public Builder maxSteps(int steps) {
            training.maxSteps(steps);
            return this;
        }

        /** Examples that go through the model together; 8 by default. */
        public Builder batchSize(int examples) {
            training.batchSize(examples);
            return this;
        }

        /** Batches whose gradients make one optimizer step; 1 by default. */
        public Builder accumulation(int batches) {
            training.accumulation(batches);
            return this;
        }

        /** Peak learning rate; by default 2e-4 for adapters and 2e-5 for full fine-tuning. */
        public Builder learningRate(double rate) {
            this.learningRate = rate;
            return this;
        }

        /** Course of the learning rate and the share of the steps that it warms up; a cosine with 3 % by default. */
        public Builder schedule(LearningRateSchedule schedule, double warmupRatio) {
            training.schedule(schedule, warmupRatio);
            return this;
        }

        /** AdamW's weight decay; 0 by default. */
        public Builder weightDecay(double decay) {
            training.weightDecay(decay);
            return this;
        }

        /** Largest gradient norm, 0 for no limit; 1 by default. */
        public Builder maxGradNorm(double norm) {
            training.maxGradNorm(norm);
            return this;
        }

        /** Decides the order of the examples and the adapter's start; 42 by default. */
        public Builder seed(long seed) {
            training.seed(seed);
            return this;
        }

        /** Adds somebody who watches. */
        public Builder listener(TrainingListener listener) {
            listeners.add(listener);
            return this;
        }

        /**
         * Checks the settings and reads the data set.
         *
         * @throws SettingsException naming all that is missing or cannot work together
         * @throws dev.finetune4j.data.DatasetException when the data set cannot be read
         */
        public FineTuner build() {
            List<String> found = new ArrayList<>(problems);
            if (model == null) {
                found.add("no model was chosen; call model(folder)");
            }
            if (method == null) {
                found.add("no method was chosen; call qlora(…), lora(…) or full()");
            }
            if (dataset == null) {
                found.add("no data set was chosen; call dataset(…)");
            }
            TuningMethod chosen = method == null ? null : collect(found, method);
            TrainingSettings settings = collect(found, () -> trainingSettings(chosen));
            if (model == null || chosen == null || dataset == null || settings == null || !found.isEmpty()) {
                throw new SettingsException(found);
            }
            Dataset examples = dataset.get();
            return new FineTuner(
                    this, model, chosen, placeholders.isEmpty() ? examples : examples.bind(placeholders), settings);
        }

        /** Builds the fine-tuner and trains. See {@link FineTuner#train()}. */
        public FineTunedModel train() {
            return build().train();
        }

        /** Builds the fine-tuner and starts it. See {@link FineTuner#start()}. */
        public TrainingJob start() {
            return build().start();
        }

        private TrainingSettings trainingSettings(@Nullable TuningMethod chosen) {
            double usual = chosen instanceof TuningMethod.Full ? 2e-5 : 2e-4;
            return training.learningRate(learningRate == null ? usual : learningRate)
                    .build();
        }

        /** The supplier's settings, or null when they cannot work and the reasons have joined the list. */
        private static <T> @Nullable T collect(List<String> found, Supplier<T> settings) {
            try {
                return settings.get();
            } catch (SettingsException e) {
                found.addAll(e.problems());
                return null;
            }
        }

        private void once(String what, @Nullable Object already) {
            if (already != null) {
                problems.add("the " + what + " was chosen twice; keep one of the calls");
            }
        }
    }
}
