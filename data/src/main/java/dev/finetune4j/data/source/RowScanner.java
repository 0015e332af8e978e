package dev.finetune4j.data.source;

import java.io.IOException;

/**
 * Finds where the rows of a file begin, from bytes alone: all that steers it is ASCII, which no part of a longer UTF-8
 * sequence is. What is wrong inside of rows is for those to see who read them.
 *
 * <p>Not thread-safe.
 */
abstract class RowScanner {
    private static final int CHUNK = 1 << 18;
    private static final byte[] BYTE_ORDER_MARK = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};

    private final FileBytes content;
    private final Offsets rows;
    private final long end;
    private final byte[] buffer = new byte[CHUNK];
    private long at;

    private RowScanner(FileBytes content, Offsets rows) throws IOException {
        this.content = content;
        this.rows = rows;
        this.end = content.length();
    }

    /** @param rows takes the offsets of the rows and, last, of their end; of a table the header is the first */
    static RowScanner of(FileBytes content, FileKind kind, char separator, Offsets rows) throws IOException {
        return switch (kind) {
            case JSON_LINES -> new Lines(content, rows);
            case CSV -> new Table(content, rows, (byte) separator);
            case JSON_ARRAY -> new Items(content, rows);
            case TEXT, PARQUET -> throw new IllegalArgumentException(kind + " has rows of another kind");
        };
    }

    /**
     * Looks at the next part of the file, as it was long when this was made.
     *
     * @return whether that was not the last
     * @throws IOException if the file has become shorter
     * @throws IllegalArgumentException if there are more rows than can be told apart
     */
    boolean advance() throws IOException {
        int count = (int) Math.min(CHUNK, end - at);
        content.read(at, buffer, 0, count);
        int from = at == 0 && startsWithMark(count) ? BYTE_ORDER_MARK.length : 0;
        look(buffer, from, count, at);
        at += count;
        if (at == end) {
            rows.add(end);
        }
        return at < end;
    }

    private boolean startsWithMark(int count) {
        boolean mark = count >= BYTE_ORDER_MARK.length;
        for (int i = 0; mark && i < BYTE_ORDER_MARK.length; i++) {
            mark = buffer[i] == BYTE_ORDER_MARK[i];
        }
        return mark;
    }

    /**
     * Looks at bytes that follow those before.
     *
     * @param base where in the file the buffer begins
     */
    abstract void look(byte[] bytes, int from, int to, long base);

    void found(long row) {
        rows.add(row);
    }

    private static boolean isBlank(byte b) {
        return b == ' ' || b == '\t' || b == '\r' || b == '\n';
    }

    /** A row for each line that is not blank. */
    private static final class Lines extends RowScanner {
        private boolean blank = true;
        private long start;

        Lines(FileBytes content, Offsets rows) throws IOException {
            super(content, rows);
        }

        @Override
        void look(byte[] bytes, int from, int to, long base) {
            if (base == 0) {
                start = from;
            }
            int i = from;
            while (i < to) {
                if (blank) {
                    byte b = bytes[i];
                    if (b == '\n') {
                        start = base + i + 1;
                    } else if (!isBlank(b)) {
                        blank = false;
                        found(start);
                    }
                    i++;
                    continue;
                }
                while (i < to && bytes[i] != '\n') {
                    i++;
                }
                if (i < to) {
                    blank = true;
                    i++;
                    start = base + i;
                }
            }
        }
    }

    /** A row for each record that is not blank, the header first; a quote counts as one where a cell begins. */
    private static final class Table extends RowScanner {
        private final byte separator;
        private boolean atCell = true;
        private boolean quoted;
        private boolean closed;
        private boolean blank = true;
        private long start;

        Table(FileBytes content, Offsets rows, byte separator) throws IOException {
            super(content, rows);
            this.separator = separator;
        }

        @Override
        void look(byte[] bytes, int from, int to, long base) {
            if (base == 0) {
                start = from;
            }
            int i = from;
            while (i < to) {
                if (quoted) {
                    while (i < to && bytes[i] != '"') {
                        i++;
                    }
                    if (i < to) {
                        quoted = false;
                        closed = true;
                        i++;
                    }
                } else {
                    step(bytes[i], base + i);
                    i++;
                }
            }
        }

        private void step(byte b, long place) {
            // A quote inside of a text stands twice, so the text ends and begins again.
            boolean begins = b == '"' && (atCell || closed);
            closed = false;
            if (b == '\n' || b == '\r') {
                atCell = true;
                blank = true;
                start = place + 1;
                return;
            }
            quoted = begins;
            atCell = b == separator;
            if (blank && (begins || !(atCell || isBlank(b)))) {
                blank = false;
                found(start);
            }
        }
    }

    /** A row for each item of an array. */
    private static final class Items extends RowScanner {
        private int depth;
        private boolean text;
        private boolean escaped;
        private boolean inItem;

        Items(FileBytes content, Offsets rows) throws IOException {
            super(content, rows);
        }

        @Override
        void look(byte[] bytes, int from, int to, long base) {
            for (int i = from; i < to; i++) {
                byte b = bytes[i];
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
                    found(base + i);
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
        }
    }
}
