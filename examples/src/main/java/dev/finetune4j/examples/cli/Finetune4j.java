package dev.finetune4j.examples.cli;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.hub.HubException;
import dev.finetune4j.examples.task.TaskFileException;
import java.io.PrintWriter;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** The command line: {@code finetune4j train|chat|eval|serve|merge|export|demo|download|env|plan|data}. */
@Command(
        name = "finetune4j",
        description = "Fine-tunes open chat models on this machine.",
        mixinStandardHelpOptions = true,
        versionProvider = Finetune4j.Version.class,
        subcommands = {
            TrainCommand.class,
            DownloadCommand.class,
            EnvCommand.class,
            PlanCommand.class,
            DataCommand.class,
            ServeCommand.class,
            ChatCommand.class,
            EvalCommand.class,
            MergeCommand.class,
            ExportCommand.class,
            DemoCommand.class
        })
public final class Finetune4j implements Runnable {
    static final int FAILED = 1;
    static final int USAGE = 2;
    static final int DOES_NOT_FIT = 3;
    static final int NOT_PASSED = 4;

    @CommandLine.Spec
    private CommandLine.Model.@Nullable CommandSpec spec;

    /** Without a subcommand: what there is. */
    @Override
    public void run() {
        if (spec != null) {
            spec.commandLine().usage(spec.commandLine().getOut());
        }
    }

    public static void main(String[] args) {
        System.exit(commandLine(Streams.out(), Streams.err()).execute(args));
    }

    /** The command line with the streams that it writes to. */
    static CommandLine commandLine(PrintWriter out, PrintWriter err) {
        return new CommandLine(new Finetune4j())
                .setOut(out)
                .setErr(err)
                .setCaseInsensitiveEnumValuesAllowed(true)
                .setExecutionExceptionHandler(Finetune4j::failed);
    }

    /** What the library says is for the user as it is; anything else is a fault of the program, with its trace. */
    private static int failed(Exception failure, CommandLine command, CommandLine.ParseResult arguments)
            throws Exception {
        boolean known = failure instanceof FineTune4jException || failure instanceof IllegalArgumentException;
        if (!known) {
            throw failure;
        }
        CommandLine.ParseResult ofCommand = arguments;
        while (ofCommand.hasSubcommand()) {
            ofCommand = ofCommand.subcommand();
        }
        String message = ofCommand.commandSpec().userObject() instanceof TrainCommand
                ? InKeys.say(failure.getMessage())
                : String.valueOf(failure.getMessage());
        boolean json = ofCommand.hasMatchedOption("--json");
        if (json) {
            Json error = new Json().put("error", failure.getClass().getSimpleName());
            if (failure instanceof HubException hub) {
                error.put("reason", hub.reason().name());
            }
            if (failure instanceof TaskFileException task) {
                error.put("problems", task.problems());
            }
            command.getErr().println(error.put("message", message));
        } else {
            command.getErr().println("finetune4j: " + message);
            if (failure instanceof HubException hub
                    && hub.reason() == HubException.Reason.NOT_CACHED
                    && ofCommand.hasMatchedPositional(0)
                    && ofCommand.matchedPositional(0).getValue() instanceof String model
                    && !NamedModel.isFile(model)) {
                command.getErr().println("here: finetune4j download " + model);
            }
        }
        command.getErr().flush();
        if (failure instanceof OutOfDeviceMemoryException) {
            return DOES_NOT_FIT;
        }
        return failure instanceof TaskFileException ? USAGE : FAILED;
    }

    /** The library's version. */
    static final class Version implements CommandLine.IVersionProvider {
        @Override
        public String[] getVersion() {
            String version = Finetune4j.class.getPackage().getImplementationVersion();
            return new String[] {"finetune4j " + (version == null ? "(development build)" : version)};
        }
    }
}
