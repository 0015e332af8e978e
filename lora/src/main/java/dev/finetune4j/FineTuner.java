package dev.finetune4j;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.nn.Parameter;
import dev.finetune4j.core.tensor.MemoryErrors;
import dev.finetune4j.core.tensor.Threads;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.data.batch.BatchLoader;
import dev.finetune4j.data.batch.Collator;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.data.batch.SftEncoder;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.PeftAdapter;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.Expectations;
import dev.finetune4j.lora.train.ParameterGroups;
import dev.finetune4j.lora.train.Trainer;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import dev.finetune4j.lora.train.TrainingSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
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
 *     String answer = tuned.ask("你好,你是谁?");
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
    private final Truncation overflow;
    private final @Nullable ComputeDevice device;
    private final @Nullable Precision precision;
    private final TrainingSettings given;
    private final UsualSettings usual;
    private final @Nullable ActivationCheckpointing activations;
    private final MemoryCheck memory;
    private final int threads;
    private final List<TrainingListener> listeners;

    FineTuner(
            Path model,
            TuningMethod method,
            Dataset dataset,
            @Nullable String template,
            int maxLength,
            Truncation overflow,
            @Nullable ComputeDevice device,
            @Nullable Precision precision,
            TrainingSettings given,
            UsualSettings usual,
            @Nullable ActivationCheckpointing activations,
            MemoryCheck memory,
            int threads,
            List<TrainingListener> listeners) {
        this.model = model;
        this.method = method;
        this.dataset = dataset;
        this.template = template;
        this.maxLength = maxLength;
        this.overflow = overflow;
        this.device = device;
        this.precision = precision;
        this.given = given;
        this.usual = usual;
        this.activations = activations;
        this.memory = memory;
        this.threads = threads;
        this.listeners = List.copyOf(listeners);
    }

    /** Starts with nothing chosen; a model, a method and a data set are required. */
    public static FineTunerBuilder builder() {
        return new FineTunerBuilder();
    }

    /**
     * Trains and waits for the end. An interrupt of the thread ends it like a cancellation: the model is as the last finished
     * step left it, the report says {@code CANCELLED}, and the interrupt flag stays set.
     *
     * @return the tuned model, which the caller closes
     * @throws dev.finetune4j.core.FineTune4jException when something is wrong; the message says what and how to mend it. {@link
     *     dev.finetune4j.core.OutOfDeviceMemoryException} when the plan says that memory will not suffice ({@link
     *     FineTunerBuilder#ignoreMemoryPlan()}), or when it runs out nevertheless: everything is freed then, and a smaller
     *     training can follow
     */
    public FineTunedModel train() {
        return run(() -> Thread.currentThread().isInterrupted(), new TrainingListener() {});
    }

    /** Starts the training in a thread of its own; what goes wrong there arrives in the job's await and completion. */
    public TrainingJob start() {
        return TrainingJob.start(this::run);
    }

    /**
     * The memory that the training will take, for batches of examples of the greatest length that the settings allow; the
     * training itself plans with the longest example. Only config.json is read, and nothing is loaded.
     *
     * @throws dev.finetune4j.core.FineTune4jException when config.json, the settings or the device do not go together
     */
    public MemoryPlan plan() {
        return new TrainingPlan(model, method, device, precision, given.batchSize(), activations).longest(maxLength);
    }

    private FineTunedModel run(BooleanSupplier cancelled, TrainingListener progress) {
        ComputeDevice chosen = device == null ? ComputeDevice.best() : device;
        TorchRuntime.require(chosen);
        try (Threads.Share share = Threads.share(threads)) {
            return run(chosen, cancelled, progress);
        }
    }

    private FineTunedModel run(ComputeDevice chosen, BooleanSupplier cancelled, TrainingListener progress) {
        ModelFiles directory = ModelFiles.open(model);
        ModelConfig config = ModelLoader.readConfig(directory);
        if (method instanceof TuningMethod.WithAdapter chosenAdapter) {
            chosenAdapter.settings().check(ModelLoader.moduleNames(directory));
        }
        Tokenizer tokenizer = Tokenizer.load(model);
        LanguageModel base = null;
        MemoryPlan plan = null;
        try {
            ChatEncoder encoder = LanguageModel.encoder(directory, tokenizer, template);
            int limit = TrainingPlan.longestExample(method, config, maxLength);
            EncodedDataset data = new SftEncoder(encoder, limit, overflow).encode(dataset);
            plan = new TrainingPlan(model, method, chosen, precision, given.batchSize(), activations)
                    .of(data.examples().size(), data.report().longest());
            memory.training(plan, chosen);
            base = loader(chosen).load(directory, tokenizer, encoder);
            TrainingSettings training =
                    usual.fill(given, method, config, data.examples().size());
            return train(base, training, data, plan.activations(), cancelled, progress);
        } catch (RuntimeException | Error e) {
            tokenizer.close();
            if (base != null) {
                base.close();
            }
            if (e instanceof RuntimeException failure) {
                throw TrainingPlan.advised(MemoryErrors.typed(failure, chosen, "preparing the training"), plan);
            }
            throw e;
        }
    }

    private LanguageModel.Loader loader(ComputeDevice chosen) {
        LanguageModel.Loader loader = LanguageModel.loader(model).device(chosen);
        if (precision != null) {
            loader.precision(precision);
        }
        if (method instanceof TuningMethod.WithAdapter adapted && adapted.quantization() != null) {
            loader.quantize(adapted.quantization());
        }
        return method instanceof TuningMethod.Full ? loader.trainable() : loader;
    }

    private FineTunedModel train(
            LanguageModel base,
            TrainingSettings training,
            EncodedDataset data,
            ActivationCheckpointing policy,
            BooleanSupplier cancelled,
            TrainingListener progress) {
        List<TrainingListener> all = new ArrayList<>(listeners);
        all.add(progress);
        BatchLoader batches = new BatchLoader(
                data.examples(),
                training.batchSize(),
                training.accumulation(),
                training.seed(),
                new Collator(0, 1),
                true);
        if (!(method instanceof TuningMethod.WithAdapter adapted)) {
            CausalLM whole = base.model();
            TrainingReport report = new Trainer(
                            whole.withActivations(policy),
                            Parameter.named(whole.parameters()),
                            ParameterGroups.ONE,
                            batches,
                            training,
                            all,
                            cancelled)
                    .expecting(expected(base, null, data))
                    .run();
            return new FineTunedModel(base, null, report);
        }
        Adapter adapter = new Adapter(base, create(base, adapted.settings(), training.seed()));
        try {
            ParameterGroups groups = adapted.plus() == null
                    ? ParameterGroups.ONE
                    : adapted.plus().groups(training.learningRate());
            TrainingReport report = new Trainer(
                            adapter.view().withActivations(policy),
                            adapter.peft().trainable(),
                            groups,
                            batches,
                            training,
                            all,
                            cancelled)
                    .expecting(expected(base, adapted.startsAsBase() ? null : base.model(), data))
                    .run();
            return new FineTunedModel(base, adapter, report);
        } catch (RuntimeException | Error e) {
            adapter.close();
            throw e;
        }
    }

    private Expectations expected(LanguageModel base, @Nullable CausalLM yardstick, EncodedDataset data) {
        ModelConfig config = base.model().config();
        return new Expectations(
                yardstick,
                data.report(),
                UsualSettings.rate(method, config),
                UsualSettings.highestRate(method, config));
    }

    private PeftAdapter create(LanguageModel base, AdapterSettings settings, long seed) {
        PeftAdapter.Sources sources =
                new PeftAdapter.Sources(seed, base.directory()::weights, base.encoder()::encodeText);
        return PeftAdapter.create(base.model(), settings, sources);
    }
}
