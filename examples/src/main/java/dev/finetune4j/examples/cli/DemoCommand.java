package dev.finetune4j.examples.cli;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;

/** Writes the demonstration, so that every other command can be tried at once, without a download. */
@CommandLine.Command(
        name = "demo",
        description = {
            "Writes a small chat model (6 MB, a toy) and data that teach it a new identity into a folder, to try everything on."
        },
        mixinStandardHelpOptions = true)
final class DemoCommand implements Callable<Integer> {
    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Parameters(
            index = "0",
            paramLabel = "FOLDER",
            description = "Made if absent; files of it are replaced.")
    private Path folder = Path.of("");

    @CommandLine.Option(names = "--name", description = "The new name; ${DEFAULT-VALUE} by default.")
    private String name = "张三";

    @CommandLine.Option(names = "--author", description = "Who has made it; ${DEFAULT-VALUE} by default.")
    private String author = "某某公司";

    @Override
    public Integer call() {
        List<Path> written = new DemoFiles(folder, name, author).write();
        if (output.isJson()) {
            output.out()
                    .println(new Json()
                            .put("folder", folder.toString())
                            .put("files", written.stream().map(Path::toString).toList()));
        } else {
            written.forEach(output.out()::println);
        }
        return 0;
    }
}
