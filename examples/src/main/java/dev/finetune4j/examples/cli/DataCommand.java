package dev.finetune4j.examples.cli;

import dev.finetune4j.FineTuner;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Truncation;
import dev.finetune4j.examples.Terminal;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Says what a model would see and learn of a data set. Loads nothing but the tokenizer. */
@CommandLine.Command(
        name = "data",
        description =
                "Says what a model would see and learn of a data set, with its first rows. Loads only the tokenizer.",
        mixinStandardHelpOptions = true)
final class DataCommand implements Callable<Integer> {
    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Parameters(
            index = "0",
            paramLabel = "MODEL",
            description = "A folder, or the id of a model that a cache has.")
    private String model = "";

    @CommandLine.Parameters(
            index = "1",
            paramLabel = "DATA",
            description = "A file of rows, a folder, or dataset_info.json:NAME.")
    private String data = "";

    @CommandLine.Option(names = "--template", description = "A chat template by name; the model's own by default.")
    private @Nullable String template;

    @CommandLine.Option(
            names = "--max-length",
            description =
                    "Tokens of the longest example; longer ones are left out. Without it a too long one is an error.")
    private int maxLength;

    @CommandLine.Option(
            names = "--placeholder",
            paramLabel = "NAME=VALUE",
            description = "What stands for {{NAME}} in the rows; may be repeated.")
    private Map<String, String> placeholders = Map.of();

    @CommandLine.Option(names = "--html", paramLabel = "FILE", description = "Write the report as a page too.")
    private @Nullable Path html;

    @Override
    public Integer call() {
        FineTuner.Builder builder =
                FineTuner.builder().model(model).lora(l -> {}).dataset(dataset(data));
        if (template != null) {
            builder.chatTemplate(template);
        }
        if (maxLength > 0) {
            builder.maxSequenceLength(maxLength).truncation(Truncation.SKIP);
        }
        placeholders.forEach(builder::placeholder);
        DataReport report = builder.build().dataReport();
        if (html != null) {
            try {
                Files.writeString(html, report.html());
            } catch (IOException e) {
                throw new FineTune4jException(html + " cannot be written: " + e + "; name another file with --html", e);
            }
        }
        output.out()
                .println(
                        output.isJson()
                                ? json(report)
                                : Terminal.isInteractive() ? report.colouredText() : report.text());
        return 0;
    }

    /** Rows of a file or folder, or by name of a description. */
    static Dataset dataset(String data) {
        int name = data.lastIndexOf(".json:");
        return name < 0
                ? Dataset.read(Path.of(data))
                : Dataset.named(Path.of(data.substring(0, name + 5)), data.substring(name + 6));
    }

    private static Json json(DataReport report) {
        return new Json()
                .put("rows", report.rows())
                .put("examples", report.examples())
                .put("skipped", report.skipped())
                .put("truncated", report.truncated())
                .put("tokens", report.totalTokens())
                .put("learnedTokens", report.targetTokens())
                .put("longest", report.longest())
                .put("mean", report.mean())
                .put("answers", report.answers())
                .put("duplicates", report.texts().duplicates())
                .put("nearDuplicates", report.texts().nearDuplicates())
                .put("warnings", report.warnings());
    }
}
