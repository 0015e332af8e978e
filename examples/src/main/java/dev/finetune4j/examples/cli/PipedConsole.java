package dev.finetune4j.examples.cli;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Lines from a pipe or a file, in UTF-8. They are printed as they are read, so that the output reads as a chat. */
final class PipedConsole implements ChatConsole {
    private final BufferedReader in;
    private final Output output;

    PipedConsole(InputStream in, Output output) {
        this.in = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
        this.output = output;
    }

    @Override
    public @Nullable String readLine(String prompt) {
        try {
            String line = in.readLine();
            if (line != null && !output.isJson()) {
                out().println(prompt + line);
            }
            return line;
        } catch (IOException e) {
            throw new UncheckedIOException("the standard input cannot be read: " + e.getMessage(), e);
        }
    }

    @Override
    public PrintWriter out() {
        return output.out();
    }

    @Override
    public boolean isInteractive() {
        return false;
    }

    @Override
    public <T> T stoppable(Supplier<T> work) {
        return work.get();
    }

    /** The standard input is not this one's to close. */
    @Override
    public void close() {}
}
