package dev.finetune4j.data.source;

import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;

/**
 * Finds where the rows of a file begin, from bytes alone: all that steers it is ASCII, which no part of a longer UTF-8
 * sequence is. What is wrong inside of rows is for those to see who read them.
 */
final class RowScanner {
    private static final int CHUNK = 1 << 20;
    private static final byte[] BYTE_ORDER_MARK = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};

    private final Offsets rows = new Offsets();
    private final InputStream in;
    private final byte[] buffer = new byte[CHUNK];
    private int at;
    private int filled;
    private long base;

    private RowScanner(InputStream in) {
        this.in = in;
    }

    /** The offsets of the rows and, last, of their end. */
    static Offsets scan(InputStream in, FileKind kind, char separator) throws IOException {
        RowScanner scanner = new RowScanner(in);
        scanner.skipByteOrderMark();
        switch (kind) {
            case JSON_LINES -> scanner.lines();
            case CSV -> scanner.table((byte) separator);
            case JSON_ARRAY -> scanner.array();
            case TEXT, PARQUET -> throw new IllegalArgumentException(kind + " has rows of another kind");
        }
        return scanner.rows;
    }

    private boolean more() throws IOException {
        if (at < filled) {
            return true;
        }
        base += filled;
        at = 0;
        filled = Math.max(0, in.readNBytes(buffer, 0, CHUNK));
        return filled > 0;
    }

    private void skipByteOrderMark() throws IOException {
        if (more() && filled >= 3 && Arrays.equals(buffer, 0, 3, BYTE_ORDER_MARK, 0, 3)) {
            at = 3;
        }
    }

    private static boolean isBlank(byte b) {
        return b == ' ' || b == '\t' || b == '\r' || b == '\n';
    }

    /** A row for each line that is not blank. */
    private void lines() throws IOException {
        boolean blank = true;
        long start = at;
        while (more()) {
            byte[] bytes = buffer;
            int end = filled;
            int i = at;
            while (i < end) {
                if (blank) {
                    byte b = bytes[i];
                    if (b == '\n') {
                        start = base + i + 1;
                    } else if (!isBlank(b)) {
                        blank = false;
                        rows.add(start);
                    }
                    i++;
                    continue;
                }
                while (i < end && bytes[i] != '\n') {
                    i++;
                }
                if (i < end) {
                    blank = true;
                    i++;
                    start = base + i;
                }
            }
            at = end;
        }
        rows.add(base);
    }

    /** A row for each record that is not blank, the header first; a quote counts as one where a cell begins. */
    private void table(byte separator) throws IOException {
        boolean atCell = true;
        boolean quoted = false;
        boolean closed = false;
        boolean blank = true;
        long start = at;
        while (more()) {
            byte[] bytes = buffer;
            int end = filled;
            for (int i = at; i < end; i++) {
                byte b = bytes[i];
                if (quoted) {
                    closed = b == '"';
                    quoted = !closed;
                    continue;
                }
                // A quote inside of a text stands twice, so the text ends and begins again.
                boolean begins = b == '"' && (atCell || closed);
                closed = false;
                if (begins) {
                    quoted = true;
                    atCell = false;
                    blank = marked(blank, start);
                } else if (b == '\n' || b == '\r') {
                    atCell = true;
                    blank = true;
                    start = base + i + 1;
                } else if (b == separator) {
                    atCell = true;
                } else {
                    atCell = false;
                    if (blank && !isBlank(b)) {
                        blank = marked(true, start);
                    }
                }
            }
            at = end;
        }
        rows.add(base);
    }

    private boolean marked(boolean blank, long start) {
        if (blank) {
            rows.add(start);
        }
        return false;
    }

    /** A row for each item of the array. */
    private void array() throws IOException {
        int depth = 0;
        boolean text = false;
        boolean escaped = false;
        boolean inItem = false;
        while (more()) {
            for (int i = at; i < filled; i++) {
                byte b = buffer[i];
                if (text) {
                    text = escaped || b != '"';
                    escaped = !escaped && b == '\\';
                    continue;
                }
                if (isBlank(b)) {
                    continue;
                }
                if (depth == 1 && !inItem && b != ']' && b != ',') {
                    inItem = true;
                    rows.add(base + i);
                }
                switch (b) {
                    case '"' -> text = true;
                    case '[', '{' -> depth++;
                    case ']', '}' -> {
                        depth--;
                        inItem &= depth != 1 || b != ']';
                    }
                    case ',' -> inItem &= depth != 1;
                    default -> {}
                }
            }
            at = filled;
        }
        rows.add(base);
    }
}
