package dev.finetune4j.core.text.jinja.python;

import java.util.List;
import java.util.function.Function;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** Text with <a href="https://docs.python.org/3/library/string.html#format-string-syntax">braces</a> for values. */
public final class FormatText {
    private static final int MAX_NESTING = 2;

    private final List<@Nullable Object> positional;
    private final Function<String, @Nullable Object> named;
    private final Predicate<String> hasNamed;
    /** The next place of a field without a name; -1 once a field has named a place. */
    private int nextPlace;

    public FormatText(
            List<@Nullable Object> positional, Function<String, @Nullable Object> named, Predicate<String> hasNamed) {
        this.positional = positional;
        this.named = named;
        this.hasNamed = hasNamed;
    }

    public String format(String format) {
        return format(format, MAX_NESTING);
    }

    private String format(String format, int nesting) {
        if (nesting == 0) {
            throw new TemplateError("Max string recursion exceeded");
        }
        StringBuilder text = new StringBuilder();
        int at = 0;
        while (at < format.length()) {
            char c = format.charAt(at++);
            boolean doubled = at < format.length() && format.charAt(at) == c;
            if ((c == '{' || c == '}') && doubled) {
                text.append(c);
                at++;
            } else if (c == '}') {
                throw new TemplateError("Single '}' encountered in format string");
            } else if (c == '{') {
                int end = fieldEnd(format, at);
                text.append(field(format.substring(at, end), nesting));
                at = end + 1;
            } else {
                text.append(c);
            }
            Budget.checkLength(text.length());
        }
        return text.toString();
    }

    private static int fieldEnd(String format, int start) {
        int depth = 1;
        for (int i = start; i < format.length(); i++) {
            char c = format.charAt(i);
            if (c == '[') {
                i = closing(format, i);
            }
            depth += c == '{' ? 1 : c == '}' ? -1 : 0;
            if (depth == 0) {
                return i;
            }
        }
        throw new TemplateError("expected '}' before end of string");
    }

    private static int closing(String format, int open) {
        int close = format.indexOf(']', open);
        if (close < 0) {
            throw new TemplateError("Missing ']' in format string");
        }
        return close;
    }

    private String field(String field, int nesting) {
        Budget.charge(8 + field.length() / 2);
        int nameEnd = 0;
        while (nameEnd < field.length() && ":!".indexOf(field.charAt(nameEnd)) < 0) {
            nameEnd = (field.charAt(nameEnd) == '[' ? closing(field, nameEnd) : nameEnd) + 1;
        }
        Object value = value(field.substring(0, nameEnd));
        String rest = field.substring(nameEnd);
        if (rest.startsWith("!")) {
            if (rest.length() < 2 || (rest.length() > 2 && rest.charAt(2) != ':')) {
                throw new TemplateError("expected ':' after conversion specifier");
            }
            value = converted(rest.charAt(1), value);
            rest = rest.substring(2);
        }
        String spec = rest.startsWith(":") ? rest.substring(1) : "";
        return FormatSpec.format(value, spec.isEmpty() ? "" : format(spec, nesting - 1));
    }

    private static Object converted(char conversion, @Nullable Object value) {
        return switch (conversion) {
            case 's' -> Values.str(value);
            case 'r' -> Values.repr(value);
            case 'a' -> PercentFormat.ascii(Values.repr(value));
            default -> throw new TemplateError("Unknown conversion specifier " + conversion);
        };
    }

    private @Nullable Object value(String path) {
        int end = 0;
        while (end < path.length() && path.charAt(end) != '.' && path.charAt(end) != '[') {
            end++;
        }
        Object value = first(path.substring(0, end), end == path.length());
        int at = end;
        while (at < path.length()) {
            boolean isItem = path.charAt(at) == '[';
            int stop = isItem ? path.indexOf(']', at) : next(path, at + 1);
            if (stop <= at + 1 || (!isItem && path.charAt(at) != '.')) {
                throw new TemplateError("Empty attribute in format string");
            }
            String name = path.substring(at + 1, stop);
            value = isItem ? Members.item(value, key(name)) : Members.attribute(value, name);
            at = isItem ? stop + 1 : stop;
        }
        return value;
    }

    private static int next(String path, int from) {
        int at = from;
        while (at < path.length() && path.charAt(at) != '.' && path.charAt(at) != '[') {
            at++;
        }
        return at;
    }

    private static Object key(String name) {
        Object place = !name.isEmpty() && name.chars().allMatch(c -> c >= '0' && c <= '9')
                ? Numbers.parseWhole(name, 10)
                : null;
        return place == null ? name : place;
    }

    private @Nullable Object first(String name, boolean isWhole) {
        Object key = name.isEmpty() ? (isWhole ? (Object) (long) automatic() : name) : key(name);
        if (key instanceof String text) {
            if (!hasNamed.test(text)) {
                throw new TemplateError("the format names '" + text + "', which was not given");
            }
            return named.apply(text);
        }
        if (!name.isEmpty() && isWhole) {
            if (nextPlace > 0) {
                throw new TemplateError("cannot switch from automatic field numbering to manual field specification");
            }
            nextPlace = -1;
        }
        int place = Values.index(key);
        if (place >= positional.size()) {
            throw new TemplateError("Replacement index " + place + " out of range for positional args tuple");
        }
        return positional.get(place);
    }

    private int automatic() {
        if (nextPlace < 0) {
            throw new TemplateError("cannot switch from manual field specification to automatic field numbering");
        }
        return nextPlace++;
    }
}
