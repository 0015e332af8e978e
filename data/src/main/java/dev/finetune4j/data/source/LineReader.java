package dev.finetune4j.data.source;

import java.io.IOException;
import java.io.Reader;
import org.jspecify.annotations.Nullable;

/**
 * Cuts text into lines at line feeds alone, as JSON lines asks: a carriage return is white space there, and the other
 * line ends of Unicode may stand inside a string.
 */
final class LineReader {
    private final Reader reader;
    private final char[] buffer = new char[8192];
    private int start;
    private int end;
    private int number;

    LineReader(Reader reader) {
        this(reader, 1);
    }

    /** @param line the number of the first line */
    LineReader(Reader reader, int line) {
        this.reader = reader;
        this.number = line - 1;
    }

    /** The next line without its line feed, or null after the last. */
    @Nullable
    String next() throws IOException {
        StringBuilder line = new StringBuilder();
        boolean any = false;
        while (fill()) {
            any = true;
            int feed = start;
            while (feed < end && buffer[feed] != '\n') {
                feed++;
            }
            line.append(buffer, start, feed - start);
            start = feed + 1;
            if (feed < end) {
                break;
            }
            start = end;
        }
        if (!any) {
            return null;
        }
        number++;
        return line.toString();
    }

    /** The number of the line that was read last, counted from 1. */
    int number() {
        return number;
    }

    private boolean fill() throws IOException {
        if (start < end) {
            return true;
        }
        start = 0;
        end = reader.read(buffer, 0, buffer.length);
        return end > 0;
    }
}
