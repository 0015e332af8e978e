package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.SettingsException;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;

/**
 * A regular expression over module paths, in the spelling of Python's {@code re} as PEFT's settings have it. Such
 * expressions come with adapters from anywhere, so matching is given up after a number of steps that no honest one needs.
 * Immutable.
 */
final class PathPattern {
    private static final int MAX_LENGTH = 10_000;
    private static final int MAX_STEPS = 20_000;
    /** The product of all counts in braces: repeating nothing takes no step that is counted. */
    private static final long MAX_REPEATS = 10_000;

    private final String regex;
    private final Pattern pattern;

    private PathPattern(String regex, Pattern pattern) {
        this.regex = regex;
        this.pattern = pattern;
    }

    /** @throws SettingsException when it is no regular expression, or beyond the limits */
    static PathPattern of(String regex) {
        String problem = problem(regex);
        if (problem != null) {
            throw new SettingsException(List.of("the pattern \"" + shown(regex) + "\" " + problem));
        }
        return new PathPattern(regex, Pattern.compile(inJava(regex)));
    }

    /** What is wrong with an expression, after its name; null if nothing is. */
    static @Nullable String problem(String regex) {
        if (regex.length() > MAX_LENGTH) {
            return "has " + regex.length() + " characters, more than the limit of " + MAX_LENGTH;
        }
        if (repeats(regex) > MAX_REPEATS) {
            return "repeats a part more often than the limit of " + MAX_REPEATS;
        }
        try {
            Pattern.compile(inJava(regex));
            return null;
        } catch (PatternSyntaxException e) {
            return "is no regular expression: " + e.getDescription();
        } catch (StackOverflowError e) {
            return "is nested too deep for a regular expression";
        }
    }

    /** Whether a whole path matches. */
    boolean matches(String path) {
        return matched(path, true) != null;
    }

    /** What a named group matches when the beginning of a path does; null when it does not. */
    @Nullable
    String group(String path, String name) {
        Matcher matcher = matched(path, false);
        return matcher == null ? null : matcher.group(name);
    }

    private @Nullable Matcher matched(String path, boolean whole) {
        Matcher matcher = pattern.matcher(new CountedText(path));
        try {
            return (whole ? matcher.matches() : matcher.lookingAt()) ? matcher : null;
        } catch (TooManySteps | StackOverflowError e) {
            throw new SettingsException(List.of("the pattern \"" + shown(regex) + "\" takes more than the limit of "
                    + MAX_STEPS + " steps to compare with the module path " + path
                    + "; write it without repeats inside of repeats"));
        }
    }

    private static String shown(String regex) {
        return regex.length() > 200 ? regex.substring(0, 200) + "…" : regex;
    }

    private static long repeats(String regex) {
        long product = 1;
        for (int at = regex.indexOf('{'); at >= 0 && product <= MAX_REPEATS; at = regex.indexOf('{', at + 1)) {
            long count = 0;
            for (int i = at + 1; i < regex.length() && count <= MAX_REPEATS; i++) {
                char c = regex.charAt(i);
                if (c == ',') {
                    product *= Math.max(1, count);
                    count = 0;
                } else if (c >= '0' && c <= '9') {
                    count = 10 * count + c - '0';
                } else {
                    break;
                }
            }
            product *= Math.max(1, count);
        }
        return product;
    }

    /** Where Python's spelling means something else to Java, or nothing. */
    private static String inJava(String regex) {
        StringBuilder java = new StringBuilder();
        boolean inClass = false;
        int at = 0;
        while (at < regex.length()) {
            char c = regex.charAt(at);
            int end = at + 1;
            if (c == '\\' && end < regex.length()) {
                boolean isEnd = !inClass && regex.charAt(end) == 'Z';
                java.append(isEnd ? "\\z" : regex.substring(at, end + 1));
                end++;
            } else if (inClass) {
                // A bracket or two ampersands in a class of Python stand for themselves.
                java.append(c == '[' || c == '&' ? "\\" : "").append(c);
                inClass = c != ']';
            } else if (c == '[') {
                java.append(c);
                inClass = true;
                if (regex.startsWith("^", end)) {
                    java.append(regex.charAt(end++));
                }
                if (regex.startsWith("]", end)) {
                    java.append("\\]");
                    end++;
                }
            } else if (regex.startsWith("(?P<", at)) {
                java.append("(?<");
                end = at + 4;
            } else if (regex.startsWith("(?P=", at) && regex.indexOf(')', at) > 0) {
                end = regex.indexOf(')', at) + 1;
                java.append("\\k<").append(regex, at + 4, end - 1).append('>');
            } else if (regex.startsWith("(?#", at) && regex.indexOf(')', at) > 0) {
                end = regex.indexOf(')', at) + 1;
            } else if (regex.startsWith("{,", at)) {
                java.append("{0,");
                end = at + 2;
            } else {
                java.append(c);
            }
            at = end;
        }
        return java.toString();
    }

    private static final class TooManySteps extends RuntimeException {
        private static final long serialVersionUID = 1L;

        TooManySteps() {
            super(null, null, false, false);
        }
    }

    /** A text that counts how often it is looked at. */
    private static final class CountedText implements CharSequence {
        private final String text;
        private int steps;

        CountedText(String text) {
            this.text = text;
        }

        @Override
        public char charAt(int index) {
            if (++steps > MAX_STEPS) {
                throw new TooManySteps();
            }
            return text.charAt(index);
        }

        @Override
        public int length() {
            return text.length();
        }

        @Override
        public CharSequence subSequence(int start, int end) {
            return text.subSequence(start, end);
        }

        @Override
        public String toString() {
            return text;
        }
    }
}
