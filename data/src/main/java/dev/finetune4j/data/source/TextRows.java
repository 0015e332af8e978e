package dev.finetune4j.data.source;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.io.IOException;
import java.io.Reader;

/**
 * The rows of a plain text: the whole of it is one, under {@code text}. One of more than {@value #MOST} characters is cut
 * behind the last empty line before that, or the last line.
 */
final class TextRows {
    static final int MOST = 1 << 20;

    private TextRows() {}

    static void read(Reader reader, RowConsumer consumer) throws IOException {
        char[] buffer = new char[MOST];
        int filled = 0;
        long rows = 0;
        int line = 1;
        while (true) {
            int count = reader.read(buffer, filled, MOST - filled);
            filled += Math.max(count, 0);
            boolean ended = count < 0;
            if (!ended && filled < MOST) {
                continue;
            }
            String text = new String(buffer, 0, filled);
            int end = ended ? filled : cut(text);
            String piece = text.substring(0, end);
            if (!piece.isBlank()
                    && !consumer.accept(JsonNodeFactory.instance.objectNode().put("text", piece), rows++, line)) {
                return;
            }
            if (ended) {
                return;
            }
            line += (int) piece.chars().filter(c -> c == '\n').count();
            System.arraycopy(buffer, end, buffer, 0, filled - end);
            filled -= end;
        }
    }

    /** Where a piece of a long text ends: it is never empty, and no pair of surrogates is parted. */
    private static int cut(String text) {
        int end = text.lastIndexOf("\n\n") + 2;
        if (end < 2) {
            end = text.lastIndexOf('\n') + 1;
        }
        if (end < 1) {
            end = text.length() - (Character.isHighSurrogate(text.charAt(text.length() - 1)) ? 1 : 0);
        }
        return end;
    }
}
