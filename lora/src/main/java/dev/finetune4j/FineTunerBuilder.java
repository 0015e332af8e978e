package dev.finetune4j;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.Ia3Settings;
import dev.finetune4j.lora.adapter.LnTuningSettings;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.PTuningSettings;
import dev.finetune4j.lora.adapter.PrefixSettings;
import dev.finetune4j.lora.adapter.PromptTuningSettings;
import dev.finetune4j.lora.adapter.VeraSettings;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.train.LearningRateSchedule;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Collects the settings of a fine-tuning. Not thread-safe; every method but build, train and start returns this builder. */
public final class FineTunerBuilder {
    private final List<String> problems = new ArrayList<>();
    private final List<TrainingListener> listeners = new ArrayList<>();
    private final Map<String, String> placeholders = new LinkedHashMap<>();
    private @Nullable Path model;
    private @Nullable Supplier<TuningMethod> method;
    private @Nullable Supplier<Dataset> dataset;
    private @Nullable QuantSettings quantization;
    private @Nullable String template;
    private @Nullable ComputeDevice device;
    private @Nullable Precision precision;
    private final TrainingSettings.Builder training = TrainingSettings.builder();
    private boolean usualRate = true;
    private boolean usualLength = true;
    private @Nullable ActivationCheckpointing activations;
    private boolean ignoresMemoryPlan;
    private int threads;
    private int maxLength;
    private Truncation overflow = Truncation.FAIL;

    FineTunerBuilder() {}

    /** The folder of the base model, in Hugging Face's layout. Required. */
    public FineTunerBuilder model(Path folder) {
        Arguments.given(folder, "model(folder)");
        once("model", model);
        this.model = folder;
        return this;
    }

    /** Trains a LoRA adapter on the base as it is. One method is required. */
    public FineTunerBuilder lora(Consumer<LoraOptions> options) {
        Arguments.given(options, "lora(options)");
        LoraOptions chosen = new LoraOptions();
        options.accept(chosen);
        return method(() -> new TuningMethod.WithAdapter(chosen.settings(), null, chosen.plus()));
    }

    /** Trains a LoRA adapter on the base in 4 bits: NF4 with double quantization unless said otherwise. */
    public FineTunerBuilder qlora(Consumer<QloraOptions> options) {
        Arguments.given(options, "qlora(options)");
        QloraOptions chosen = new QloraOptions();
        options.accept(chosen);
        return method(() -> new TuningMethod.WithAdapter(chosen.settings(), chosen.quantization(), chosen.plus()));
    }

    /** QLoRA with its defaults. */
    public FineTunerBuilder qlora() {
        return qlora(options -> {});
    }

    /** Trains factors that rescale keys, values and inner activations, a few thousand values in all: (IA)³. */
    public FineTunerBuilder ia3() {
        return adapter(Ia3Settings::defaults);
    }

    /** Trains two vectors for each linear, which scale random matrices that all linears share: VeRA. */
    public FineTunerBuilder vera(Consumer<VeraSettings.Builder> options) {
        Arguments.given(options, "vera(options)");
        VeraSettings.Builder chosen = VeraSettings.builder();
        options.accept(chosen);
        return adapter(chosen::build);
    }

    /** Trains the weights of the norms alone: LN tuning. */
    public FineTunerBuilder lnTuning() {
        return adapter(LnTuningSettings::defaults);
    }

    /** Trains keys and values that stand before those of the first token in every layer: prefix tuning. */
    public FineTunerBuilder prefixTuning(int virtualTokens) {
        return adapter(() -> PrefixSettings.of(virtualTokens));
    }

    /** Trains virtual tokens before the first one by way of a small network: P-tuning. */
    public FineTunerBuilder pTuning(int virtualTokens) {
        return adapter(() -> PTuningSettings.of(virtualTokens));
    }

    /** Trains virtual tokens before the first one, which start at random: prompt tuning. */
    public FineTunerBuilder promptTuning(int virtualTokens) {
        return adapter(() -> PromptTuningSettings.random(virtualTokens));
    }

    /** Prompt tuning that starts from the tokens of a text which says what the model is to do. */
    public FineTunerBuilder promptTuning(int virtualTokens, String text) {
        Arguments.given(text, "promptTuning(text)");
        return adapter(() -> PromptTuningSettings.fromText(virtualTokens, text));
    }

    /** Trains an adapter of any kind, with all of its settings. */
    public FineTunerBuilder adapter(AdapterSettings settings) {
        Arguments.given(settings, "adapter(settings)");
        return adapter(() -> settings);
    }

    private FineTunerBuilder adapter(Supplier<AdapterSettings> settings) {
        return method(() -> new TuningMethod.WithAdapter(settings.get(), null, null));
    }

    /** Keeps the base in 4 bits while an adapter is trained; {@link #qlora()} does so by itself. */
    public FineTunerBuilder quantize(QuantSettings form) {
        Arguments.given(form, "quantize(form)");
        quantization = form;
        return this;
    }

    /** Trains all weights of the model, kept in float32. */
    public FineTunerBuilder full() {
        return method(TuningMethod.Full::new);
    }

    private FineTunerBuilder method(Supplier<TuningMethod> choice) {
        once("method (lora, qlora, full, …)", method);
        this.method = choice;
        return this;
    }

    /** The examples, from a JSON or JSONL file in the alpaca layout. A data set is required. */
    public FineTunerBuilder dataset(Path file) {
        Arguments.given(file, "dataset(file)");
        once("dataset", dataset);
        this.dataset = () -> Dataset.read(file);
        return this;
    }

    /** The examples, from memory. */
    public FineTunerBuilder dataset(Dataset examples) {
        Arguments.given(examples, "dataset(examples)");
        once("dataset", dataset);
        this.dataset = () -> examples;
        return this;
    }

    /** Replaces <code>{{name}}</code> in the examples. Every placeholder in the data needs a value. */
    public FineTunerBuilder placeholder(String name, String value) {
        Arguments.given(name, "placeholder(name)");
        Arguments.given(value, "placeholder(value)");
        placeholders.put(name, value);
        return this;
    }

    /** The name of the chat template; by default it is recognised from the tokenizer's configuration. */
    public FineTunerBuilder template(String name) {
        Arguments.given(name, "template(name)");
        this.template = name;
        return this;
    }

    /** The longest example in tokens; by default the model's own limit, at most 2048. */
    public FineTunerBuilder maxLength(int tokens) {
        if (tokens < 2) {
            problems.add("maxLength must be at least 2 tokens, but is " + tokens);
        }
        this.maxLength = tokens;
        return this;
    }

    /** What happens to longer examples; by default they are an error. */
    public FineTunerBuilder overflow(Truncation policy) {
        Arguments.given(policy, "overflow(policy)");
        this.overflow = policy;
        return this;
    }

    /** Where to train; by default the first CUDA GPU if there is one, otherwise the CPU. */
    public FineTunerBuilder device(ComputeDevice chosen) {
        Arguments.given(chosen, "device(chosen)");
        this.device = chosen;
        return this;
    }

    /** The number format of the computation; by default that in which the device is fastest, see {@link LanguageModel.Loader#precision}. */
    public FineTunerBuilder precision(Precision chosen) {
        Arguments.given(chosen, "precision(chosen)");
        this.precision = chosen;
        return this;
    }

    /** Passes over the data; by default 3, and for small data sets as many as make 60 steps. */
    public FineTunerBuilder epochs(double epochs) {
        usualLength = false;
        training.epochs(epochs);
        return this;
    }

    /**
     * How many threads an operation of the training may use on the CPU; by default as many as hold for the process ({@code
     * TorchRuntime.setThreads}). The tuned model answers with the latter.
     */
    public FineTunerBuilder threads(int number) {
        if (number < 1) {
            problems.add("threads must be at least 1, but was " + number);
        }
        this.threads = number;
        return this;
    }

    /** Optimizer steps, instead of epochs. */
    public FineTunerBuilder maxSteps(int steps) {
        usualLength = false;
        training.maxSteps(steps);
        return this;
    }

    /** Examples that go through the model together; 8 by default. */
    public FineTunerBuilder batchSize(int examples) {
        training.batchSize(examples);
        return this;
    }

    /** Batches whose gradients make one optimizer step; 1 by default. */
    public FineTunerBuilder accumulation(int batches) {
        training.accumulation(batches);
        return this;
    }

    /**
     * Which blocks keep only their input for the backward pass and compute again then, which saves memory and costs time. By
     * default as few as the memory plan finds enough, see {@link #plan()}.
     */
    public FineTunerBuilder activations(ActivationCheckpointing policy) {
        Arguments.given(policy, "activations(policy)");
        this.activations = policy;
        return this;
    }

    /**
     * Trains even when the {@link #plan()} does not fit into what is free, with a warning in the log. By default such a training
     * is refused before anything is loaded: on the CPU when the plan does not fit, because there the operating system ends the
     * whole process when memory runs out; on a GPU, where running out is an error like others, when what does not depend on
     * the batch is already too much.
     */
    public FineTunerBuilder ignoreMemoryPlan() {
        this.ignoresMemoryPlan = true;
        return this;
    }

    /**
     * Peak learning rate. By default 2e-4 for LoRA and 2e-5 for full fine-tuning of a model of width 4096, more for a narrower
     * and less for a wider one, by the square root of the width; 3e-3 for (IA)³ and LN tuning, 4e-3 for VeRA, 1e-2 for prefix
     * tuning, 1e-3 for P-tuning and 3e-2 for prompt tuning.
     */
    public FineTunerBuilder learningRate(double rate) {
        usualRate = false;
        training.learningRate(rate);
        return this;
    }

    /** Course of the learning rate and the share of the steps that it warms up; a cosine with 3 % by default. */
    public FineTunerBuilder schedule(LearningRateSchedule schedule, double warmupRatio) {
        Arguments.given(schedule, "schedule(schedule)");
        training.schedule(schedule, warmupRatio);
        return this;
    }

    /** AdamW's weight decay; 0 by default. */
    public FineTunerBuilder weightDecay(double decay) {
        training.weightDecay(decay);
        return this;
    }

    /** Largest gradient norm, 0 for no limit; 1 by default. */
    public FineTunerBuilder maxGradNorm(double norm) {
        training.maxGradNorm(norm);
        return this;
    }

    /** Decides the order of the examples, the adapter's start and what dropout hides; 42 by default. */
    public FineTunerBuilder seed(long seed) {
        training.seed(seed);
        return this;
    }

    /** Adds somebody who watches. */
    public FineTunerBuilder listener(TrainingListener listener) {
        Arguments.given(listener, "listener(listener)");
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
        List<String> found = new ArrayList<>();
        if (dataset == null) {
            found.add("no data set was chosen; call dataset(…)");
        }
        FineTuning tuning = tuning(found);
        Dataset examples = Objects.requireNonNull(dataset).get();
        return new FineTuner(tuning, placeholders.isEmpty() ? examples : examples.bind(placeholders));
    }

    /** @param missing what else is missing */
    private FineTuning tuning(List<String> missing) {
        List<String> found = new ArrayList<>(problems);
        if (model == null) {
            found.add("no model was chosen; call model(folder)");
        }
        if (method == null) {
            found.add("no method was chosen; call qlora(…), lora(…), full() or another");
        }
        found.addAll(missing);
        TuningMethod chosen = method == null ? null : collect(found, quantized(method));
        TrainingSettings settings = collect(found, training::build);
        if (model == null || chosen == null || settings == null || !found.isEmpty()) {
            throw new SettingsException(found);
        }
        return new FineTuning(
                model,
                chosen,
                new FineTuning.Encoding(template, maxLength, overflow),
                new FineTuning.Compute(device, precision, threads, activations, new MemoryCheck(ignoresMemoryPlan)),
                settings,
                new UsualSettings(usualRate, usualLength),
                listeners);
    }

    /**
     * The memory that a training with these settings takes, for batches of the longest examples that are allowed. Model and
     * method must have been chosen, a data set need not; only config.json is read, and nothing is loaded.
     *
     * @throws SettingsException naming all that is missing or cannot work together
     * @throws dev.finetune4j.core.ModelFileException when config.json cannot be read or is not supported
     * @throws dev.finetune4j.core.DeviceException when the device is absent
     */
    public MemoryPlan plan() {
        return FineTuner.plan(tuning(List.of()));
    }

    /** Builds the fine-tuner and trains. See {@link FineTuner#train()}. */
    public FineTunedModel train() {
        return build().train();
    }

    /** Builds the fine-tuner and starts it. See {@link FineTuner#start()}. */
    public TrainingJob start() {
        return build().start();
    }

    /** The method with the form of the base that was asked for apart. */
    private Supplier<TuningMethod> quantized(Supplier<TuningMethod> choice) {
        return () -> {
            TuningMethod chosen = choice.get();
            if (quantization == null) {
                requireQuantizedForLoftq(chosen);
                return chosen;
            }
            if (!(chosen instanceof TuningMethod.WithAdapter adapted)) {
                throw new SettingsException(
                        List.of("full fine-tuning trains the weights themselves, which cannot be kept in 4 bits;"
                                + " leave quantize(…) out or train an adapter"));
            }
            return new TuningMethod.WithAdapter(adapted.adapter(), quantization, adapted.plus());
        };
    }

    private static void requireQuantizedForLoftq(TuningMethod chosen) {
        if (chosen instanceof TuningMethod.WithAdapter adapted
                && adapted.quantization() == null
                && adapted.adapter() instanceof LoraSettings lora
                && lora.initWeights() instanceof LoraInit.Loftq) {
            throw new SettingsException(
                    List.of("LoftQ starts from what quantizing the base loses; use qlora(…) or quantize(…) with it"));
        }
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
