package dev.finetune4j.core.text.jinja;

import dev.finetune4j.core.text.jinja.python.Budget;
import dev.finetune4j.core.text.jinja.python.CallArguments;
import dev.finetune4j.core.text.jinja.python.Dict;
import dev.finetune4j.core.text.jinja.python.JsonText;
import dev.finetune4j.core.text.jinja.python.PercentFormat;
import dev.finetune4j.core.text.jinja.python.PythonText;
import dev.finetune4j.core.text.jinja.python.SafeText;
import dev.finetune4j.core.text.jinja.python.StringMethods;
import dev.finetune4j.core.text.jinja.python.TemplateError;
import dev.finetune4j.core.text.jinja.python.Tuple;
import dev.finetune4j.core.text.jinja.python.Undefined;
import dev.finetune4j.core.text.jinja.python.Values;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Filters that give text. */
final class TextFilters {
    private static final Pattern WORD = Pattern.compile("[\\p{L}\\p{N}_]+");
    private static final Pattern TITLE_PIECE =
            Pattern.compile("[-\\s({\\[<]+|[^-\\s({\\[<]+", Pattern.UNICODE_CHARACTER_CLASS);
    private static final HexFormat HEX = HexFormat.of().withUpperCase();
    private static final String UNRESERVED = "_.-~";

    private TextFilters() {}

    static Map<String, Filters.Filter> table() {
        return Map.ofEntries(
                Map.entry("tojson", (evaluator, value, arguments) -> JsonText.of(value, arguments)),
                Map.entry("string", (evaluator, value, arguments) -> string(value, arguments)),
                Map.entry("upper", (evaluator, value, arguments) -> PythonText.upper(only("upper", value, arguments))),
                Map.entry("lower", (evaluator, value, arguments) -> PythonText.lower(only("lower", value, arguments))),
                Map.entry(
                        "capitalize",
                        (evaluator, value, arguments) -> PythonText.capitalize(only("capitalize", value, arguments))),
                Map.entry("title", (evaluator, value, arguments) -> title(only("title", value, arguments))),
                Map.entry("trim", (evaluator, value, arguments) -> {
                    CallArguments.Bound bound = arguments.bind("trim", 0, "chars");
                    return StringMethods.strip(Values.str(value), bound.get("chars"), true, true);
                }),
                Map.entry("replace", (evaluator, value, arguments) -> replace(value, arguments)),
                Map.entry("center", (evaluator, value, arguments) -> {
                    int width = arguments.bind("center", 0, "width").whole("width", 80);
                    return StringMethods.padded(Values.str(value), width, ' ', StringMethods.Align.CENTER);
                }),
                Map.entry("indent", (evaluator, value, arguments) -> indent(value, arguments)),
                Map.entry("truncate", (evaluator, value, arguments) -> truncate(value, arguments)),
                Map.entry("wordcount", (evaluator, value, arguments) -> wordCount(only("wordcount", value, arguments))),
                Map.entry("format", (evaluator, value, arguments) -> format(value, arguments)),
                Map.entry("urlencode", (evaluator, value, arguments) -> urlEncode(value, arguments)),
                Map.entry("xmlattr", (evaluator, value, arguments) -> attributes(value, arguments)),
                Map.entry("striptags", (evaluator, value, arguments) -> stripTags(only("striptags", value, arguments))),
                Map.entry("safe", (evaluator, value, arguments) -> new SafeText(only("safe", value, arguments))),
                Map.entry("escape", (evaluator, value, arguments) -> escape(value, arguments)),
                Map.entry("e", (evaluator, value, arguments) -> escape(value, arguments)),
                Map.entry(
                        "forceescape",
                        (evaluator, value, arguments) -> new SafeText(escaped(only("forceescape", value, arguments)))));
    }

    /** The value as text, for filters without arguments. */
    private static String only(String filter, @Nullable Object value, CallArguments arguments) {
        arguments.bind(filter, 0);
        return Values.str(value);
    }

    private static long wordCount(String text) {
        Budget.charge(text.length());
        return WORD.matcher(text).results().count();
    }

    private static Object string(@Nullable Object value, CallArguments arguments) {
        String text = only("string", value, arguments);
        return value instanceof SafeText safe ? safe : text;
    }

    private static String title(String text) {
        StringBuilder titled = new StringBuilder();
        Budget.charge(4L * text.length());
        Matcher piece = TITLE_PIECE.matcher(text);
        while (piece.find()) {
            int split = piece.group().offsetByCodePoints(0, 1);
            titled.append(PythonText.upper(piece.group().substring(0, split)))
                    .append(PythonText.lower(piece.group().substring(split)));
        }
        return titled.toString();
    }

    private static String replace(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("replace", 2, "old", "new", "count");
        int count = bound.get("count") == null ? -1 : bound.whole("count", -1);
        return StringMethods.replace(
                Values.str(value), Values.str(bound.get("old")), Values.str(bound.get("new")), count);
    }

    private static String indent(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("indent", 0, "width", "first", "blank");
        Object width = bound.get("width", 4L);
        String margin = width instanceof String text ? text : StringMethods.repeated(" ", Values.index(width));
        if (!(value instanceof String)) {
            throw Values.undefinedOr(value, null, () -> "indent needs a text, found '" + Values.typeName(value) + "'");
        }
        List<String> lines = PythonText.lines(value + "\n", false);
        StringBuilder text = new StringBuilder(bound.flag("first") ? margin : "");
        for (int i = 0; i < lines.size(); i++) {
            boolean indented = i > 0 && (bound.flag("blank") || !lines.get(i).isEmpty());
            text.append(i > 0 ? "\n" : "").append(indented ? margin : "").append(lines.get(i));
            Budget.checkLength(text.length());
        }
        return text.toString();
    }

    private static @Nullable Object truncate(@Nullable Object value, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bind("truncate", 0, "length", "killwords", "end", "leeway");
        String end = bound.text("end", "...");
        int length = bound.whole("length", 255);
        int leeway = bound.get("leeway") == null ? 5 : bound.whole("leeway", 5);
        int kept = length - PythonText.length(end);
        if (kept < 0 || leeway < 0) {
            throw new TemplateError("truncate to " + length + " characters with a leeway of " + leeway
                    + " is impossible: the end alone has " + PythonText.length(end));
        }
        if (Values.length(value) <= (long) length + leeway) {
            return value;
        }
        String text = Values.text(value);
        String piece = PythonText.piece(text, 0, kept);
        int blank = bound.flag("killwords") ? -1 : piece.lastIndexOf(' ');
        return (blank < 0 ? piece : piece.substring(0, blank)) + end;
    }

    private static String format(@Nullable Object value, CallArguments arguments) {
        if (!arguments.named().isEmpty() && !arguments.positional().isEmpty()) {
            throw new TemplateError("format takes either values in order or named ones, not both");
        }
        if (arguments.named().isEmpty()) {
            return PercentFormat.format(Values.str(value), new Tuple(arguments.positional()));
        }
        Dict named = new Dict();
        arguments.named().forEach(named::put);
        return PercentFormat.format(Values.str(value), named);
    }

    private static String urlEncode(@Nullable Object value, CallArguments arguments) {
        arguments.bind("urlencode", 0);
        if (Values.isText(value) || !Values.isIterable(value)) {
            return quoted(Values.str(value), "/");
        }
        StringJoiner query = new StringJoiner("&");
        Values.each(value instanceof Dict dict ? dict.items() : value, item -> {
            List<@Nullable Object> pair = Values.list(item);
            if (pair.size() != 2) {
                throw new TemplateError("urlencode needs pairs, found an item of " + pair.size() + " parts");
            }
            query.add(quoted(Values.str(pair.get(0)), "").replace("%20", "+") + "="
                    + quoted(Values.str(pair.get(1)), "").replace("%20", "+"));
        });
        return query.toString();
    }

    private static String quoted(String text, String safe) {
        StringBuilder quoted = new StringBuilder();
        Budget.charge(text.length());
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
            char c = (char) (b & 0xff);
            boolean plain = c < 128 && (Character.isLetterOrDigit(c) || (UNRESERVED + safe).indexOf(c) >= 0);
            if (plain) {
                quoted.append(c);
            } else {
                quoted.append('%').append(HEX.toHighHexDigit(b)).append(HEX.toLowHexDigit(b));
            }
        }
        return quoted.toString();
    }

    private static String attributes(@Nullable Object value, CallArguments arguments) {
        boolean spaced = Values.truth(arguments.bind("xmlattr", 0, "autospace").get("autospace", true));
        if (!(value instanceof Dict dict)) {
            throw Values.undefinedOr(value, null, () -> "xmlattr needs a dict, found '" + Values.typeName(value) + "'");
        }
        StringJoiner attributes = new StringJoiner(" ");
        dict.forEach((key, item) -> {
            if (item == null || item instanceof Undefined) {
                return;
            }
            String name = Values.text(key);
            if (name.chars().anyMatch(c -> " \t\n\r\f\u000b/>=".indexOf(c) >= 0)) {
                throw new TemplateError("an attribute cannot be named " + PythonText.quoted(name));
            }
            attributes.add(
                    escaped(name) + "=\"" + escape(item, CallArguments.NONE).text() + "\"");
        });
        return (spaced && attributes.length() > 0 ? " " : "") + attributes;
    }

    private static String stripTags(String text) {
        String bare = without(without(text, "<!--", "-->"), "<", ">");
        if (bare.indexOf('&') >= 0) {
            throw new TemplateError("striptags on a text with '&' is not supported");
        }
        return String.join(" ", StringMethods.words(bare, -1, false));
    }

    /** Without what stands between two signs and the signs themselves. */
    private static String without(String text, String open, String close) {
        StringBuilder rest = new StringBuilder();
        int at = 0;
        while (true) {
            int start = text.indexOf(open, at);
            int end = start < 0 ? -1 : text.indexOf(close, start);
            if (end < 0) {
                return rest.append(text, at, text.length()).toString();
            }
            rest.append(text, at, start);
            at = end + close.length();
        }
    }

    private static SafeText escape(@Nullable Object value, CallArguments arguments) {
        arguments.bind("escape", 0);
        return value instanceof SafeText safe ? safe : new SafeText(escaped(Values.str(value)));
    }

    private static String escaped(String text) {
        Budget.charge(text.length());
        return text.replace("&", "&amp;")
                .replace(">", "&gt;")
                .replace("<", "&lt;")
                .replace("'", "&#39;")
                .replace("\"", "&#34;");
    }
}
