package dev.finetune4j;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.BatchSettings;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.hub.ModelSource;
import dev.finetune4j.core.inference.Batcher;
import dev.finetune4j.core.inference.ChatPipeline;
import dev.finetune4j.core.inference.Constraints;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.message.SetOnce;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.Example;
import dev.finetune4j.lora.eval.EvaluableModel;
import dev.finetune4j.lora.eval.score.SequenceScorer;
import dev.finetune4j.lora.export.ChatFiles;
import dev.finetune4j.lora.export.ExtendedVocabulary;
import dev.finetune4j.lora.export.MergedModelExporter;
import dev.finetune4j.lora.export.ModelContent;
import dev.finetune4j.lora.export.ModelWriter;
import dev.finetune4j.lora.plan.ServingPlan;
import dev.finetune4j.lora.plan.estimate.ServingPlanner;
import dev.finetune4j.quant.QuantSettings;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A base model with its tokenizer and chat template, ready to chat and to carry adapters.
 *
 * <pre>{@code
 * try (LanguageModel model = LanguageModel.load(Path.of("Yi-1.5-6B-Chat"));
 *         Adapter adapter = model.loadAdapter(Path.of("adapter"))) {
 *     String tuned = adapter.ask("你是谁?");   // base and adapter
 *     String plain = model.ask("你是谁?");     // the base alone
 * }
 * }</pre>
 *
 * <p>Chats of the model and of its adapters may run in several threads at once, one thread per session; replies that run side by
 * side are computed together, a token of each at a time ({@link Loader#batching}). Closing waits for the
 * token that each of them is at, for a save and for the loading of an adapter; replies that are not finished then, and later
 * calls, end with {@link IllegalStateException}. So a service can load another model first, hand it to its threads, and close
 * this one while they still answer.
 */
public final class LanguageModel implements EvaluableModel, AutoCloseable {
    private final PretrainedFolder folder;
    private final Tokenizer tokenizer;
    private final ChatEncoder encoder;
    private final CausalLM model;
    private final AdapterRecord record;
    private final @Nullable QuantSettings quantization;
    /** Whether its own weights are trained, so that those in the folder are not what it computes with. */
    private final boolean trainsItself;

    private final Batcher batcher;
    private final Constraints constraints;
    private final Adapters adapters = new Adapters(this);
    /** Trainings of new adapters that are in progress. */
    private final Set<TrainingJob> trainings = ConcurrentHashMap.newKeySet();

    private volatile boolean closing;

    private LanguageModel(
            PretrainedFolder folder,
            Tokenizer tokenizer,
            ChatEncoder encoder,
            AdapterRecord record,
            CausalLM model,
            BaseLoading loading) {
        this.folder = folder;
        this.tokenizer = tokenizer;
        this.encoder = encoder;
        this.model = model;
        this.record = record;
        this.quantization = loading.quantization();
        this.trainsItself = loading.trainable();
        this.batcher = new Batcher(model, loading.batching());
        this.constraints = new Constraints(tokenizer, model.config().vocabSize());
    }

    /**
     * Loads a model folder with the defaults of {@link #loader}.
     *
     * @throws dev.finetune4j.core.ModelFileException when the folder is incomplete, damaged or of an unsupported kind
     */
    public static LanguageModel load(Path folder) {
        return loader(folder).load();
    }

    /**
     * Loads a model from wherever it comes, with the defaults of {@link #loader}: {@code
     * LanguageModel.load(ModelSource.huggingFace("Qwen/Qwen2.5-0.5B-Instruct"))}.
     *
     * @throws dev.finetune4j.core.hub.HubException when it cannot be had
     * @throws dev.finetune4j.core.ModelFileException when its folder is incomplete, damaged or of an unsupported kind
     */
    public static LanguageModel load(ModelSource source) {
        return loader(source).load();
    }

    /**
     * Reads the weights of a model whose text is understood already.
     *
     * @param tokenizer that of the folder; the model's from here on, unless this throws
     * @param encoder with that tokenizer
     */
    static LanguageModel load(BaseLoading loading, PretrainedFolder folder, Tokenizer tokenizer, ChatEncoder encoder) {
        // Before the weights are read, so that it names what they were read from.
        AdapterRecord record = AdapterRecord.of(folder.files(), encoder);
        return new LanguageModel(folder, tokenizer, encoder, record, loading.weights(folder), loading);
    }

    /** Loads with choices: device, precision, quantization, chat template. */
    public static Loader loader(Path folder) {
        return new Loader(ModelSource.local(Arguments.given(folder, "loader(folder)")));
    }

    /**
     * The same for a folder or the id of a model that a hub's cache on this machine has: {@link ModelSource#of}. Nothing is downloaded
     * unless a setting allows it.
     */
    public static Loader loader(String name) {
        return new Loader(ModelSource.of(Arguments.given(name, "loader(name)")));
    }

    /** The same for a model from wherever it comes. It is looked up and, where that is needed, downloaded by {@link Loader#load}. */
    public static Loader loader(ModelSource source) {
        return new Loader(Arguments.given(source, "loader(source)"));
    }

    /**
     * Loads an adapter that was trained on this model.
     *
     * @param folder in PEFT's format
     * @throws IllegalStateException when the model is closed
     * @throws dev.finetune4j.core.ModelFileException when it is incomplete or damaged, or was trained on another base
     */
    public Adapter loadAdapter(Path folder) {
        Arguments.given(folder, "loadAdapter(folder)");
        return Adapter.load(this, folder);
    }

    @Override
    public ChatSession chat(GenerationSettings settings, @Nullable String system) {
        Arguments.given(settings, "chat(settings)");
        return pipeline(model).chat(settings, system);
    }

    @Override
    public Reply reply(ChatRequest request) {
        return reply(request, delta -> {});
    }

    @Override
    public Reply reply(ChatRequest request, Consumer<ReplyDelta> sink) {
        Arguments.given(request, "reply(request)");
        Arguments.given(sink, "reply(sink)");
        try (Adapters.Lease lease = adapters.lease(request.adapter())) {
            return pipeline(lease.view()).reply(request, sink);
        }
    }

    @Override
    public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
        Arguments.given(request, "submit(request)");
        Arguments.given(sink, "submit(sink)");
        Adapters.Lease lease = adapters.lease(request.adapter());
        try {
            Completion completion = pipeline(lease.view()).submit(request, sink);
            completion.stage().whenComplete((reply, failure) -> lease.close());
            return completion;
        } catch (RuntimeException | Error e) {
            lease.close();
            throw e;
        }
    }

    @Override
    public List<Reply> choices(ChatRequest request, int n) {
        Arguments.given(request, "choices(request)");
        Arguments.atLeast(1, n, "n");
        try (Adapters.Lease lease = adapters.lease(request.adapter())) {
            return pipeline(lease.view()).choices(request, n);
        }
    }

    @Override
    public List<TokenLogprob> score(String text) {
        Arguments.given(text, "score(text)");
        return pipeline(model).score(text);
    }

    @Override
    public List<TokenLogprob> score(Conversation conversation) {
        Arguments.given(conversation, "score(conversation)");
        return pipeline(model).score(conversation);
    }

    @Override
    public int countTokens(String text) {
        Arguments.given(text, "countTokens(text)");
        return pipeline(model).countTokens(text);
    }

    @Override
    public int countTokens(Conversation conversation) {
        Arguments.given(conversation, "countTokens(conversation)");
        return pipeline(model).countTokens(conversation);
    }

    @Override
    public List<List<TokenLogprob>> score(List<? extends Example> examples) {
        Arguments.given(examples, "score(examples)");
        return scorer(model, SequenceScorer.USUAL_TOKENS).score(examples);
    }

    /**
     * What scores texts by the base or by an adapter's view of it.
     *
     * @param tokensAtOnce how many tokens are computed together
     */
    SequenceScorer scorer(CausalLM view, long tokensAtOnce) {
        return new SequenceScorer(view, encoder, tokensAtOnce);
    }

    /** The adapters that this serves by name. */
    public Adapters adapters() {
        return adapters;
    }

    /**
     * Writes the whole model in another form, such as one GGUF file of a Hugging Face folder. The weights are those of the folder that it
     * was loaded from, whatever form they have in memory; after full fine-tuning those that were trained.
     *
     * @param target folder or, for GGUF, file; made if absent, not the model's own. A model of this library that is there is replaced as a
     *     whole, or stays when writing fails or the process ends
     * @param format such as {@code ModelFormat.gguf(GgufType.Q8_0)}
     * @throws IllegalStateException when the model is closed
     * @throws SettingsException when the folder is the model's own, or the format cannot hold the model, with the reasons
     * @throws ModelFileException when the model's folder is gone or holds another model meanwhile
     * @throws dev.finetune4j.core.FineTune4jException when the target cannot be written
     */
    public void export(Path target, ModelFormat format) {
        Arguments.given(target, "export(target)");
        Arguments.given(format, "export(format)");
        ModelWriter writer = Exports.writer(format);
        try (Lifetime.Use use = model.use()) {
            if (trainsItself) {
                writer.write(ModelContent.of(model, files(), record.ofModel(), writer.precision()), target);
            } else {
                requireUnchanged();
                MergedModelExporter.write(files(), record.ofModel(), target, writer);
            }
        }
    }

    /** What answers by the base or by an adapter's view of it; all share one batch. */
    ChatPipeline pipeline(CausalLM view) {
        return new ChatPipeline(view, encoder, batcher, constraints);
    }

    CausalLM model() {
        return model;
    }

    /** The 4-bit form of the weights; null where they are dense, or as a 4-bit checkpoint has them. */
    @Nullable
    QuantSettings quantization() {
        return quantization;
    }

    /** Stops a training on this model when this is closed. */
    void endWithThis(TrainingJob training) {
        trainings.add(training);
        training.completion().whenComplete((tuned, failure) -> trainings.remove(training));
        if (closing) {
            training.stop();
        }
    }

    /** Whether this is closed or being closed. */
    boolean isClosing() {
        return closing;
    }

    ChatEncoder encoder() {
        return encoder;
    }

    /** What an adapter of this model notes about it, as it was when it was loaded. */
    AdapterRecord record() {
        return record;
    }

    PretrainedFolder folder() {
        return folder;
    }

    /**
     * Checks that the folder still holds the weights that were loaded, for what reads them again.
     *
     * @throws ModelFileException when it is gone or holds another model meanwhile
     */
    void requireUnchanged() {
        folder.files().requireUnchanged();
        if (!folder.files().fingerprint().equals(record.baseFingerprint())) {
            throw new ModelFileException(folder.path() + " was replaced by another model since it was loaded, and what"
                    + " was trained belongs to the earlier weights; put them back");
        }
    }

    /** The small files of a folder in which this model, or an adapter of it, is written. */
    ChatFiles files() {
        return new ChatFiles(folder, encoder);
    }

    /**
     * Frees the weights and the tokenizer, once no call needs them any more. Trainings on this model end before their next micro-batch.
     * Closing twice is fine.
     */
    @Override
    public void close() {
        closing = true;
        trainings.forEach(TrainingJob::stop);
        batcher.close();
        adapters.close();
        model.close();
        tokenizer.close();
    }

    /**
     * Merges a saved adapter into a model without loading the model: weights are read, merged in float32, rounded once and written, one
     * at a time, so that a model of any size is merged in a few GB.
     *
     * @param model folder of the base, in 16 or 32 bits
     * @param adapter folder of the adapter, in PEFT's format
     * @param target folder or, for GGUF, file; made if absent, not the base's own. A model of this library that is there is replaced as a
     *     whole, or stays when writing fails or the process ends
     * @param settings such as {@code MergeSettings.defaults()}
     * @throws SettingsException when the base is in 4 bits, the adapter cannot be merged, or the format cannot hold the model
     * @throws ModelFileException when a folder is incomplete or damaged, or the adapter was trained on another base
     * @throws dev.finetune4j.core.FineTune4jException when it cannot be written, or computes otherwise than base and adapter
     */
    public static void merge(Path model, Path adapter, Path target, ModelFormat format, MergeSettings settings) {
        Arguments.given(model, "merge(model)");
        Arguments.given(adapter, "merge(adapter)");
        Arguments.given(target, "merge(target)");
        Arguments.given(format, "merge(format)");
        Arguments.given(settings, "merge(settings)");
        Merging.merge(model, adapter, target, format, settings);
    }

    /**
     * Writes a copy of a model folder with tokens that its base does not have: the tokenizer knows them, and embedding and head have a row
     * for each, which starts as the mean of those of all tokens. The number of rows is a multiple of 64, unless the model has room
     * already; all other weights are copied as they are. The copy is trained on like any other model, here and in Python:
     *
     * <pre>{@code
     * LanguageModel.NewTokens added = LanguageModel.extend(base, folder, List.of("<plan>", "<answer>"));
     * FineTuner.builder()
     *         .model(added.folder())
     *         .lora(l -> l.trainableTokenIndices(added.trainableTokenIndices()))   // their rows are trained beside LoRA
     * }</pre>
     *
     * @param model folder of the base
     * @param folder for the copy; made if absent, neither the base's own nor an adapter's. A model of this library that is there is replaced as
     *     a whole, or stays when writing fails
     * @param tokens their texts, such as {@code <plan>}; recognised wherever a text contains them, and decoded as they are
     * @throws SettingsException naming all tokens that are blank or there already, or when the base is in 4 bits
     * @throws dev.finetune4j.core.FineTune4jException when a folder cannot be read or written
     */
    public static NewTokens extend(Path model, Path folder, List<String> tokens) {
        Arguments.given(model, "extend(model)");
        Arguments.given(folder, "extend(folder)");
        Arguments.given(tokens, "extend(tokens)");
        PretrainedFolder base = PretrainedFolder.open(model);
        try (Tokenizer tokenizer = Tokenizer.load(model)) {
            ExtendedVocabulary extended = new ExtendedVocabulary(base, tokenizer, tokens);
            extended.write(folder);
            return new NewTokens(folder, extended.tokenIds(), extended.tables());
        }
    }

    /**
     * The new tokens of a model that was {@linkplain #extend extended}.
     *
     * @param folder of the extended model
     * @param ids of the tokens, in their order
     * @param tables the tables in which they have rows: {@code embed_tokens}, and {@code lm_head} where the head has its own
     */
    public record NewTokens(Path folder, List<Integer> ids, List<String> tables) {
        public NewTokens {
            ids = List.copyOf(ids);
            tables = List.copyOf(tables);
        }

        /** What {@code LoraSettings.Builder.trainableTokenIndices} takes, so that the new rows are trained. */
        public Map<String, List<Integer>> trainableTokenIndices() {
            Map<String, List<Integer>> indices = new LinkedHashMap<>();
            tables.forEach(table -> indices.put(table, ids));
            return indices;
        }
    }

    /** Choices for loading. Each is made once; a second call is an {@link IllegalStateException}. Not thread-safe. */
    public static final class Loader {
        private final ModelSource source;
        private final SetOnce once = new SetOnce();
        private @Nullable ComputeDevice device;
        private @Nullable Precision precision;
        private @Nullable QuantSettings quantization;
        private @Nullable String chatTemplate;
        private BatchSettings batching = BatchSettings.defaults();
        private boolean ignoresMemoryPlan;
        private int threads;

        private Loader(ModelSource source) {
            this.source = source;
        }

        /** Where the model lives; by default the first CUDA GPU if there is one, otherwise the CPU. */
        public Loader device(ComputeDevice newDevice) {
            device = once.set("device", Arguments.given(newDevice, "device(newDevice)"));
            return this;
        }

        /**
         * The number format it computes in; by default the one in which the device is fastest: BF16 on a GPU and on a CPU
         * that multiplies such numbers, FP32 on other CPUs. Weights are rounded to it as they are read.
         */
        public Loader precision(Precision newPrecision) {
            precision = once.set("precision", Arguments.given(newPrecision, "precision(newPrecision)"));
            return this;
        }

        /** Keeps the weights of all linears but the head in 4 bits; by default they stay as they are in the file, dense or 4-bit. */
        public Loader quantize(QuantSettings settings) {
            quantization = once.set("quantize", Arguments.given(settings, "quantize(settings)"));
            return this;
        }

        /** The name of the chat template; by default it is the one that the model folder brings along. */
        public Loader chatTemplate(String name) {
            chatTemplate = once.set("chatTemplate", Arguments.given(name, "chatTemplate(name)"));
            return this;
        }

        /**
         * How many threads an operation of this model and of its adapters may use on the CPU; by default as many as hold for
         * the process ({@code TorchRuntime.setThreads}), so that a service can answer beside a training.
         *
         * @throws IllegalArgumentException if the number is below 1
         */
        public Loader threads(int number) {
            threads = once.set("threads", Arguments.atLeast(1, number, "threads"));
            return this;
        }

        /** How many texts the model and its adapters generate at once; by default {@link BatchSettings#defaults}. */
        public Loader batching(BatchSettings settings) {
            batching = once.set("batching", Arguments.given(settings, "batching(settings)"));
            return this;
        }

        /**
         * Loads even when the weights take more memory than is free, with a warning in the log. By default that is refused
         * before any is read: on the CPU the operating system would end the whole process.
         */
        public Loader ignoreMemoryPlan() {
            this.ignoresMemoryPlan = true;
            return this;
        }

        /**
         * What serving takes in memory: the weights as these choices have them, the keys and values of texts, and adapters. Reads headers
         * only, loads nothing.
         *
         * @param texts how many are generated at once
         * @param tokens that each of them has at most, prompt and answer together
         * @param adapterFolders in PEFT's format
         * @throws dev.finetune4j.core.ModelFileException when a folder is incomplete or damaged
         */
        public ServingPlan servingPlan(int texts, int tokens, Path... adapterFolders) {
            Arguments.atLeast(1, texts, "texts");
            Arguments.atLeast(1, tokens, "tokens");
            Placement placement = loading().placement();
            return ServingPlanner.plan(
                    PretrainedFolder.open(source.fetch()),
                    quantization,
                    placement,
                    texts,
                    tokens,
                    batching.prefixCacheTokens(),
                    List.of(adapterFolders),
                    DeviceMemory.of(placement.device()));
        }

        /**
         * Loads the model.
         *
         * @throws dev.finetune4j.core.hub.HubException when the model is a hub's and cannot be had
         * @throws dev.finetune4j.core.ModelFileException when the folder is incomplete, damaged or of an unsupported kind
         * @throws dev.finetune4j.core.DeviceException when the device is absent
         * @throws dev.finetune4j.core.OutOfDeviceMemoryException when the weights take more memory than is free
         * @throws SettingsException when no chat template has the name, or none was named and the folder has none
         */
        public LanguageModel load() {
            Path folder = source.fetch();
            PretrainedFolder opened = PretrainedFolder.open(folder);
            Tokenizer tokenizer = Tokenizer.load(folder);
            try {
                ChatEncoder encoder = BaseLoading.encoder(opened, tokenizer, chatTemplate);
                BaseLoading loading = loading();
                Placement placement = loading.placement();
                new MemoryCheck(ignoresMemoryPlan)
                        .loading(opened, quantization, placement, DeviceMemory.of(placement.device()));
                return LanguageModel.load(loading, opened, tokenizer, encoder);
            } catch (RuntimeException | Error e) {
                tokenizer.close();
                throw e;
            }
        }

        private BaseLoading loading() {
            return BaseLoading.on(device == null ? ComputeDevice.best() : device, precision)
                    .withThreads(threads)
                    .quantizing(quantization)
                    .batching(batching);
        }
    }
}
