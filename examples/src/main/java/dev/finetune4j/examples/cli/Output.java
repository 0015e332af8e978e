package dev.finetune4j.examples.cli;

import java.io.PrintWriter;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;

/** Where a command prints, and in which form. */
final class Output {
    @CommandLine.Option(names = "--json", description = "Print one JSON object instead of text.")
    private boolean json;

    @CommandLine.Spec(CommandLine.Spec.Target.MIXEE)
    private CommandLine.Model.@Nullable CommandSpec spec;

    boolean isJson() {
        return json;
    }

    PrintWriter out() {
        return commandLine().getOut();
    }

    PrintWriter err() {
        return commandLine().getErr();
    }

    /** Tells something beside the results. */
    void note(String text) {
        err().println(json ? new Json().put("note", text) : text);
    }

    private CommandLine commandLine() {
        if (spec == null) {
            throw new IllegalStateException("the command was not made by the command line");
        }
        return spec.commandLine();
    }
}
