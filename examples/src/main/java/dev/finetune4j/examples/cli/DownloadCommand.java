package dev.finetune4j.examples.cli;

import dev.finetune4j.core.hub.DownloadListener;
import dev.finetune4j.core.hub.DownloadProgress;
import dev.finetune4j.core.hub.HubModel;
import dev.finetune4j.core.message.ByteCount;
import dev.finetune4j.examples.Terminal;
import java.net.URI;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Downloads a model into its hub's cache and prints the folder. Stopped with Ctrl-C, it goes on next time. */
@CommandLine.Command(
        name = "download",
        description = {
            "Downloads what a model needs into the cache that its hub's Python client uses too, and prints the folder.",
            "Tokens come from HF_TOKEN or MODELSCOPE_API_TOKEN, mirrors from HF_ENDPOINT or MODELSCOPE_DOMAIN."
        },
        mixinStandardHelpOptions = true)
final class DownloadCommand implements Callable<Integer> {
    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Parameters(index = "0", paramLabel = "ORG/NAME", description = "The model's id.")
    private String id = "";

    @CommandLine.Option(names = "--hub", description = "One of ${COMPLETION-CANDIDATES}; ${DEFAULT-VALUE} by default.")
    private HubName hub = HubName.HUGGINGFACE;

    @CommandLine.Option(
            names = "--revision",
            description = "A branch, tag or commit; the hub's default branch by default.")
    private @Nullable String revision;

    @CommandLine.Option(names = "--cache", paramLabel = "FOLDER", description = "Another cache.")
    private @Nullable Path cache;

    @CommandLine.Option(names = "--endpoint", paramLabel = "ADDRESS", description = "The hub or a mirror of it.")
    private @Nullable URI endpoint;

    @CommandLine.Option(names = "--refresh", description = "Asks for changes, though the cache has the model.")
    private boolean refresh;

    @Override
    public Integer call() {
        HubModel model = hub.model(id);
        model = revision == null ? model : model.revision(revision);
        model = cache == null ? model : model.cache(cache);
        model = endpoint == null ? model : model.endpoint(endpoint);
        model = refresh ? model.refresh() : model;
        Path folder = model.listener(listener()).fetch();
        output.out().println(output.isJson() ? new Json().put("model", id).put("folder", folder.toString()) : folder);
        return 0;
    }

    /** A line that is rewritten in place where a person watches; JSON lines where a program does. */
    private DownloadListener listener() {
        if (output.isJson()) {
            return progress -> {
                output.err()
                        .println(new Json()
                                .put("phase", progress.phase().name())
                                .put("bytes", progress.bytes())
                                .put("totalBytes", progress.totalBytes())
                                .put("files", progress.files())
                                .put("totalFiles", progress.totalFiles()));
                output.err().flush();
            };
        }
        if (!Terminal.isInteractive()) {
            return progress -> {};
        }
        return progress -> {
            boolean done = progress.phase() == DownloadProgress.Phase.DONE;
            output.err().print("\r\u001b[K" + line(progress) + (done ? "\n" : ""));
            output.err().flush();
        };
    }

    static String line(DownloadProgress progress) {
        return switch (progress.phase()) {
            case WAITING -> "another process downloads " + progress.model() + "; waiting for it";
            case LISTING -> "asking what " + progress.model() + " consists of";
            default ->
                String.format(
                        Locale.ROOT,
                        "%s  %d/%d files  %s of %s  %s/s",
                        progress.model(),
                        progress.files(),
                        progress.totalFiles(),
                        ByteCount.text(progress.bytes()),
                        ByteCount.text(progress.totalBytes()),
                        ByteCount.text((long) progress.bytesPerSecond()));
        };
    }
}
