package dev.finetune4j;

import dev.finetune4j.core.hub.ModelSource;
import java.nio.file.Path;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/** Where the base of a fine-tuning comes from, looked up once, when its folder is first asked for. Thread-safe. */
final class BaseSource {
    private final ModelSource source;
    private @Nullable Path folder;

    BaseSource(ModelSource source) {
        this.source = source;
    }

    /** Whether it is a folder, and nothing has to be looked up. */
    boolean isFolder() {
        return source instanceof ModelSource.Local;
    }

    /**
     * The folder; what is missing of it is downloaded first, where that is allowed.
     *
     * @throws dev.finetune4j.core.hub.HubException when it cannot be had
     */
    Path folder() {
        return folder(() -> false);
    }

    /** The same, with a download that ends when it is cancelled. */
    synchronized Path folder(BooleanSupplier cancelled) {
        if (folder == null) {
            folder = source.fetch(cancelled);
        }
        return folder;
    }

    /** A folder with the settings and the tokenizer at least: {@link ModelSource#fetchSettings}. */
    synchronized Path settings() {
        return folder == null ? source.fetchSettings() : folder;
    }
}
