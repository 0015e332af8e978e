package dev.finetune4j.examples.cli;

import dev.finetune4j.LanguageModel;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** A chat in the terminal, or over lines that are piped in. */
@CommandLine.Command(
        name = "chat",
        description = {
            "Chats with a model and with adapters on it. /help in the chat says what else there is; Ctrl-C stops an answer,",
            "and at the prompt it leaves. Questions may be piped in, a line each; exit code 1 when one could not be answered."
        },
        mixinStandardHelpOptions = true)
final class ChatCommand implements Callable<Integer> {
    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Mixin
    private ModelOptions model = new ModelOptions();

    @CommandLine.Mixin
    private SamplingOptions sampling = new SamplingOptions();

    @CommandLine.Option(
            names = "--adapter",
            paramLabel = "[NAME=]PATH",
            description = "An adapter in PEFT's format; may be repeated. The chat begins with the first.")
    private List<String> adapters = List.of();

    @CommandLine.Option(names = "--system", paramLabel = "TEXT", description = "The system message.")
    private @Nullable String system;

    @CommandLine.Option(
            names = "--template-variable",
            paramLabel = "NAME=VALUE",
            description = "For the model's own template, such as enable_thinking=false; may be repeated.")
    private Map<String, String> variables = Map.of();

    @Override
    public Integer call() {
        model.read(output);
        Map<String, Object> templateVariables = new LinkedHashMap<>(model.templateVariables(output));
        templateVariables.putAll(TemplateVariables.parse(variables));
        Map<String, Path> folders = AdapterNames.parse(adapters);
        try (LanguageModel base = model.load()) {
            folders.forEach(base.adapters()::load);
            List<String> names =
                    folders.isEmpty() ? AdapterSum.serve(base, model.adapters()) : List.copyOf(folders.keySet());
            try (ChatConsole console = ChatConsole.open(output, names)) {
                Conversations conversations = new Conversations(
                        base,
                        names,
                        sampling.settings(model.settings()),
                        templateVariables,
                        system == null ? model.system() : system);
                return new ChatLoop(conversations, console, output).run() ? 0 : Finetune4j.FAILED;
            }
        }
    }
}
