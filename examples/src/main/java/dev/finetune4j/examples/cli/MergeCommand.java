package dev.finetune4j.examples.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine;

/** Merges adapters into a model. */
@CommandLine.Command(
        name = "merge",
        description = {
            "Merges an adapter into the 16-bit weights of its model and writes a model of its own, one weight at a time. Before it",
            "takes its place it is compared with model and adapter; what came out is printed."
        },
        mixinStandardHelpOptions = true)
final class MergeCommand implements Callable<Integer> {
    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Mixin
    private MergeOptions options = new MergeOptions();

    @Override
    public Integer call() {
        options.read(output);
        if (options.adapters().isEmpty()) {
            throw new IllegalArgumentException(
                    "there is no adapter to merge; add --adapter PATH, or write the model as it is with finetune4j export");
        }
        ModelWriting.write(options, options.huggingFace());
        Exported.of(options.target()).print(output);
        return 0;
    }
}
