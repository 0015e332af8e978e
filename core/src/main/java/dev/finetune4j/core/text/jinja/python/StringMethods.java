package dev.finetune4j.core.text.jinja.python;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.function.IntPredicate;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/** The methods of text, as Python has them. */
public final class StringMethods {
    /** Where a text stands in a wider one. */
    public enum Align {
        LEFT,
        RIGHT,
        CENTER
    }

    @FunctionalInterface
    private interface Method {
        @Nullable
        Object call(String text, CallArguments arguments);
    }

    private static final Map<String, Method> TABLE = new HashMap<>();

    static {
        plain("upper", PythonText::upper);
        plain("lower", PythonText::lower);
        plain("title", PythonText::title);
        plain("capitalize", PythonText::capitalize);
        plain("swapcase", PythonText::swapCase);
        plain("casefold", PythonText::foldCase);
        stripping("strip", true, true);
        stripping("lstrip", true, false);
        stripping("rstrip", false, true);
        TABLE.put("split", (text, arguments) -> split(text, arguments, false));
        TABLE.put("rsplit", (text, arguments) -> split(text, arguments, true));
        TABLE.put(
                "splitlines",
                (text, arguments) -> new ArrayList<@Nullable Object>(PythonText.lines(
                        text, arguments.bind("splitlines", 0, "keepends").flag("keepends"))));
        TABLE.put("join", StringMethods::join);
        TABLE.put("replace", (text, arguments) -> {
            CallArguments.Bound bound = arguments.bindUnnamed("replace", 2, "old", "new", "count");
            return replace(
                    text, Values.text(bound.get("old")), Values.text(bound.get("new")), bound.whole("count", -1));
        });
        TABLE.put("startswith", (text, arguments) -> touches(text, arguments, true));
        TABLE.put("endswith", (text, arguments) -> touches(text, arguments, false));
        searching("find", false, false);
        searching("rfind", true, false);
        searching("index", false, true);
        searching("rindex", true, true);
        TABLE.put("count", (text, arguments) -> count(text, arguments));
        TABLE.put("partition", (text, arguments) -> partition(text, arguments, false));
        TABLE.put("rpartition", (text, arguments) -> partition(text, arguments, true));
        TABLE.put("removeprefix", (text, arguments) -> {
            String prefix = Values.text(
                    arguments.bindUnnamed("removeprefix", 1, "prefix").get("prefix"));
            return text.startsWith(prefix) ? text.substring(prefix.length()) : text;
        });
        TABLE.put("removesuffix", (text, arguments) -> {
            String suffix = Values.text(
                    arguments.bindUnnamed("removesuffix", 1, "suffix").get("suffix"));
            return text.endsWith(suffix) ? text.substring(0, text.length() - suffix.length()) : text;
        });
        aligning("center", Align.CENTER);
        aligning("ljust", Align.LEFT);
        aligning("rjust", Align.RIGHT);
        TABLE.put(
                "zfill",
                (text, arguments) -> zeroFilled(
                        text,
                        Values.index(arguments.bindUnnamed("zfill", 1, "width").get("width"))));
        TABLE.put(
                "expandtabs",
                (text, arguments) -> expandTabs(
                        text, arguments.bind("expandtabs", 0, "tabsize").whole("tabsize", 8)));
        TABLE.put(
                "format",
                (text, arguments) -> new FormatText(
                                arguments.positional(), arguments.named()::get, arguments.named()::containsKey)
                        .format(text));
        TABLE.put("format_map", (text, arguments) -> {
            Object map = arguments.bindUnnamed("format_map", 1, "mapping").get("mapping");
            if (!(map instanceof Dict dict)) {
                throw new TemplateError("format_map needs a dict, found '" + Values.typeName(map) + "'");
            }
            return new FormatText(List.of(), name -> dict.get(name, null), dict::has).format(text);
        });
        for (String name : List.of("encode", "maketrans", "translate")) {
            TABLE.put(name, (text, arguments) -> {
                throw new TemplateError("the method " + name + " of text is not supported");
            });
        }
        TextTests.TABLE.forEach((name, test) -> TABLE.put(name, (text, arguments) -> {
            arguments.bindUnnamed(name, 0);
            return test.test(text);
        }));
    }

    private StringMethods() {}

    /** The method of a name with its text; null if text has no such method. */
    public static @Nullable PyCallable bound(String text, String name) {
        Method method = TABLE.get(name);
        return method == null
                ? null
                : arguments -> {
                    Budget.checkLength(text.length());
                    Budget.chargeText(text.length());
                    return method.call(text, arguments);
                };
    }

    private static void plain(String name, UnaryOperator<String> change) {
        TABLE.put(name, (text, arguments) -> {
            arguments.bindUnnamed(name, 0);
            return change.apply(text);
        });
    }

    private static void stripping(String name, boolean head, boolean tail) {
        TABLE.put(
                name,
                (text, arguments) ->
                        strip(text, arguments.bindUnnamed(name, 0, "chars").get("chars"), head, tail));
    }

    private static void searching(String name, boolean last, boolean mustBe) {
        TABLE.put(name, (text, arguments) -> {
            long place = find(text, name, arguments, last);
            if (place < 0 && mustBe) {
                throw new TemplateError("substring not found");
            }
            return place;
        });
    }

    private static void aligning(String name, Align align) {
        TABLE.put(name, (text, arguments) -> {
            CallArguments.Bound bound = arguments.bindUnnamed(name, 1, "width", "fillchar");
            String fill = bound.text("fillchar", " ");
            if (PythonText.length(fill) != 1) {
                throw new TemplateError("the fill character must be exactly one character long");
            }
            return padded(text, bound.whole("width", 0), fill.codePointAt(0), align);
        });
    }

    /** Without white space, or the given characters, at the ends. */
    public static String strip(String text, @Nullable Object characters, boolean head, boolean tail) {
        String set = characters == null ? null : Values.text(characters);
        IntPredicate dropped = PythonText::isWhite;
        if (set != null) {
            BitSet members = new BitSet();
            set.codePoints().forEach(members::set);
            dropped = members::get;
        }
        Budget.chargeText(text.length());
        int start = 0;
        int end = text.length();
        while (head && start < end && dropped.test(text.codePointAt(start))) {
            start += Character.charCount(text.codePointAt(start));
        }
        while (tail && end > start && dropped.test(text.codePointBefore(end))) {
            end -= Character.charCount(text.codePointBefore(end));
        }
        return text.substring(start, end);
    }

    private static Object split(String text, CallArguments arguments, boolean fromRight) {
        CallArguments.Bound bound = arguments.bind(fromRight ? "rsplit" : "split", 0, "sep", "maxsplit");
        int most = bound.whole("maxsplit", -1);
        if (bound.get("sep") == null) {
            return new ArrayList<@Nullable Object>(words(text, most, fromRight));
        }
        String separator = Values.text(bound.get("sep"));
        if (separator.isEmpty()) {
            throw new TemplateError("empty separator");
        }
        List<@Nullable Object> parts = new ArrayList<>();
        int start = 0;
        int end = text.length();
        while (most < 0 || parts.size() < most) {
            int at = fromRight ? TextSearch.last(text, separator, end) : TextSearch.first(text, separator, start);
            if (at < 0) {
                break;
            }
            Budget.allocate(PythonText.PIECE_BYTES);
            parts.add(fromRight ? text.substring(at + separator.length(), end) : text.substring(start, at));
            start = fromRight ? start : at + separator.length();
            end = fromRight ? at : end;
        }
        parts.add(text.substring(start, end));
        Budget.allocate(2L * text.length());
        if (fromRight) {
            Collections.reverse(parts);
        }
        return parts;
    }

    /** Pieces between white space. */
    public static List<String> words(String text, int most, boolean fromRight) {
        List<String> words = new ArrayList<>();
        Budget.charge(text.length() / 2);
        Budget.allocate(2L * text.length());
        int at = fromRight ? skipBack(text, text.length(), true) : skip(text, 0, true);
        while (fromRight ? at > 0 : at < text.length()) {
            if (most >= 0 && words.size() >= most) {
                words.add(fromRight ? text.substring(0, at) : text.substring(at));
                break;
            }
            Budget.allocate(PythonText.PIECE_BYTES);
            int edge = fromRight ? skipBack(text, at, false) : skip(text, at, false);
            words.add(text.substring(Math.min(at, edge), Math.max(at, edge)));
            at = fromRight ? skipBack(text, edge, true) : skip(text, edge, true);
        }
        if (fromRight) {
            Collections.reverse(words);
        }
        return words;
    }

    private static int skip(String text, int from, boolean white) {
        int at = from;
        while (at < text.length() && PythonText.isWhite(text.charAt(at)) == white) {
            at++;
        }
        return at;
    }

    private static int skipBack(String text, int from, boolean white) {
        int at = from;
        while (at > 0 && PythonText.isWhite(text.charAt(at - 1)) == white) {
            at--;
        }
        return at;
    }

    /** As often as said, if the result is not too long; nothing for a negative count. */
    public static String repeated(String text, int times) {
        Budget.checkLength((long) text.length() * times);
        return text.repeat(Math.max(0, times));
    }

    private static Object join(String text, CallArguments arguments) {
        StringJoiner joined = new StringJoiner(text);
        Values.each(arguments.bindUnnamed("join", 1, "iterable").get("iterable"), item -> {
            joined.add(Values.text(item));
            Budget.checkLength(joined.length());
        });
        return joined.toString();
    }

    /** With at most so many pieces replaced; all of them if negative. */
    public static String replace(String text, String old, String replacement, int most) {
        StringBuilder replaced = new StringBuilder();
        int at = 0;
        int count = 0;
        while (most < 0 || count < most) {
            int next = old.isEmpty() && at > text.length() ? -1 : TextSearch.first(text, old, at);
            if (next < 0) {
                break;
            }
            replaced.append(text, at, next).append(replacement);
            Budget.charge(1 + (next - at + replacement.length()) / 8);
            Budget.checkLength(replaced.length());
            at = next + old.length();
            count++;
            if (old.isEmpty()) {
                int end = at < text.length() ? text.offsetByCodePoints(at, 1) : at + 1;
                replaced.append(text, at, Math.min(end, text.length()));
                at = end;
            }
        }
        return at < text.length() ? replaced.append(text, at, text.length()).toString() : replaced.toString();
    }

    /** The part of a text between two places, which may count from the end or be none; null if they are crossed. */
    private static int @Nullable [] bounds(String text, CallArguments.Bound bound) {
        int length = PythonText.length(text);
        int start = bound.get("start") == null ? 0 : bound.whole("start", 0);
        int end = bound.get("end") == null ? length : bound.whole("end", length);
        int first = Math.max(0, start < 0 ? start + length : start);
        int last = Math.min(length, Math.max(0, end < 0 ? end + length : end));
        return first > last ? null : new int[] {first, last};
    }

    private static Object touches(String text, CallArguments arguments, boolean atStart) {
        String name = atStart ? "startswith" : "endswith";
        CallArguments.Bound bound = arguments.bindUnnamed(name, 1, "prefix", "start", "end");
        int[] bounds = bounds(text, bound);
        Object wanted = bound.get("prefix");
        String piece = bounds == null ? "" : PythonText.piece(text, bounds[0], bounds[1]);
        List<@Nullable Object> choices =
                wanted instanceof Tuple tuple ? tuple.items() : Collections.singletonList(wanted);
        boolean found = false;
        for (Object choice : choices) {
            String edge = Values.text(choice);
            Budget.charge(1);
            if (bounds != null && !found) {
                found = atStart ? piece.startsWith(edge) : piece.endsWith(edge);
            }
        }
        return found;
    }

    private static long find(String text, String name, CallArguments arguments, boolean last) {
        CallArguments.Bound bound = arguments.bindUnnamed(name, 1, "sub", "start", "end");
        String wanted = Values.text(bound.get("sub"));
        int[] bounds = bounds(text, bound);
        if (bounds == null) {
            return -1;
        }
        String piece = PythonText.piece(text, bounds[0], bounds[1]);
        int at = last ? TextSearch.last(piece, wanted, piece.length()) : TextSearch.first(piece, wanted, 0);
        return at < 0 ? -1 : bounds[0] + piece.codePointCount(0, at);
    }

    private static Object count(String text, CallArguments arguments) {
        CallArguments.Bound bound = arguments.bindUnnamed("count", 1, "sub", "start", "end");
        String wanted = Values.text(bound.get("sub"));
        int[] bounds = bounds(text, bound);
        if (bounds == null) {
            return 0L;
        }
        String piece = PythonText.piece(text, bounds[0], bounds[1]);
        if (wanted.isEmpty()) {
            return PythonText.length(piece) + 1L;
        }
        long count = 0;
        int length = wanted.length();
        for (int at = TextSearch.first(piece, wanted, 0); at >= 0; at = TextSearch.first(piece, wanted, at + length)) {
            count++;
        }
        return count;
    }

    private static Tuple partition(String text, CallArguments arguments, boolean last) {
        String separator =
                Values.text(arguments.bindUnnamed("partition", 1, "sep").get("sep"));
        if (separator.isEmpty()) {
            throw new TemplateError("empty separator");
        }
        int at = last ? TextSearch.last(text, separator, text.length()) : TextSearch.first(text, separator, 0);
        if (at < 0) {
            return last ? Tuple.of("", "", text) : Tuple.of(text, "", "");
        }
        return Tuple.of(text.substring(0, at), separator, text.substring(at + separator.length()));
    }

    /** Filled up to a width in code points. */
    public static String padded(String text, int width, int fill, Align align) {
        int missing = width - PythonText.length(text);
        if (missing <= 0) {
            return text;
        }
        Budget.checkLength(width);
        int left = switch (align) {
            case LEFT -> 0;
            case RIGHT -> missing;
            case CENTER -> missing / 2 + (missing & width & 1);
        };
        String filler = Character.toString(fill);
        return filler.repeat(left) + text + filler.repeat(missing - left);
    }

    private static String zeroFilled(String text, int width) {
        boolean signed = text.startsWith("-") || text.startsWith("+");
        return signed
                ? text.charAt(0) + padded(text.substring(1), width - 1, '0', Align.RIGHT)
                : padded(text, width, '0', Align.RIGHT);
    }

    private static String expandTabs(String text, int size) {
        StringBuilder expanded = new StringBuilder();
        Budget.charge(text.length());
        int column = 0;
        for (int c : text.codePoints().toArray()) {
            if (c == '\t') {
                int blanks = size > 0 ? size - column % size : 0;
                expanded.append(repeated(" ", blanks));
                column += blanks;
                Budget.checkLength(expanded.length());
            } else {
                expanded.appendCodePoint(c);
                column = c == '\n' || c == '\r' ? 0 : column + 1;
            }
        }
        return expanded.toString();
    }
}
