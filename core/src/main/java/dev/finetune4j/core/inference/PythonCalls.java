package dev.finetune4j.core.inference;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.json.PlainValues;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Reads a list of calls with named arguments that are literals, as Python writes them: {@code [f(a='x', b=[1, None])]}. */
final class PythonCalls {
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    private static final Pattern NAME = Pattern.compile("[\\p{L}_][\\p{L}\\p{N}_.\\-]*");
    private static final Pattern NUMBER = Pattern.compile("[-+]?[0-9][0-9.eE+\\-]*");
    private static final int MAX_DEPTH = 100;

    /** Something else than such a list. */
    private static final class NoLiteral extends Exception {
        private static final long serialVersionUID = 1;
    }

    private final String text;
    private int at;
    private int depth;

    private PythonCalls(String text) {
        this.text = text;
    }

    /** Null if the text is no such list. */
    static @Nullable List<ToolCallFormat.Call> parse(String text) {
        try {
            return new PythonCalls(text).calls();
        } catch (NoLiteral e) {
            return null;
        }
    }

    private List<ToolCallFormat.Call> calls() throws NoLiteral {
        List<ToolCallFormat.Call> calls = new ArrayList<>();
        require('[');
        do {
            String name = match(NAME);
            ObjectNode arguments = NODES.objectNode();
            require('(');
            while (!takes(')')) {
                String argument = match(NAME);
                require('=');
                arguments.set(argument, literal());
                if (!takes(',') && peek() != ')') {
                    throw new NoLiteral();
                }
            }
            calls.add(new ToolCallFormat.Call(null, name, arguments));
        } while (takes(','));
        require(']');
        if (peek() >= 0) {
            throw new NoLiteral();
        }
        return calls;
    }

    /** The next character that is no blank; -1 at the end. */
    private int peek() {
        while (at < text.length() && Character.isWhitespace(text.charAt(at))) {
            at++;
        }
        return at < text.length() ? text.charAt(at) : -1;
    }

    private boolean takes(char wanted) {
        boolean there = peek() == wanted;
        at += there ? 1 : 0;
        return there;
    }

    private void require(char wanted) throws NoLiteral {
        if (!takes(wanted)) {
            throw new NoLiteral();
        }
    }

    private String match(Pattern pattern) throws NoLiteral {
        peek();
        Matcher matcher = pattern.matcher(text).region(at, text.length());
        if (!matcher.lookingAt()) {
            throw new NoLiteral();
        }
        at = matcher.end();
        return matcher.group();
    }

    private JsonNode literal() throws NoLiteral {
        if (++depth > MAX_DEPTH) {
            throw new NoLiteral();
        }
        JsonNode node = switch (peek()) {
            case '\'', '"' -> NODES.textNode(string());
            case '[' -> list();
            case '{' -> dict();
            default -> Character.isLetter(peek()) ? word() : number();
        };
        depth--;
        return node;
    }

    private JsonNode word() throws NoLiteral {
        return switch (match(NAME)) {
            case "True", "true" -> NODES.booleanNode(true);
            case "False", "false" -> NODES.booleanNode(false);
            case "None", "null" -> NODES.nullNode();
            default -> throw new NoLiteral();
        };
    }

    private JsonNode number() throws NoLiteral {
        String literal = match(NUMBER);
        JsonNode number = PlainValues.parse(literal.startsWith("+") ? literal.substring(1) : literal);
        if (number == null) {
            throw new NoLiteral();
        }
        return number;
    }

    private ArrayNode list() throws NoLiteral {
        ArrayNode list = NODES.arrayNode();
        require('[');
        while (!takes(']')) {
            list.add(literal());
            if (!takes(',') && peek() != ']') {
                throw new NoLiteral();
            }
        }
        return list;
    }

    private ObjectNode dict() throws NoLiteral {
        ObjectNode dict = NODES.objectNode();
        require('{');
        while (!takes('}')) {
            if (peek() != '\'' && peek() != '"') {
                throw new NoLiteral();
            }
            String key = string();
            require(':');
            dict.set(key, literal());
            if (!takes(',') && peek() != '}') {
                throw new NoLiteral();
            }
        }
        return dict;
    }

    private String string() throws NoLiteral {
        char quote = text.charAt(at++);
        StringBuilder string = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == quote) {
                return string.toString();
            }
            string.append(c == '\\' ? escape() : String.valueOf(c));
        }
        throw new NoLiteral();
    }

    private String escape() throws NoLiteral {
        if (at == text.length()) {
            throw new NoLiteral();
        }
        char c = text.charAt(at++);
        return switch (c) {
            case 'n' -> "\n";
            case 't' -> "\t";
            case 'r' -> "\r";
            case '\\', '\'', '"' -> String.valueOf(c);
            case 'x' -> codePoint(2);
            case 'u' -> codePoint(4);
            case 'U' -> codePoint(8);
            default -> "\\" + c;
        };
    }

    private String codePoint(int digits) throws NoLiteral {
        if (at + digits > text.length()) {
            throw new NoLiteral();
        }
        try {
            int point = Integer.parseInt(text.substring(at, at + digits), 16);
            at += digits;
            return digits == 8 ? Character.toString(point) : String.valueOf((char) point);
        } catch (IllegalArgumentException e) {
            throw new NoLiteral();
        }
    }
}
