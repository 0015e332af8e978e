package dev.finetune4j.examples;

import java.io.Console;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** The standard output of the programs: always UTF-8, and aware of whether a person is watching. */
public final class Terminal {
    private Terminal() {}

    /** Standard output in UTF-8, whatever the platform's default is. */
    public static PrintStream out() {
        return new PrintStream(System.out, true, StandardCharsets.UTF_8);
    }

    /** Whether standard output is a terminal, in which a line can be rewritten in place. */
    @SuppressWarnings("SystemConsoleNull") // the newer rule is asked for below where it exists
    public static boolean isInteractive() {
        Console console = System.console();
        if (console == null) {
            return false;
        }
        try {
            // Since Java 22 a console exists without a terminal too, and has this method to tell.
            return (boolean) Console.class.getMethod("isTerminal").invoke(console);
        } catch (ReflectiveOperationException e) {
            return true;
        }
    }
}
