package dev.finetune4j.examples.cli;

import dev.finetune4j.examples.Terminal;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.function.Supplier;
import org.jline.terminal.TerminalBuilder;
import org.jspecify.annotations.Nullable;

/** Where a chat takes its lines from and prints to: a terminal in which they are edited, or a pipe. */
interface ChatConsole extends AutoCloseable {
    /** The next line; null at the end of all. */
    @Nullable
    String readLine(String prompt);

    /** Where the chat is printed. */
    PrintWriter out();

    /** Whether a person watches. */
    boolean isInteractive();

    /** Does something that Ctrl-C stops by an interrupt of this thread, if this console can tell; the flag is cleared at the end. */
    <T> T stoppable(Supplier<T> work);

    @Override
    void close();

    /**
     * The console that suits: a terminal if there is one.
     *
     * @param adapters names that are completed behind {@code /adapter}
     */
    static ChatConsole open(Output output, List<String> adapters) {
        if (output.isJson() || !Terminal.isInteractive()) {
            return new PipedConsole(System.in, output);
        }
        try {
            return new LineConsole(TerminalBuilder.builder().system(true).build(), adapters);
        } catch (IOException e) {
            throw new UncheckedIOException("the terminal cannot be used: " + e.getMessage(), e);
        }
    }
}
