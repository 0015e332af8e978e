package dev.finetune4j;

import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.text.Conversation;
import dev.finetune4j.data.Example;
import dev.finetune4j.lora.adapter.peft.AdapterCopy;
import dev.finetune4j.lora.eval.EvaluableModel;
import dev.finetune4j.lora.train.TrainingReport;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The result of a fine-tuning, in memory: chat with it, compare it with its base, save it.
 *
 * <p>It owns the adapter, and the base unless that was loaded before; close it when done. Thread-safe, one thread per session. Closing waits for the token
 * that each session is at and for a save in progress; what comes later ends with {@link IllegalStateException}.
 *
 * <p>After a training on several processes each has the whole tuned model, and only that of rank 0 writes files: of the others
 * {@link #save} and {@link #export} do nothing, so that all may run the same program.
 */
public final class FineTunedModel implements EvaluableModel, AutoCloseable {
    private final LanguageModel base;
    private final boolean ownsBase;
    private final @Nullable Adapter adapter;
    private final TrainingReport report;
    private final byte[] run;
    private final boolean writes;

    /**
     * @param ownsBase whether the base is closed with it
     * @param run the content of {@code run.json} beside what is saved
     * @param writes false for a rank that leaves it to rank 0
     */
    FineTunedModel(
            LanguageModel base,
            boolean ownsBase,
            @Nullable Adapter adapter,
            TrainingReport report,
            byte[] run,
            boolean writes) {
        this.run = run;
        this.base = base;
        this.ownsBase = ownsBase;
        this.adapter = adapter;
        this.report = report;
        this.writes = writes;
    }

    /** What answers. */
    private EvaluableModel answering() {
        return adapter == null ? base : adapter;
    }

    @Override
    public ChatSession chat(GenerationSettings settings, @Nullable String system) {
        return answering().chat(settings, system);
    }

    @Override
    public Reply reply(ChatRequest request) {
        return answering().reply(request);
    }

    @Override
    public Reply reply(ChatRequest request, Consumer<ReplyDelta> sink) {
        return answering().reply(request, sink);
    }

    @Override
    public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
        return answering().submit(request, sink);
    }

    @Override
    public List<Reply> choices(ChatRequest request, int n) {
        return answering().choices(request, n);
    }

    @Override
    public List<TokenLogprob> score(String text) {
        return answering().score(text);
    }

    @Override
    public List<TokenLogprob> score(Conversation conversation) {
        return answering().score(conversation);
    }

    @Override
    public int countTokens(String text) {
        return answering().countTokens(text);
    }

    @Override
    public int countTokens(Conversation conversation) {
        return answering().countTokens(conversation);
    }

    @Override
    public List<List<TokenLogprob>> score(List<? extends Example> examples) {
        return answering().score(examples);
    }

    /**
     * The model without the adapter, as it was before; after full fine-tuning this is the tuned model itself. It is closed
     * with this object, unless the training was given a loaded one.
     */
    public LanguageModel base() {
        return base;
    }

    /** The trained adapter; empty after full fine-tuning. */
    public Optional<Adapter> adapter() {
        return Optional.ofNullable(adapter);
    }

    /** What the training did. */
    public TrainingReport report() {
        return report;
    }

    /**
     * Writes the adapter in PEFT's format, with the tokenizer's files, see {@link Adapter#save}, and {@code run.json}: versions, all
     * settings, fingerprints of base and data, and what the training came to, from which {@link
     * FineTuner.Builder#repeating} repeats it.
     *
     * @param folder made if absent; an older adapter in it is replaced as a whole, or stays when writing fails
     * @throws IllegalStateException after full fine-tuning, which makes no adapter, or when this is closed
     * @throws dev.finetune4j.core.FineTune4jException when the folder cannot be written
     */
    public void save(Path folder) {
        Arguments.given(folder, "save(folder)");
        if (adapter == null) {
            throw new IllegalStateException("full fine-tuning makes no adapter; use export(target, format)");
        }
        if (!writes) {
            return;
        }
        try (AdapterCopy copy = adapter.copy()) {
            adapter.save(copy, folder, run);
        }
    }

    /**
     * Writes the whole tuned model: weights, config.json, and all other small files of the base, with
     * the chat template of the training and every token that ends an answer. An adapter is merged into the weights, see {@link
     * Adapter#export}.
     *
     * @param target folder or, for GGUF, file; made if absent. After training an adapter not the base's own. The model or adapter that is there is
     *     replaced as a whole, or stays when writing fails; files that belong to neither stay
     * @param format such as {@code ModelFormat.huggingFace(Precision.BF16)} or {@code ModelFormat.gguf(GgufType.Q8_0)}
     * @throws dev.finetune4j.core.SettingsException when the format cannot hold the model, with the reasons
     * @throws IllegalStateException when an adapter of virtual tokens was trained, which cannot be merged, or when this is
     *     closed
     * @throws dev.finetune4j.core.FineTune4jException when the folder cannot be written
     */
    public void export(Path target, ModelFormat format) {
        export(target, format, MergeSettings.defaults());
    }

    /** The same with other settings for merging, see {@link Adapter#export(Path, ModelFormat, MergeSettings)}. */
    public void export(Path target, ModelFormat format, MergeSettings settings) {
        Arguments.given(target, "export(target)");
        Arguments.given(format, "export(format)");
        Arguments.given(settings, "export(settings)");
        if (!writes) {
            return;
        }
        if (adapter != null) {
            adapter.export(target, format, settings);
        } else {
            base.export(target, format);
        }
    }

    /** Frees the adapter, and the base if it is its own, once no call needs them any more. Closing twice is fine. */
    @Override
    public void close() {
        if (adapter != null) {
            adapter.close();
        }
        if (ownsBase) {
            base.close();
        }
    }
}
