package dev.finetune4j;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.core.model.CausalLM;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * The adapters that a model serves by name: {@link dev.finetune4j.core.generate.ChatRequest#adapter} chooses one for each request,
 * and requests for different ones are computed in one batch.
 *
 * <p>Adapters come, change and go while the model serves. A request keeps the adapter that had its name when it came: one that was
 * replaced or unloaded is freed when the last reply by it has ended. Memory costs each adapter's own numbers, the base is there once.
 * Thread-safe. They are closed with the model.
 */
public final class Adapters {
    /** An adapter with the replies by it. */
    private static final class Named {
        final Adapter adapter;
        private int replies;
        private boolean retired;

        Named(Adapter adapter) {
            this.adapter = adapter;
        }

        synchronized boolean begin() {
            if (retired) {
                return false;
            }
            replies++;
            return true;
        }

        void end() {
            boolean last;
            synchronized (this) {
                replies--;
                last = retired && replies == 0;
            }
            if (last) {
                adapter.close();
            }
        }

        void retire() {
            boolean unused;
            synchronized (this) {
                retired = true;
                unused = replies == 0;
            }
            if (unused) {
                adapter.close();
            }
        }
    }

    /**
     * What answers a request, until it is closed.
     *
     * @param view computes
     * @param onEnd called when the reply has ended
     */
    record Lease(CausalLM view, Runnable onEnd) implements AutoCloseable {
        @Override
        public void close() {
            onEnd.run();
        }
    }

    private final LanguageModel base;
    private final Map<String, Named> byName = new TreeMap<>();

    Adapters(LanguageModel base) {
        this.base = base;
    }

    /**
     * Loads an adapter, and serves it by a name. One that has the name already serves until this one is ready, and answers to the end what it
     * has begun.
     *
     * @param name what requests call it
     * @param folder in PEFT's format
     * @return the adapter; it belongs to the model: {@link #unload} frees it
     * @throws IllegalStateException when the model is closed
     * @throws dev.finetune4j.core.ModelFileException when it is incomplete or damaged, or was trained on another base; the one
     *     that had the name stays
     */
    public Adapter load(String name, Path folder) {
        return load(name, folder, 1);
    }

    /**
     * As {@link #load(String, Path)}, with what the adapter adds to the base multiplied by a factor.
     *
     * @param scale 1 for the adapter as it is, 0 for none of it
     * @throws dev.finetune4j.core.SettingsException when the adapter is no plain LoRA, which alone can be scaled
     */
    public Adapter load(String name, Path folder, double scale) {
        requireName(Arguments.given(name, "load(name)"));
        Arguments.given(folder, "load(folder)");
        Adapter adapter = Adapter.load(base, folder, scale);
        serve(name, adapter);
        return adapter;
    }

    /**
     * Serves an adapter that is there already by a name, such as a {@linkplain Adapter#combine combination}; else as
     * {@link #load(String, Path)}.
     *
     * @param adapter on this model; it belongs to the model from now on
     * @throws IllegalArgumentException when it sits on another model
     * @throws IllegalStateException when the model is closed; the adapter is, too, then
     */
    public void add(String name, Adapter adapter) {
        requireName(Arguments.given(name, "add(name)"));
        if (!Arguments.given(adapter, "add(adapter)").isOn(base)) {
            throw new IllegalArgumentException(
                    "the adapter for \"" + name + "\" sits on another model; load or combine it on this one");
        }
        serve(name, adapter);
    }

    private static void requireName(String name) {
        if (name.isBlank()) {
            throw new IllegalArgumentException("an adapter needs a name that is not blank");
        }
    }

    private void serve(String name, Adapter adapter) {
        Named earlier;
        synchronized (byName) {
            if (base.isClosing()) {
                adapter.close();
                throw new IllegalStateException("the model is closed; load it again");
            }
            earlier = byName.put(name, new Named(adapter));
        }
        if (earlier != null) {
            earlier.retire();
        }
    }

    /**
     * Takes an adapter out of service; its memory is free when the last reply by it has ended.
     *
     * @return false if none has the name
     */
    public boolean unload(String name) {
        Arguments.given(name, "unload(name)");
        Named named;
        synchronized (byName) {
            named = byName.remove(name);
        }
        if (named != null) {
            named.retire();
        }
        return named != null;
    }

    /** The names, in order. */
    public Set<String> names() {
        synchronized (byName) {
            return new TreeSet<>(byName.keySet());
        }
    }

    /**
     * The adapter that has a name now. Its chat sessions end with {@link IllegalStateException} when it has been replaced or unloaded.
     *
     * @return empty if none has the name
     */
    public Optional<Adapter> get(String name) {
        Arguments.given(name, "get(name)");
        synchronized (byName) {
            return Optional.ofNullable(byName.get(name)).map(named -> named.adapter);
        }
    }

    /**
     * Holds what answers a request.
     *
     * @param name of an adapter; null for the base
     * @throws IllegalArgumentException if none has the name; the message lists the names
     */
    Lease lease(@Nullable String name) {
        if (name == null) {
            return new Lease(base.model(), () -> {});
        }
        synchronized (byName) {
            Named named = byName.get(name);
            if (named == null || !named.begin()) {
                throw new IllegalArgumentException("there is no adapter named \"" + name + "\"; "
                        + (byName.isEmpty() ? "none is loaded" : "the names are " + String.join(", ", byName.keySet()))
                        + ": load it with adapters().load(name, folder)");
            }
            return new Lease(named.adapter.view(), named::end);
        }
    }

    /** Closes all; replies by them end with {@link IllegalStateException}. */
    void close() {
        List<Named> all;
        synchronized (byName) {
            all = new ArrayList<>(byName.values());
            byName.clear();
        }
        all.forEach(named -> named.adapter.close());
    }
}
