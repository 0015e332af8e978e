package dev.finetune4j.examples.cli;

import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Chat templates as task files name them. Stateless. */
final class TaskTemplates {
    private TaskTemplates() {}

    /**
     * The name of the template to load a model with: null for the checkpoint's own, which a task file means by whatever name; else
     * the library's of that name.
     */
    static @Nullable String of(Path folder, @Nullable String named) {
        if (named == null) {
            return null;
        }
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            return ChatTemplate.ofCheckpoint(tokenizer).isPresent() ? null : named;
        }
    }
}
