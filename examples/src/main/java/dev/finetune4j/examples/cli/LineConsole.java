package dev.finetune4j.examples.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jline.reader.Candidate;
import org.jline.reader.EndOfFileException;
import org.jline.reader.LineReader;
import org.jline.reader.LineReaderBuilder;
import org.jline.reader.ParsedLine;
import org.jline.reader.UserInterruptException;
import org.jline.reader.impl.DefaultParser;
import org.jline.terminal.Terminal;
import org.jspecify.annotations.Nullable;

/** A terminal with line editing, earlier lines and completion of commands. Ctrl-C may come from any thread; all else from one. */
final class LineConsole implements ChatConsole {
    private final Terminal terminal;
    private final LineReader reader;
    private final Object lock = new Object();
    private @Nullable Thread working;

    /** @param terminal is closed with this */
    LineConsole(Terminal terminal, List<String> adapters) {
        this.terminal = terminal;
        DefaultParser words = new DefaultParser();
        words.setQuoteChars(new char[0]); // an apostrophe is one
        words.setEscapeChars(new char[0]);
        this.reader = LineReaderBuilder.builder()
                .terminal(terminal)
                .parser(words)
                .completer((line, typed, candidates) -> complete(typed, adapters, candidates))
                .option(LineReader.Option.DISABLE_EVENT_EXPANSION, true) // an exclamation mark is one
                .build();
        terminal.handle(Terminal.Signal.INT, signal -> stop());
    }

    private static void complete(ParsedLine typed, List<String> adapters, List<Candidate> candidates) {
        Stream<String> words = Stream.empty();
        if (typed.wordIndex() == 0) {
            words = ChatLoop.COMMANDS.stream();
        } else if (typed.wordIndex() == 1 && typed.words().get(0).equals("/adapter")) {
            words = adapters.stream();
        }
        candidates.addAll(words.map(Candidate::new).toList());
    }

    @Override
    public @Nullable String readLine(String prompt) {
        List<String> lines = new ArrayList<>();
        while (lines.isEmpty()) {
            try {
                lines.add(reader.readLine(prompt));
            } catch (EndOfFileException e) {
                return null;
            } catch (UserInterruptException e) {
                if (e.getPartialLine().isBlank()) {
                    return null;
                }
                // What was typed is dropped, as in a shell.
            }
        }
        return lines.get(0);
    }

    @Override
    public PrintWriter out() {
        return terminal.writer();
    }

    @Override
    public boolean isInteractive() {
        return true;
    }

    @Override
    public <T> T stoppable(Supplier<T> work) {
        synchronized (lock) {
            working = Thread.currentThread();
        }
        try {
            return work.get();
        } finally {
            synchronized (lock) {
                working = null;
                Thread.interrupted();
            }
        }
    }

    private void stop() {
        synchronized (lock) {
            if (working != null) {
                working.interrupt();
            }
        }
    }

    @Override
    public void close() {
        try {
            terminal.close();
        } catch (IOException e) {
            throw new UncheckedIOException("the terminal cannot be given back: " + e.getMessage(), e);
        }
    }
}
