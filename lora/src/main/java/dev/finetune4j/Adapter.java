package dev.finetune4j;

import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.hub.ModelSource;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.Example;
import dev.finetune4j.lora.adapter.Combination;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.lora.LoraCombiner;
import dev.finetune4j.lora.adapter.peft.AdapterCopy;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.adapter.peft.AdapterScale;
import dev.finetune4j.lora.eval.EvaluableModel;
import dev.finetune4j.lora.eval.score.SequenceScorer;
import dev.finetune4j.lora.export.MergedModelExporter;
import dev.finetune4j.lora.export.gguf.GgufAdapterWriter;
import dev.finetune4j.lora.train.checkpoint.SavedCheckpoint;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * An adapter on a base model: chats with what was trained, while the base stays as it is.
 *
 * <p>Any number of adapters can sit on one base and be used at the same time; each costs only its own small matrices.
 * Thread-safe. Closing it, or the base, waits for the token that each session is at and for a save in progress; what comes
 * later ends with {@link IllegalStateException}.
 */
public final class Adapter implements EvaluableModel, AutoCloseable {
    private final LanguageModel base;
    private final PeftAdapter adapter;
    private final CausalLM view;

    Adapter(LanguageModel base, PeftAdapter adapter) {
        this.base = base;
        this.adapter = adapter;
        this.view = adapter.attachTo(base.model());
    }

    static Adapter load(LanguageModel base, Path folder) {
        return load(base, folder, 1);
    }

    /** @param scale what the adapter adds is multiplied by it */
    static Adapter load(LanguageModel base, Path folder, double scale) {
        try (Lifetime.Use use = base.model().use()) {
            ModelFiles.settle(folder);
            AdapterRecord.check(folder, base);
            PeftAdapter adapter = AdapterFiles.load(folder, base.model());
            try {
                if (scale != 1) {
                    AdapterScale.apply(adapter, scale);
                }
                return new Adapter(base, adapter);
            } catch (RuntimeException | Error e) {
                adapter.close();
                throw e;
            }
        }
    }

    private static void requireNoName(ChatRequest request) {
        if (request.adapter() != null) {
            throw new IllegalArgumentException("the request names the adapter \"" + request.adapter()
                    + "\", but it was given to an adapter; give it to the LanguageModel, or leave the name out");
        }
    }

    /**
     * An adapter with its share in a combination.
     *
     * @param adapter LoRA
     * @param weight any number; negative ones take away what the adapter adds
     */
    public record Weighted(Adapter adapter, double weight) {
        public Weighted {
            Arguments.given(adapter, "weighted(adapter)");
        }
    }

    /** Whether it sits on a model. */
    boolean isOn(LanguageModel model) {
        return base == model;
    }

    /** This adapter with its share in a {@linkplain #combine combination}. */
    public Weighted weighted(double weight) {
        return new Weighted(this, weight);
    }

    /**
     * Combines LoRA adapters on one base into a new one, as PEFT's {@code add_weighted_adapter} does; {@link #save} makes it last.
     *
     * <pre>{@code
     * try (Adapter both = Adapter.combine(
     *         Combination.of(Combination.Type.TIES).density(0.5), polite.weighted(0.7), brief.weighted(0.3))) {
     *     both.save(folder);
     * }
     * }</pre>
     *
     * @param how such as {@code Combination.of(Combination.Type.CAT)}, which is exactly the weighted sum
     * @param adapters in the order in which they are added
     * @throws dev.finetune4j.core.SettingsException naming all that cannot be combined: other kinds, other ranks, other bases
     * @throws IllegalStateException when an adapter or the base is closed
     */
    public static Adapter combine(Combination how, Weighted... adapters) {
        Arguments.given(how, "combine(how)");
        Arguments.given(adapters, "combine(adapters)");
        if (adapters.length == 0) {
            throw new SettingsException(List.of("no adapter was given to combine; name at least one"));
        }
        LanguageModel base = adapters[0].adapter().base;
        if (Arrays.stream(adapters).anyMatch(each -> each.adapter().base != base)) {
            throw new SettingsException(
                    List.of("the adapters to combine sit on several models; load all of them on one"));
        }
        try (Lifetime.Use use = base.model().use()) {
            PeftAdapter combined = LoraCombiner.combine(
                    Arrays.stream(adapters).map(each -> each.adapter().peft()).toList(),
                    Arrays.stream(adapters).map(Weighted::weight).toList(),
                    how,
                    base.model());
            try {
                return new Adapter(base, combined);
            } catch (RuntimeException | Error e) {
                combined.close();
                throw e;
            }
        }
    }

    @Override
    public ChatSession chat(GenerationSettings settings, @Nullable String system) {
        Arguments.given(settings, "chat(settings)");
        return base.pipeline(view).chat(settings, system);
    }

    @Override
    public Reply reply(ChatRequest request) {
        return reply(request, delta -> {});
    }

    @Override
    public Reply reply(ChatRequest request, Consumer<ReplyDelta> sink) {
        Arguments.given(request, "reply(request)");
        Arguments.given(sink, "reply(sink)");
        requireNoName(request);
        return base.pipeline(view).reply(request, sink);
    }

    @Override
    public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
        Arguments.given(request, "submit(request)");
        Arguments.given(sink, "submit(sink)");
        requireNoName(request);
        return base.pipeline(view).submit(request, sink);
    }

    @Override
    public List<Reply> choices(ChatRequest request, int n) {
        Arguments.given(request, "choices(request)");
        Arguments.atLeast(1, n, "n");
        requireNoName(request);
        return base.pipeline(view).choices(request, n);
    }

    @Override
    public List<TokenLogprob> score(String text) {
        Arguments.given(text, "score(text)");
        return base.pipeline(view).score(text);
    }

    @Override
    public List<TokenLogprob> score(Conversation conversation) {
        Arguments.given(conversation, "score(conversation)");
        return base.pipeline(view).score(conversation);
    }

    @Override
    public int countTokens(String text) {
        Arguments.given(text, "countTokens(text)");
        return base.pipeline(view).countTokens(text);
    }

    @Override
    public int countTokens(Conversation conversation) {
        Arguments.given(conversation, "countTokens(conversation)");
        return base.pipeline(view).countTokens(conversation);
    }

    @Override
    public List<List<TokenLogprob>> score(List<? extends Example> examples) {
        Arguments.given(examples, "score(examples)");
        return base.scorer(view, SequenceScorer.USUAL_TOKENS).score(examples);
    }

    /**
     * Writes the adapter in PEFT's format. Beside it are the tokenizer's files with the chat template and the tokens that end
     * an answer, as tools of PEFT save them, and {@code finetune4j.json}, which records the base and the chat template.
     *
     * @param folder made if absent; an older adapter in it is replaced as a whole, or stays when writing fails or the process
     *     ends. Not one that holds the weights of a whole model
     * @throws IllegalStateException when the adapter or its base is closed
     * @throws dev.finetune4j.core.FineTune4jException when the folder cannot be written
     */
    public void save(Path folder) {
        Arguments.given(folder, "save(folder)");
        try (AdapterCopy copy = copy()) {
            save(copy, folder, null);
        }
    }

    /** A copy in host memory, to be written while this changes. */
    AdapterCopy copy() {
        try (Lifetime.Use use = view.use()) {
            return AdapterCopy.of(adapter);
        }
    }

    /**
     * Writes the adapter as it was when it was copied.
     *
     * @param run the content of {@code run.json} beside it; null for none
     */
    void save(AdapterCopy copy, Path folder, byte @Nullable [] run) {
        try (Lifetime.Use use = base.model().use()) {
            AdapterFiles.save(
                    copy,
                    base.model(),
                    folder,
                    ModelSource.local(base.folder().path()).name(),
                    base.record().ofAdapter(),
                    transaction -> {
                        base.files().writeForAdapter(transaction);
                        if (run != null) {
                            transaction.write(SavedCheckpoint.RUN, run);
                        }
                    });
        }
    }

    /**
     * Writes a whole model with the adapter merged into its weights, which needs no adapter. The
     * weights are those of the base's checkpoint, merged in float32 and rounded once, whatever form the base has in memory. What was
     * written as a Hugging Face folder is compared with base and adapter on a few prompts before it takes its place; the model card and
     * {@code finetune4j.json} have the figure.
     *
     * @param target folder or, for GGUF, file; made if absent, not the base's own. A model or adapter of this library that is there is
     *     replaced as a whole, or stays when writing fails or the process ends
     * @param format such as {@code ModelFormat.huggingFace(Precision.BF16)} or {@code ModelFormat.gguf(GgufType.Q8_0)}
     * @throws IllegalStateException when the adapter is one of virtual tokens, which cannot be merged, or is closed
     * @throws dev.finetune4j.core.SettingsException when the folder is the base's own, the base's checkpoint is in 4 bits, or the format
     *     cannot hold the model, with the reasons
     * @throws dev.finetune4j.core.ModelFileException when the base's folder is gone or holds another model meanwhile
     * @throws dev.finetune4j.core.FineTune4jException when the folder cannot be written
     */
    public void export(Path target, ModelFormat format) {
        export(target, format, MergeSettings.defaults());
    }

    /**
     * The same with other settings for merging.
     *
     * @param settings into what it may be merged, and on which prompts the result is compared with base and adapter
     * @throws dev.finetune4j.core.FineTune4jException when it cannot be written, or computes otherwise than base and adapter
     */
    public void export(Path target, ModelFormat format, MergeSettings settings) {
        Arguments.given(target, "export(target)");
        Arguments.given(format, "export(format)");
        Arguments.given(settings, "export(settings)");
        try (Lifetime.Use use = adapter.use()) {
            base.requireUnchanged();
            MergedModelExporter.write(
                    base.files(), base.record().ofModel(), adapter, target, Exports.writer(format), settings.options());
        }
    }

    /**
     * Writes the adapter as a GGUF file, which llama.cpp applies to the GGUF file of the base ({@code --lora}); {@link
     * LanguageModel#export} writes that. LoRA and rsLoRA can be written so; what changes more than the products of linears is refused, and
     * can be merged by {@link #export} instead.
     *
     * @param file made if absent; a GGUF file that is there is replaced, or stays when writing fails or the process ends
     * @param type number format of the factors; rows that are not made of blocks of it are in F16
     * @throws IllegalStateException when the adapter or its base is closed
     * @throws dev.finetune4j.core.SettingsException naming all of the adapter that such a file cannot hold
     * @throws dev.finetune4j.core.FineTune4jException when the file cannot be written
     */
    public void saveGguf(Path file, GgufType type) {
        Arguments.given(file, "saveGguf(file)");
        Arguments.given(type, "saveGguf(type)");
        try (Lifetime.Use use = view.use()) {
            GgufAdapterWriter.write(base.folder(), adapter, type.stored(), file);
        }
    }

    /**
     * What of the adapter would not carry over to PEFT, vLLM and llama.cpp.
     *
     * @throws IllegalStateException when the adapter is closed
     */
    public Portability portability() {
        try (Lifetime.Use use = adapter.use()) {
            return Portability.of(adapter, base.folder());
        }
    }

    /**
     * Number of values in the adapter.
     *
     * @throws IllegalStateException when the adapter is closed
     */
    public long parameterCount() {
        return adapter.parameterCount();
    }

    CausalLM view() {
        return view;
    }

    PeftAdapter peft() {
        return adapter;
    }

    /** Frees the adapter's matrices, not the base, once no call needs them any more. Closing twice is fine. */
    @Override
    public void close() {
        adapter.close();
    }
}
