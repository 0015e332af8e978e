package dev.finetune4j.core.json;

import java.io.IOException;
import java.io.Reader;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** The characters of a text of JSON with the place that has been reached, and the words in which a place is complained of. */
final class JsonText {
    /** As many characters of a name or value as a message shows. */
    static final int SHOWN = 60;

    private static final int BUFFER = 16_384;
    private static final int FIELDS_SHOWN = 8;
    /** What input methods for Chinese write where JSON has a sign of its own, and that sign. */
    private static final String CHINESE =
            "\uff1a\u201c\u201d\uff0c\u3001\u3010\u3011\u300c\u300d\uff5b\uff5d\uff3b\uff3d\uff02\u2018\u2019\uff1b\u3000";

    private static final String ASCII = ":\"\",,[]\"\"{}[]\"\"\", ";

    /** A place in a text. */
    record Mark(int line, int column) {}

    private final Reader reader;
    private final char[] buffer;
    private final Deque<String> fields = new ArrayDeque<>();
    private int at;
    private int end;
    private int line;
    /** How many characters of the current line lay in earlier buffers, less those of this buffer that lie before it. */
    private int lineOffset;

    private boolean afterReturn;

    JsonText(Reader reader, int line) {
        this.reader = reader;
        this.buffer = new char[BUFFER];
        this.line = line;
    }

    /** A text that is in memory, which needs no buffer beside itself. */
    JsonText(String text, int line) {
        this.reader = Reader.nullReader();
        this.buffer = text.toCharArray();
        this.end = buffer.length;
        this.line = line;
    }

    int line() {
        return line;
    }

    int column() {
        return at + lineOffset + 1;
    }

    Mark mark() {
        return new Mark(line, column());
    }

    /** Says that the value of a field comes next; {@link #leave} goes with it. */
    void enter(String field) {
        fields.push(field);
    }

    void leave() {
        fields.pop();
    }

    /** The next character, which stays; -1 at the end. */
    int peek() throws IOException {
        if (at == end && !fill()) {
            return -1;
        }
        return buffer[at];
    }

    private boolean fill() throws IOException {
        lineOffset += end;
        at = 0;
        end = 0;
        int count = reader.read(buffer, 0, buffer.length);
        end = Math.max(0, count);
        return end > 0;
    }

    /** Moves on by one character. */
    void read() throws IOException {
        if (peek() >= 0) {
            char c = buffer[at++];
            if (c == '\r' || c == '\n') {
                boolean pair = c == '\n' && afterReturn;
                line += pair ? 0 : 1;
                lineOffset = -at;
                afterReturn = c == '\r';
            } else {
                afterReturn = false;
            }
        }
    }

    /** Moves to the next character that is no white space of JSON, and gives it; -1 at the end. */
    int skipBlanks() throws IOException {
        int c = peek();
        while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
            read();
            c = peek();
        }
        return c;
    }

    /** Takes what stands in a string up to its end, an escape or a character that may not stand in it. */
    void plain(StringBuilder string) throws IOException {
        while (peek() >= 0) {
            int start = at;
            while (at < end && buffer[at] >= ' ' && buffer[at] != '"' && buffer[at] != '\\') {
                at++;
            }
            string.append(buffer, start, at - start);
            if (at > start) {
                afterReturn = false;
            }
            if (at < end || string.length() > BUFFER) {
                return;
            }
        }
    }

    /** The letters, digits and signs that come next, and no more than one beyond the most. */
    String word(int most) throws IOException {
        StringBuilder word = new StringBuilder();
        int c = peek();
        while (word.length() <= most
                && (Character.isLetterOrDigit(c) || c == '_' || (c == '-' || c == '+' || c == '.'))) {
            word.append((char) c);
            read();
            c = peek();
        }
        return word.toString();
    }

    /** Takes an escape in a string. */
    void escape(StringBuilder string) throws IOException {
        Mark place = mark();
        read();
        int c = peek();
        if (c < 0) {
            throw cutOff();
        }
        int simple = "\"\\/bfnrt".indexOf(c);
        if (simple >= 0) {
            string.append("\"\\/\b\f\n\r\t".charAt(simple));
            read();
            return;
        }
        if (c != 'u') {
            throw failure(
                    place,
                    "found the escape \\" + Character.toString(c) + " in a text, which JSON does not have;"
                            + " write \\\\ for a backslash");
        }
        read();
        int code = 0;
        for (int i = 0; i < 4; i++) {
            c = peek();
            if (c < 0) {
                throw cutOff();
            }
            int digit = c < 128 ? Character.digit(c, 16) : -1;
            if (digit < 0) {
                throw failure(place, "an escape \\u in a text needs four hexadecimal digits after it");
            }
            code = 16 * code + digit;
            read();
        }
        string.append((char) code);
    }

    JsonSyntaxException cutOff() {
        return new JsonSyntaxException(
                "the text ends in the middle of a value; it may be cut off", line, column(), field(), true);
    }

    /** A failure here, because of the next character. */
    JsonSyntaxException unexpected(String expected) throws IOException {
        int c = peek();
        if (c < 0) {
            return cutOff();
        }
        int chinese = CHINESE.indexOf(c);
        if (chinese >= 0) {
            return failure("found " + named(c) + ", " + expected + "; was Chinese punctuation typed here? Write '"
                    + ASCII.charAt(chinese) + "'");
        }
        String hint = switch (c) {
            case '\'' -> "; JSON has double quotes alone";
            case '/', '#' -> "; JSON has no comments, delete them";
            case 0 -> "; the file may be UTF-16 text or damaged";
            case 0xfeff -> "; delete the byte order mark";
            default -> "";
        };
        return failure("found " + named(c) + ", " + expected + hint);
    }

    JsonSyntaxException failure(String message) {
        return failure(mark(), message);
    }

    JsonSyntaxException failure(Mark place, String message) {
        return new JsonSyntaxException(message, place.line(), place.column(), field(), false);
    }

    private @Nullable String field() {
        List<String> path = new ArrayList<>(fields);
        if (path.isEmpty()) {
            return null;
        }
        Collections.reverse(path);
        int more = path.size() - FIELDS_SHOWN;
        List<String> shown = path.subList(0, Math.min(path.size(), FIELDS_SHOWN));
        return String.join(".", shown.stream().map(JsonText::shortened).toList()) + (more > 0 ? "…" : "");
    }

    static String shortened(String text) {
        return text.length() <= SHOWN ? text : text.substring(0, SHOWN) + "…";
    }

    static String named(int c) {
        return switch (c) {
            case '\t' -> "a tab";
            case '\n', '\r' -> "a line break";
            case 0xfeff -> "a byte order mark";
            default ->
                c < ' ' || Character.isISOControl(c) || Character.isSurrogate((char) c)
                        ? String.format(Locale.ROOT, "the character U+%04X", c)
                        : "'" + Character.toString(c) + "'";
        };
    }
}
