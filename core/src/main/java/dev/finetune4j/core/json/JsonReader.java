package dev.finetune4j.core.json;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.Reader;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Reads values of <a href="https://www.rfc-editor.org/rfc/rfc8259">JSON</a> as Python's {@code json} module does, so with
 * {@code NaN}, {@code Infinity} and {@code -Infinity}. A name that stands twice in an object is an error.
 *
 * <p>What a value may need is bounded: {@value #MAX_DEPTH} levels, {@value #MAX_DIGITS} characters in a number, {@value
 * #MAX_NAME} in a name, and for all of it together half of the heap, at most 2 GiB. The bounds hold for each value, so a
 * stream may have any number of them.
 *
 * <p>Not thread-safe. It borrows the reader.
 */
public final class JsonReader {
    static final int MAX_DEPTH = 1_000;
    static final int MAX_DIGITS = 4_300;
    static final int MAX_NAME = 1_000_000;
    private static final long MAX_BYTES = 1L << 31;
    /** What a node with its place in a tree takes beside its text. */
    private static final int NODE_BYTES = 64;

    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    /** Names that are kept to be used again: objects of one kind have the same. */
    private static final int MAX_KNOWN_NAMES = 1_024;

    private final Map<String, String> knownNames = new HashMap<>();
    private final JsonText text;
    private final long heapShare = Math.min(MAX_BYTES, Runtime.getRuntime().maxMemory() / 2);
    private long bytes;
    private boolean inArray;
    private boolean atFirst;

    /** A reader of a text that begins in line 1. */
    public JsonReader(Reader reader) {
        this(reader, 1);
    }

    /** A reader of a text that begins in a line. */
    public JsonReader(Reader reader, int line) {
        this.text = new JsonText(reader, line);
    }

    /** A reader of a text that is in memory and begins in a line. */
    public JsonReader(String text, int line) {
        this.text = new JsonText(text, line);
    }

    /**
     * The next value of the text.
     *
     * @return null at the end of the text
     * @throws JsonSyntaxException if there is something else than JSON, or a value beyond the limits
     * @throws IOException from the reader
     */
    public @Nullable JsonNode next() throws IOException {
        bytes = 0;
        return text.skipBlanks() < 0 ? null : value(0);
    }

    /** Whether anything but white space is left. */
    public boolean hasMore() throws IOException {
        return text.skipBlanks() >= 0;
    }

    /** Whether anything but white space and one of these characters is left. */
    public boolean hasMoreThan(String allowed) throws IOException {
        int c = text.skipBlanks();
        if (c >= 0 && allowed.indexOf(c) >= 0) {
            text.read();
            c = text.skipBlanks();
        }
        return c >= 0;
    }

    /** Goes into the array that comes next, whose items {@link #nextItem} gives one by one. */
    public void enterArray() throws IOException {
        if (text.skipBlanks() != '[') {
            throw text.unexpected("expected '[', which begins an array");
        }
        text.read();
        inArray = true;
        atFirst = true;
    }

    /** The next item of the array that was entered; null once the array has ended. */
    public @Nullable JsonNode nextItem() throws IOException {
        if (!inArray) {
            return null;
        }
        if (endsOrGoesOn(']', atFirst, "item")) {
            inArray = false;
            return null;
        }
        atFirst = false;
        bytes = 0;
        return value(1);
    }

    /** Goes into the object that comes next, whose names {@link #nextName} gives one by one. */
    public void enterObject() throws IOException {
        if (text.skipBlanks() != '{') {
            throw text.unexpected("expected '{', which begins an object");
        }
        text.read();
        atFirst = true;
    }

    /**
     * The next name of the object that was entered, whose value {@link #next} then gives; null once the object has ended.
     * Whether a name stands twice is for the caller to see.
     */
    public @Nullable String nextName() throws IOException {
        if (endsOrGoesOn('}', atFirst, "field")) {
            return null;
        }
        atFirst = false;
        bytes = 0;
        return name();
    }

    /** The line of the next character, counted from 1. */
    public int line() {
        return text.line();
    }

    /** The place of the next character in its line, counted from 1. */
    public int column() {
        return text.column();
    }

    private JsonNode value(int depth) throws IOException {
        if (depth > MAX_DEPTH) {
            throw text.failure("values lie in each other beyond the limit of " + MAX_DEPTH + " levels");
        }
        spend(NODE_BYTES);
        int c = text.skipBlanks();
        return switch (c) {
            case '{' -> object(depth);
            case '[' -> array(depth);
            case '"' -> NODES.textNode(string());
            case '-' -> number();
            default -> c >= '0' && c <= '9' ? number() : word();
        };
    }

    private ObjectNode object(int depth) throws IOException {
        ObjectNode object = NODES.objectNode();
        spend(NODE_BYTES);
        text.read();
        for (boolean first = true; !endsOrGoesOn('}', first, "field"); first = false) {
            text.skipBlanks();
            JsonText.Mark place = text.mark();
            String name = name();
            text.enter(name);
            JsonNode value = value(depth + 1);
            text.leave();
            if (object.replace(name, value) != null) {
                throw text.failure(
                        place,
                        "the field \"" + JsonText.shortened(name)
                                + "\" stands twice in one object; delete one of them");
            }
        }
        return object;
    }

    /** The name of a field, with the colon after it. */
    private String name() throws IOException {
        if (text.skipBlanks() != '"') {
            throw text.unexpected("expected the name of a field in double quotes");
        }
        JsonText.Mark place = text.mark();
        String name = known(string());
        if (name.length() > MAX_NAME) {
            throw text.failure(place, "a name of " + name.length() + " characters is beyond the limit of " + MAX_NAME);
        }
        spend(NODE_BYTES);
        if (text.skipBlanks() != ':') {
            throw text.unexpected("expected ':' after the name of a field");
        }
        text.read();
        return name;
    }

    private String known(String name) {
        String known = knownNames.get(name);
        if (known == null && knownNames.size() < MAX_KNOWN_NAMES) {
            knownNames.put(name, name);
        }
        return known == null ? name : known;
    }

    private ArrayNode array(int depth) throws IOException {
        ArrayNode array = NODES.arrayNode();
        spend(NODE_BYTES);
        text.read();
        for (boolean first = true; !endsOrGoesOn(']', first, "item"); first = false) {
            array.add(value(depth + 1));
        }
        return array;
    }

    /** Whether the end of an object or array comes next, else reads the comma that must stand before all but the first. */
    private boolean endsOrGoesOn(char end, boolean first, String what) throws IOException {
        int c = text.skipBlanks();
        if (c == end) {
            text.read();
            return true;
        }
        if (first) {
            return false;
        }
        if (c != ',') {
            throw text.unexpected("expected ',' before the next " + what + ", or '" + end + "'");
        }
        text.read();
        if (text.skipBlanks() == end) {
            throw text.failure("a comma stands before the closing '" + end + "'; delete the comma");
        }
        return false;
    }

    private String string() throws IOException {
        StringBuilder string = new StringBuilder();
        text.read();
        while (true) {
            text.plain(string);
            spend(0, string.length());
            int c = text.peek();
            if (c == '"') {
                text.read();
                // Characters that are kept: the tree holds them once more than the builder does.
                bytes += 2L * string.length();
                return string.toString();
            }
            if (c == '\\') {
                text.escape(string);
            } else if (c >= 0 && c < ' ') {
                throw text.failure(JsonText.named(c) + " stands in a text in double quotes; write " + escapeOf(c)
                        + " for it, or close the text before it");
            } else if (c < 0) {
                throw text.cutOff();
            }
        }
    }

    private static String escapeOf(int c) {
        return c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : String.format("\\u%04x", c);
    }

    private JsonNode number() throws IOException {
        JsonText.Mark place = text.mark();
        String literal = text.word(MAX_DIGITS);
        if (literal.length() > MAX_DIGITS) {
            throw text.failure(place, "a number is beyond the limit of " + MAX_DIGITS + " characters");
        }
        if (literal.equals("-Infinity")) {
            return NODES.numberNode(Double.NEGATIVE_INFINITY);
        }
        JsonNode number = JsonNumbers.of(literal, NODES);
        if (number == null) {
            throw text.failure(
                    place,
                    "found " + JsonText.shortened(literal) + ", which is no number of JSON; write it"
                            + " like 12, -3 or 4.5e-6");
        }
        return number;
    }

    private JsonNode word() throws IOException {
        JsonText.Mark place = text.mark();
        String word = text.word(JsonText.SHOWN);
        return switch (word) {
            case "true" -> NODES.booleanNode(true);
            case "false" -> NODES.booleanNode(false);
            case "null" -> NODES.nullNode();
            case "NaN" -> NODES.numberNode(Double.NaN);
            case "Infinity" -> NODES.numberNode(Double.POSITIVE_INFINITY);
            case "" -> throw text.unexpected("expected a value");
            case "None" -> throw text.failure(place, "found None, which is Python's spelling; write null");
            case "True", "False" ->
                throw text.failure(place, "found " + word + ", which is Python's spelling; write it in small letters");
            default ->
                throw text.failure(
                        place,
                        "found " + JsonText.shortened(word) + ", which is no value of JSON; put a text into double"
                                + " quotes");
        };
    }

    private void spend(long cost) throws IOException {
        spend(cost, 0);
    }

    private void spend(long cost, long pending) throws IOException {
        bytes += cost;
        if (bytes + 4 * pending > heapShare) {
            throw text.failure("the value needs more memory than the limit of " + (heapShare >> 20)
                    + " MiB, which is half of the JVM's heap, 2 GiB at most; give the JVM more (-Xmx), or make the"
                    + " value smaller");
        }
    }
}
