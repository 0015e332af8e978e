package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;

/**
 * The rows of a plain text: the whole of it is one, under {@code text}. One of more than {@value #MOST} bytes is cut
 * behind the last empty line before that, or the last line.
 */
final class TextRows {
    static final int MOST = 1 << 20;
    private static final int PIECE = 1 << 16;

    private TextRows() {}

    /** Takes the pieces of a text. */
    private interface Pieces {
        /** Whether the next is wanted. */
        boolean accept(byte[] piece, long offset, int line) throws IOException;
    }

    static void read(InputStream in, RowConsumer consumer) throws IOException {
        long[] rows = {0};
        pieces(in, (piece, offset, line) -> {
            String text = Utf8.decode(piece, offset == 0);
            return text.isBlank()
                    || consumer.accept(JsonNodeFactory.instance.objectNode().put("text", text), rows[0]++, line);
        });
    }

    /** The offsets of the rows and, last, of their end. */
    static Offsets scan(InputStream in) throws IOException {
        Offsets offsets = new Offsets();
        long[] end = {0};
        pieces(in, (piece, offset, line) -> {
            if (!Utf8.decode(piece, offset == 0).isBlank()) {
                offsets.add(offset);
            }
            end[0] = offset + piece.length;
            return true;
        });
        offsets.add(end[0]);
        return offsets;
    }

    private static void pieces(InputStream in, Pieces pieces) throws IOException {
        byte[] buffer = in.readNBytes(MOST + 1);
        int line = 1;
        long offset = 0;
        if (buffer.length <= MOST) {
            pieces.accept(buffer, 0, line);
            return;
        }
        while (buffer.length > 0) {
            int end = buffer.length <= PIECE ? buffer.length : cut(buffer, PIECE);
            byte[] piece = Arrays.copyOf(buffer, end);
            if (!pieces.accept(piece, offset, line)) {
                return;
            }
            for (byte b : piece) {
                line += b == '\n' ? 1 : 0;
            }
            offset += end;
            byte[] rest = Arrays.copyOfRange(buffer, end, buffer.length);
            if (rest.length <= PIECE) {
                byte[] more = in.readNBytes(MOST);
                buffer = Arrays.copyOf(rest, rest.length + more.length);
                System.arraycopy(more, 0, buffer, rest.length, more.length);
            } else {
                buffer = rest;
            }
        }
    }

    /** Where a piece of at most so many bytes ends: it is never empty, and no character is parted. */
    private static int cut(byte[] bytes, int most) {
        int line = 0;
        for (int i = most - 1; i > 0; i--) {
            if (bytes[i] == '\n') {
                if (bytes[i - 1] == '\n') {
                    return i + 1;
                }
                line = Math.max(line, i + 1);
            }
        }
        if (line > 0) {
            return line;
        }
        int end = most;
        while (end > 1 && (bytes[end] & 0xC0) == 0x80) {
            end--;
        }
        return end;
    }
}
