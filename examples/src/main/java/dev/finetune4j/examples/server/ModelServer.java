package dev.finetune4j.examples.server;

import dev.finetune4j.LanguageModel;
import dev.finetune4j.examples.server.http.HttpListener;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Serves a model and its adapters by the OpenAI API; the package says what is answered.
 *
 * <pre>{@code
 * try (ModelServer server = ModelServer.start(ServerSettings.builder("yi").build())) {
 *     server.load(() -> LanguageModel.load(folder));      // until then /health says 503
 *     …
 * }
 * }</pre>
 *
 * <p>Thread-safe. Closing waits for the answers in progress, for some seconds, and closes the model.
 */
public final class ModelServer implements AutoCloseable {
    private static final Duration GRACE = Duration.ofSeconds(10);

    private final AtomicReference<@Nullable ServedModel> model = new AtomicReference<>();
    private final HttpListener listener;

    private ModelServer(ServerSettings settings) throws IOException {
        Api api = new Api(settings, model);
        this.listener = HttpListener.start(settings.address(), settings.limits(), api);
    }

    /**
     * Begins to listen; requests for a model get 503 until {@link #load}.
     *
     * @throws UncheckedIOException when the address is taken or not this machine's
     */
    public static ModelServer start(ServerSettings settings) {
        try {
            return new ModelServer(settings);
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "cannot listen to " + settings.address() + ": " + e.getMessage() + "; choose another port", e);
        }
    }

    /**
     * Loads the model by this thread and serves it.
     *
     * @param load gives the model, with the adapters that are there from the beginning; the server closes it
     */
    public void load(Supplier<LanguageModel> load) {
        serve(ServedModel.of(load.get()));
    }

    /** Serves a model; closed with the server. */
    void serve(ServedModel served) {
        ServedModel earlier = model.getAndSet(served);
        if (earlier != null) {
            earlier.close();
        }
    }

    /**
     * Serves an adapter.
     *
     * @param name what requests call it
     * @param folder in PEFT's format, wherever it lies
     * @throws IllegalStateException before a model is served
     * @throws dev.finetune4j.core.ModelFileException when it is damaged, or was trained on another base
     */
    public void loadAdapter(String name, Path folder) {
        ServedModel served = model.get();
        if (served == null) {
            throw new IllegalStateException("there is no model yet to load an adapter for; call load(…) first");
        }
        served.loadAdapter(name, folder);
    }

    /** How many connections are open. */
    int connections() {
        return listener.connections();
    }

    /** Where it is reached, such as {@code http://127.0.0.1:8000}. */
    public URI address() {
        InetSocketAddress address = listener.address();
        String host = address.getAddress().getHostAddress();
        return URI.create("http://" + (host.contains(":") ? "[" + host + "]" : host) + ":" + address.getPort());
    }

    /** Stops: no further requests, some seconds for those in progress, then the model is closed. Closing twice is fine. */
    @Override
    public void close() {
        listener.close(GRACE);
        ServedModel served = model.getAndSet(null);
        if (served != null) {
            served.close();
        }
    }
}
