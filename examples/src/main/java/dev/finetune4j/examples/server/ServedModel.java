package dev.finetune4j.examples.server;

import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.ReplyDelta;
import java.nio.file.Path;
import java.util.Set;
import java.util.function.Consumer;

/** What the server asks of a model: of {@link LanguageModel}, or of one that stands in for it in a test. Thread-safe. */
interface ServedModel extends AutoCloseable {
    /** As {@link LanguageModel#submit}. */
    Completion submit(ChatRequest request, Consumer<ReplyDelta> sink);

    /** The names of the adapters. */
    Set<String> adapters();

    /** As {@link dev.finetune4j.Adapters#load(String, Path)}. */
    void loadAdapter(String name, Path folder);

    /** As {@link dev.finetune4j.Adapters#unload}. */
    boolean unloadAdapter(String name);

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
            public void close() {
                model.close();
            }
        };
    }
}
