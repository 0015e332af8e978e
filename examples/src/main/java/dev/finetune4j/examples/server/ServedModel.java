package dev.finetune4j.examples.server;

import dev.finetune4j.FineTuner;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.ReplyDelta;
import dev.finetune4j.core.generate.ScoringModel;
import dev.finetune4j.core.generate.TokenLogprob;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** What the server asks of a model: of {@link LanguageModel}, or of one that stands in for it in a test. Thread-safe. */
interface ServedModel extends AutoCloseable {
    /** As {@link LanguageModel#submit}. */
    Completion submit(ChatRequest request, Consumer<ReplyDelta> sink);

    /**
     * How likely a text is: {@link LanguageModel#score(String)}.
     *
     * @param adapter by which one; null for the base
     * @throws IllegalArgumentException if none has the name
     */
    List<TokenLogprob> score(@Nullable String adapter, String text);

    /** As {@link LanguageModel#countTokens(String)}. */
    int countTokens(String text);

    /** The names of the adapters. */
    Set<String> adapters();

    /** As {@link dev.finetune4j.Adapters#load(String, Path)}. */
    void loadAdapter(String name, Path folder);

    /** As {@link dev.finetune4j.Adapters#unload}. */
    boolean unloadAdapter(String name);

    /** A training of a new adapter of this model in the making. */
    FineTuner.Builder tuner();

    @Override
    void close();

    /** A model of this library; closed with the result. */
    static ServedModel of(LanguageModel model) {
        return new ServedModel() {
            @Override
            public Completion submit(ChatRequest request, Consumer<ReplyDelta> sink) {
                return model.submit(request, sink);
            }

            @Override
            public List<TokenLogprob> score(@Nullable String adapter, String text) {
                ScoringModel by = adapter == null
                        ? model
                        : model.adapters()
                                .get(adapter)
                                .orElseThrow(() ->
                                        new IllegalArgumentException("there is no adapter named \"" + adapter + "\""));
                return by.score(text);
            }

            @Override
            public int countTokens(String text) {
                return model.countTokens(text);
            }

            @Override
            public Set<String> adapters() {
                return model.adapters().names();
            }

            @Override
            public void loadAdapter(String name, Path folder) {
                model.adapters().load(name, folder);
            }

            @Override
            public boolean unloadAdapter(String name) {
                return model.adapters().unload(name);
            }

            @Override
            public FineTuner.Builder tuner() {
                return FineTuner.builder().model(model);
            }

            @Override
            public void close() {
                model.close();
            }
        };
    }
}
