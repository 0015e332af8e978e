package dev.finetune4j.examples.cli;

import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.BatchSettings;
import dev.finetune4j.examples.server.ModelServer;
import dev.finetune4j.examples.server.ServerSettings;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Serves a model until it is stopped. */
@CommandLine.Command(
        name = "serve",
        description = {
            "Serves a model and its adapters by the OpenAI API, with a page to chat at the address itself.",
            "The API key comes from FINETUNE4J_API_KEY or a file; without one only this machine is listened to."
        },
        mixinStandardHelpOptions = true)
final class ServeCommand implements Callable<Integer> {
    private static final String KEY = "FINETUNE4J_API_KEY";

    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Mixin
    private ModelOptions model = new ModelOptions();

    @CommandLine.Option(names = "--host", description = "Where to listen; ${DEFAULT-VALUE} by default.")
    private String host = "127.0.0.1";

    @CommandLine.Option(names = "--port", description = "0 for any that is free; ${DEFAULT-VALUE} by default.")
    private int port = 8000;

    @CommandLine.Option(names = "--name", description = "What requests call the model; by default as here.")
    private @Nullable String name;

    @CommandLine.Option(
            names = "--adapter",
            paramLabel = "NAME=FOLDER",
            description = "Loaded at once; may come again.")
    private Map<String, Path> adapter = new LinkedHashMap<>();

    @CommandLine.Option(
            names = "--adapters",
            paramLabel = "FOLDER",
            description = "The folder from which /v1/load_lora_adapter may load; without it none is loaded later.")
    private @Nullable Path adapters;

    @CommandLine.Option(names = "--runs", paramLabel = "FOLDER", description = "Where trainings write their logs.")
    private @Nullable Path runs;

    @CommandLine.Option(
            names = "--allow-origin",
            paramLabel = "SITE",
            description = "A site, such as https://chat.example.org, whose pages may use the server; may come again.")
    private Set<String> origins = new LinkedHashSet<>();

    @CommandLine.Option(
            names = "--training-data",
            paramLabel = "FOLDER",
            description = "Lets requests start trainings with the data sets in it; they are written to --runs.")
    private @Nullable Path data;

    @CommandLine.Option(names = "--api-key-file", paramLabel = "FILE", description = "Holds the API key.")
    private @Nullable Path keyFile;

    @CommandLine.Option(
            names = "--max-requests",
            description = "How many answers may be in progress or wait; ${DEFAULT-VALUE} by default.")
    private int maxRequests = 256;

    @CommandLine.Option(
            names = "--max-running",
            description = "How many of them are generated at once; ${DEFAULT-VALUE} by default.")
    private int maxRunning = BatchSettings.MAX_RUNNING;

    @CommandLine.Option(
            names = "--prefix-cache",
            paramLabel = "TOKENS",
            description = "Of how many tokens keys and values are kept for the next turn; ${DEFAULT-VALUE} by default.")
    private long prefixCache = 16_384;

    @Override
    public Integer call() throws InterruptedException {
        model.read(output);
        if (model.isTask()) {
            output.note("system message, thinking and sampling are those of each request, not of the task file");
        }
        String served = name == null ? model.name() : name;
        ServerSettings settings = ServerSettings.builder(served)
                .address(address())
                .apiKey(key())
                .batching(batching())
                .maxRequests(maxRequests)
                .adapters(adapters)
                .runs(runs)
                .data(data)
                .origins(origins)
                .build();
        CountDownLatch stopped = new CountDownLatch(1);
        try (ModelServer server = ModelServer.start(settings)) {
            Thread hook = new Thread(() -> {
                server.close();
                stopped.countDown();
            });
            Runtime.getRuntime().addShutdownHook(hook);
            server.load(this::load);
            output.out()
                    .println(
                            output.isJson()
                                    ? new Json()
                                            .put("address", server.address().toString())
                                            .put("model", served)
                                    : served + " is served at " + server.address() + "; Ctrl-C stops it");
            output.out().flush();
            stopped.await();
        }
        return 0;
    }

    private BatchSettings batching() {
        return BatchSettings.builder()
                .maxRunning(maxRunning)
                .prefixCacheTokens(prefixCache)
                .build();
    }

    private LanguageModel load() {
        LanguageModel loaded = model.load(loader -> loader.batching(batching()));
        try {
            adapter.forEach(loaded.adapters()::load);
            if (adapter.isEmpty()) {
                AdapterSum.serve(loaded, model.adapters());
            }
            return loaded;
        } catch (RuntimeException e) {
            loaded.close();
            throw e;
        }
    }

    private InetSocketAddress address() {
        try {
            return new InetSocketAddress(InetAddress.getByName(host), port);
        } catch (UnknownHostException e) {
            throw new SettingsException(List.of("there is no host " + host + "; give an address of this machine"));
        }
    }

    private @Nullable String key() {
        if (keyFile == null) {
            return System.getenv(KEY);
        }
        try {
            return Files.readString(keyFile).strip();
        } catch (IOException e) {
            throw new UncheckedIOException("the API key cannot be read: " + e.getMessage(), e);
        }
    }
}
