package dev.finetune4j.core.text;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;

/**
 * Looks at a regular expression of a tokenizer.json before the native library does, whose matcher goes back and tries
 * again, cannot be stopped, and ends the whole process when it has tried some ten million times. Refused is what may take
 * more tries than a small multiple of the length of a text: back references, repeats of a group that itself repeats or
 * varies, many choices one after another, and two repeats that take the same character before something that may fail.
 * The patterns of published tokenizers have none of these.
 */
final class SplitPattern {
    private static final int MAX_LENGTH = 10_000;
    private static final int MAX_DEPTH = 50;
    private static final int MAX_COUNT = 1_000;
    /** Repeats up to here count as written out. */
    private static final int FEW = 4;

    /** How many ways there may be to match a text, repeats aside. */
    private static final double MAX_WAYS = 100;

    /** In all of an expression. */
    private static final int MAX_REPEATS = 40;

    private static final Pattern EXACT = Pattern.compile("\\{\\d+}");
    /** Quantifiers, one after another, of which one allows none of what stands before. */
    private static final Pattern NONE = Pattern.compile("[+]?(\\{[^}]*})*([?*]|\\{(0|,)).*", Pattern.DOTALL);
    /** Escapes of a place in the text. */
    private static final String PLACES = "bBAzZGKyY";

    /**
     * What a part of an expression is, as far as it matters.
     *
     * @param ways in how many ways it may match, with each repeat counted once
     * @param mayBeEmpty whether it may match no character
     * @param mayFail whether there are texts that it does not match
     * @param repeated what it repeats
     * @param failing of each of its alternatives, what is repeated before the last thing that may fail
     */
    private record Part(
            double ways, boolean mayBeEmpty, boolean mayFail, List<String> repeated, List<List<String>> failing) {
        static Part character() {
            return new Part(1, false, true, List.of(), List.of(List.of()));
        }

        static Part place() {
            return new Part(1, true, true, List.of(), List.of(List.of()));
        }
    }

    private static final class Refused extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Refused(String reason) {
            super(reason, null, false, false);
        }
    }

    private final String regex;
    /** Which of the characters that are tried an atom takes. */
    private final Map<String, BitSet> takers = new HashMap<>();

    private int at;
    private int repeats;

    private SplitPattern(String regex) {
        this.regex = regex;
    }

    /** Why an expression is refused, after its text; null if it is not. */
    static @Nullable String problem(String regex) {
        if (regex.length() > MAX_LENGTH) {
            return "has " + regex.length() + " characters, more than the limit of " + MAX_LENGTH;
        }
        try {
            SplitPattern pattern = new SplitPattern(regex);
            pattern.choice(0);
            return pattern.at < regex.length() ? "has a bracket too many" : null;
        } catch (Refused e) {
            return e.getMessage();
        }
    }

    /** Whether an expression that is not refused may match where there is no character. */
    static boolean mayBeEmpty(String regex) {
        return new SplitPattern(regex).choice(0).mayBeEmpty;
    }

    private boolean more() {
        return at < regex.length();
    }

    private char take() {
        if (!more()) {
            throw new Refused("ends too early");
        }
        return regex.charAt(at++);
    }

    /** Alternatives up to a closing bracket or the end. */
    private Part choice(int depth) {
        if (depth > MAX_DEPTH) {
            throw new Refused("nests groups beyond the limit of " + MAX_DEPTH);
        }
        double ways = 0;
        boolean mayBeEmpty = false;
        boolean mayFail = true;
        List<String> repeated = new ArrayList<>();
        List<List<String>> failing = new ArrayList<>();
        while (true) {
            Part part = sequence(depth);
            failing.addAll(part.failing);
            ways += part.ways;
            mayBeEmpty |= part.mayBeEmpty;
            mayFail &= part.mayFail;
            repeated.addAll(part.repeated);
            if (!more() || regex.charAt(at) != '|') {
                return new Part(ways, mayBeEmpty, mayFail, repeated, failing);
            }
            at++;
        }
    }

    private Part sequence(int depth) {
        double ways = 1;
        boolean mayBeEmpty = true;
        boolean mayFail = false;
        List<String> repeated = new ArrayList<>();
        List<String> failing = List.of();
        while (more() && regex.charAt(at) != '|' && regex.charAt(at) != ')') {
            int start = at;
            boolean group = regex.charAt(at) == '(';
            Part part = atom(depth);
            String atom = regex.substring(start, at);
            int quantified = at;
            int most = quantifier();
            boolean none = NONE.matcher(regex).region(quantified, at).lookingAt();
            boolean exact = EXACT.matcher(regex).region(quantified, at).matches();
            mayBeEmpty &= part.mayBeEmpty || none;
            if (part.mayFail && !none) {
                mayFail = true;
                failing = longest(repeated, part.failing);
            }
            boolean once = at == quantified || regex.substring(quantified, at).matches("\\?[?+]?");
            if (group && !once && (!part.repeated.isEmpty() || part.ways > 1)) {
                throw new Refused("repeats a group that itself repeats or chooses, which may take time without end");
            }
            repeated.addAll(part.repeated);
            if (most > FEW && !exact) {
                repeat(atom, repeated);
            } else if (!exact) {
                ways *= part.ways * (at == quantified ? 1 : most);
            }
            if (ways > MAX_WAYS) {
                throw new Refused(
                        "can match a text in more than " + (int) MAX_WAYS + " ways, which may take time without end");
            }
        }
        return new Part(ways, mayBeEmpty, mayFail, repeated, List.of(failing));
    }

    /** What is repeated before something that may fail, in the part of it where that is most. */
    private List<String> longest(List<String> before, List<List<String>> inside) {
        List<String> longest = before;
        for (List<String> more : inside) {
            List<String> all = new ArrayList<>(before);
            all.addAll(more);
            requireDifferent(all);
            longest = all.size() > longest.size() ? all : longest;
        }
        return List.copyOf(longest);
    }

    private void repeat(String atom, List<String> repeated) {
        repeated.add(atom);
        if (++repeats > MAX_REPEATS) {
            throw new Refused("has more repeats than the limit of " + MAX_REPEATS);
        }
    }

    private Part atom(int depth) {
        char c = take();
        if (c == '(') {
            return group(depth);
        }
        if (c == '[') {
            characterClass(depth);
        } else if (c == '\\') {
            boolean place = more() && PLACES.indexOf(regex.charAt(at)) >= 0;
            escape();
            return place ? Part.place() : Part.character();
        } else if (c == '*' || c == '+' || c == '?') {
            throw new Refused("repeats nothing");
        }
        return c == '^' || c == '$' ? Part.place() : Part.character();
    }

    private Part group(int depth) {
        boolean looks = false;
        if (more() && regex.charAt(at) == '?') {
            looks = regex.startsWith("=", at + 1)
                    || regex.startsWith("!", at + 1)
                    || regex.startsWith("<=", at + 1)
                    || regex.startsWith("<!", at + 1);
            at++;
            head();
            if (regex.charAt(at - 1) == ')') {
                return Part.place();
            }
        }
        Part inner = choice(depth + 1);
        if (take() != ')') {
            throw new Refused("has a group without an end");
        }
        return looks ? new Part(inner.ways, true, true, inner.repeated, inner.failing) : inner;
    }

    /** What stands between the question mark of a group and its content: flags, a name, or what it looks at. */
    private void head() {
        char c = take();
        if (c == '#') {
            while (take() != ')') {
                // a comment
            }
        } else if (c == '<' && more() && regex.charAt(at) != '=' && regex.charAt(at) != '!') {
            while (take() != '>') {
                // a name
            }
        } else if (c == '<') {
            at++;
        } else if (c == 'P' || c == '(' || c == '&' || c == 'R' || c == '~') {
            throw new Refused("has a group of a kind that is not supported: (?" + c);
        } else if (c != ':' && c != '=' && c != '!' && c != '>') {
            while (c != ':' && c != ')') {
                if (!Character.isLetter(c) && c != '-') {
                    throw new Refused("has a group of a kind that is not supported: (?" + c);
                }
                c = take();
            }
        }
    }

    private void characterClass(int depth) {
        if (depth > MAX_DEPTH) {
            throw new Refused("nests groups beyond the limit of " + MAX_DEPTH);
        }
        if (more() && regex.charAt(at) == '^') {
            at++;
        }
        boolean first = true;
        for (char c = take(); c != ']' || first; c = take()) {
            if (c == '\\') {
                escape();
            } else if (c == '[') {
                characterClass(depth + 1);
            }
            first = false;
        }
    }

    private void escape() {
        char c = take();
        if ((c >= '1' && c <= '9') || c == 'k' || c == 'g') {
            throw new Refused("refers back to what a group matched, which may take time without end");
        }
        if (c == 'X' || c == 'R') {
            throw new Refused("has the escape \\" + c + ", which is not supported");
        }
        if ((c == 'p' || c == 'P' || c == 'x' || c == 'u') && more() && regex.charAt(at) == '{') {
            while (take() != '}') {
                // a name or number
            }
        }
    }

    /** How often the part before may stand; 1 without a quantifier. */
    private int quantifier() {
        int most = 1;
        while (more()) {
            char c = regex.charAt(at);
            int times;
            if (c == '*' || c == '+') {
                times = Integer.MAX_VALUE;
            } else if (c == '?') {
                times = 0;
            } else if (c == '{' && count() >= 0) {
                times = count();
                at = regex.indexOf('}', at);
            } else {
                break;
            }
            at++;
            // A second sign makes the first lazy or possessive, or repeats it.
            most = Math.max(most == 1 && times == 0 ? 0 : most, times);
        }
        return most == 0 ? 2 : most;
    }

    /** The highest count in braces that begin here; -1 if there is none, and they are characters. */
    private int count() {
        int end = regex.indexOf('}', at);
        String inside = end < 0 ? "" : regex.substring(at + 1, end);
        if (!inside.matches("\\d{1,9}(,\\d{0,9})?|,\\d{1,9}")) {
            return -1;
        }
        if (inside.endsWith(",")) {
            return Integer.MAX_VALUE;
        }
        int count = Integer.parseInt(inside.substring(inside.indexOf(',') + 1));
        if (count > MAX_COUNT) {
            throw new Refused("counts up to " + count + ", beyond the limit of " + MAX_COUNT);
        }
        return count;
    }

    /** Refuses repeats of which two take the same character: the text could be divided between them in many ways. */
    private void requireDifferent(List<String> repeated) {
        if (repeated.size() < 2) {
            return;
        }
        BitSet all = new BitSet();
        for (String atom : repeated) {
            BitSet taken = takers.computeIfAbsent(atom, SplitPattern::taken);
            if (all.intersects(taken)) {
                throw new Refused("has repeats that take the same character before something that may fail, which may"
                        + " take time without end");
            }
            all.or(taken);
        }
    }

    /** All characters up to here, then every seventh. */
    private static int next(int c) {
        return c + (c < 0x250 ? 1 : 7);
    }

    /** Those of the tried characters that an atom may begin with; all if that cannot be said. */
    private static BitSet taken(String atom) {
        BitSet taken = new BitSet();
        try {
            Matcher matcher = Pattern.compile(atom, Pattern.UNICODE_CHARACTER_CLASS | Pattern.DOTALL)
                    .matcher("");
            for (int c = 1; c < Character.MIN_SURROGATE; c = next(c)) {
                taken.set(c, matcher.reset(Character.toString(c)).lookingAt());
            }
        } catch (PatternSyntaxException e) {
            taken.set(0, Character.MIN_SURROGATE);
        }
        return taken;
    }
}
