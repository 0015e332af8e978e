package dev.finetune4j.core.grammar;

import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** Reads what stands for one character in a regular expression: itself, an escape, a class. */
final class RegexCharacters {
    /** What engines agree to be white space, and what some of them take for it. */
    private static final CodePoints SPACE = CodePoints.of(" \t\n\u000b\f\r");

    private static final CodePoints ANY_SPACE = CodePoints.where(point ->
                    Character.isWhitespace(point) || Character.isSpaceChar(point) || point == 0xfeff || point == 0x85)
            .or(SPACE);
    private static final CodePoints DIGIT = CodePoints.range('0', '9');
    private static final CodePoints WORD =
            DIGIT.or(CodePoints.range('a', 'z')).or(CodePoints.range('A', 'Z')).or(CodePoints.of("_"));
    private static final CodePoints LINE_ENDS = CodePoints.of("\n\r\u0085\u2028\u2029");
    private static final Pattern CODE = Pattern.compile("x(\\p{XDigit}{2})|u(\\p{XDigit}{4})|u\\{(\\p{XDigit}{1,6})}");
    private static final Pattern PROPERTY = Pattern.compile("([pP])\\{([^}]*)}");
    private static final Pattern SCRIPT = Pattern.compile("(?:Script|sc)=(\\w+)");
    private static final Pattern CATEGORY = Pattern.compile("(?:(?:General_Category|gc)=)?([LMNPSZC][a-z]?)");
    private static final String CONTROLS = "tnrfv0";
    private static final List<String> CONTROL_VALUES = List.of("\t", "\n", "\r", "\f", "\u000b", "\0");

    private final String text;
    private int at;

    /** @param at where it begins in the expression */
    RegexCharacters(String text, int at) {
        this.text = text;
        this.at = at;
    }

    /** Behind what was read. */
    int position() {
        return at;
    }

    CodePoints read() throws Regex.Unsupported {
        int first = next();
        return switch (first) {
            case '.' -> LINE_ENDS.complement();
            case '[' -> set();
            case '\\' -> escape(false);
            default -> single(first);
        };
    }

    private static CodePoints single(int point) {
        return CodePoints.range(point, point);
    }

    private int next() throws Regex.Unsupported {
        if (at >= text.length()) {
            throw new Regex.Unsupported("an end where something is open");
        }
        int point = text.codePointAt(at);
        at += Character.charCount(point);
        return point;
    }

    private CodePoints set() throws Regex.Unsupported {
        boolean negated = text.startsWith("^", at);
        at += negated ? 1 : 0;
        CodePoints all = CodePoints.NONE;
        while (true) {
            int from = at;
            int point = next();
            if (point == ']') {
                return negated ? all.complement() : all;
            }
            CodePoints one = point == '\\' ? escape(negated) : single(point);
            if (text.startsWith("-", at) && !text.startsWith("-]", at)) {
                at++;
                int last = next();
                CodePoints end = last == '\\' ? escape(negated) : single(last);
                int low = one.only();
                int high = end.only();
                if (low < 0 || high < low) {
                    throw new Regex.Unsupported("a range " + text.substring(from, at) + " that is none");
                }
                one = CodePoints.range(low, high);
            }
            all = all.or(one);
        }
    }

    /** @param negated whether the characters are to be kept out, so that those on which engines do not agree belong to them */
    private CodePoints escape(boolean negated) throws Regex.Unsupported {
        Matcher code = CODE.matcher(text).region(at, text.length());
        if (code.lookingAt()) {
            at = code.end();
            for (int group = 1; group <= 3; group++) {
                if (code.group(group) != null) {
                    return code(Integer.parseInt(code.group(group), 16));
                }
            }
        }
        Matcher property = PROPERTY.matcher(text).region(at, text.length());
        if (property.lookingAt()) {
            at = property.end();
            CodePoints members = property(property.group(2));
            return property.group(1).equals("P") ? members.complement() : members;
        }
        int letter = next();
        int control = CONTROLS.indexOf(letter);
        if (control >= 0) {
            return CodePoints.of(CONTROL_VALUES.get(control));
        }
        return switch (letter) {
            case 'd' -> DIGIT;
            case 'D' -> DIGIT.complement();
            case 'w' -> WORD;
            case 'W' -> WORD.complement();
            case 's' -> negated ? ANY_SPACE : SPACE;
            case 'S' -> (negated ? SPACE : ANY_SPACE).complement();
            default -> {
                if (Character.isLetterOrDigit(letter)) {
                    throw new Regex.Unsupported("\\" + Character.toString(letter));
                }
                yield single(letter);
            }
        };
    }

    /** The first half of a surrogate pair goes on with the second. */
    private CodePoints code(int unit) throws Regex.Unsupported {
        Matcher second = CODE.matcher(text).region(Math.min(at + 1, text.length()), text.length());
        if (unit <= Character.MAX_VALUE
                && Character.isHighSurrogate((char) unit)
                && text.startsWith("\\", at)
                && second.lookingAt()
                && second.group(2) != null) {
            int low = Integer.parseInt(second.group(2), 16);
            if (Character.isLowSurrogate((char) low)) {
                at = second.end();
                return single(Character.toCodePoint((char) unit, (char) low));
            }
        }
        if (!Character.isValidCodePoint(unit) || (unit <= Character.MAX_VALUE && Character.isSurrogate((char) unit))) {
            throw new Regex.Unsupported(String.format(Locale.ROOT, "U+%04X, which is no character", unit));
        }
        return single(unit);
    }

    private static CodePoints property(String name) throws Regex.Unsupported {
        Matcher script = SCRIPT.matcher(name);
        Matcher category = CATEGORY.matcher(name);
        try {
            if (script.matches()) {
                Character.UnicodeScript wanted = Character.UnicodeScript.forName(script.group(1));
                return CodePoints.where(point -> Character.UnicodeScript.of(point) == wanted);
            }
            if (category.matches()) {
                Pattern pattern = Pattern.compile("\\p{" + category.group(1) + "}");
                return CodePoints.where(
                        point -> pattern.matcher(Character.toString(point)).matches());
            }
        } catch (PatternSyntaxException e) {
            throw new Regex.Unsupported("the property " + name);
        } catch (IllegalArgumentException e) {
            throw new Regex.Unsupported("the script " + script.group(1));
        }
        throw new Regex.Unsupported("the property " + name);
    }
}
