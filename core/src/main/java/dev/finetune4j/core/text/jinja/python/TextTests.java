package dev.finetune4j.core.text.jinja.python;

import java.util.Map;
import java.util.function.IntPredicate;
import java.util.function.Predicate;

/** The methods of text that ask what it is made of, such as {@code isdigit}. */
public final class TextTests {
    /** By name. */
    public static final Map<String, Predicate<String>> TABLE = Map.ofEntries(
            Map.entry("isalpha", all(Character::isLetter)),
            Map.entry("isalnum", all(c -> Character.isLetter(c) || isNumeric(c))),
            Map.entry("isdecimal", all(Character::isDigit)),
            Map.entry("isdigit", all(TextTests::isDigit)),
            Map.entry("isnumeric", all(TextTests::isNumeric)),
            Map.entry("isspace", all(PythonText::isWhite)),
            Map.entry("isascii", text -> text.chars().allMatch(c -> c < 128)),
            Map.entry("isprintable", text -> text.codePoints().allMatch(PythonText::isPrintable)),
            Map.entry("isidentifier", text -> !text.isEmpty() && PythonText.isIdentifier(text)),
            Map.entry("islower", text -> isCase(text, false)),
            Map.entry("isupper", text -> isCase(text, true)),
            Map.entry("istitle", TextTests::isTitle));

    private TextTests() {}

    private static Predicate<String> all(IntPredicate test) {
        return text -> !text.isEmpty() && text.codePoints().allMatch(test);
    }

    // Letters never get that far, so their values as base-36 digits do not matter.
    @SuppressWarnings("CharacterGetNumericValue")
    private static boolean isDigit(int c) {
        int value = Character.getNumericValue(c);
        return Character.isDigit(c) || (Character.getType(c) == Character.OTHER_NUMBER && value >= 0 && value < 10);
    }

    private static boolean isNumeric(int c) {
        int type = Character.getType(c);
        return type == Character.DECIMAL_DIGIT_NUMBER
                || type == Character.LETTER_NUMBER
                || type == Character.OTHER_NUMBER
                || "\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341\u767e\u5343\u4e07\u842c\u4ebf\u5104\u5146\u96f6"
                                .indexOf(c)
                        >= 0;
    }

    /** Whether the text has letters with a case and all of them have this one. */
    public static boolean isCase(String text, boolean upper) {
        boolean cased = false;
        for (int c : text.codePoints().toArray()) {
            boolean isUpper = Character.isUpperCase(c);
            boolean isLower = Character.isLowerCase(c);
            if (Character.isTitleCase(c) || (upper ? isLower : isUpper)) {
                return false;
            }
            cased |= upper ? isUpper : isLower;
        }
        return cased;
    }

    private static boolean isTitle(String text) {
        boolean found = false;
        boolean inWord = false;
        for (int c : text.codePoints().toArray()) {
            boolean capital = Character.isUpperCase(c) || Character.isTitleCase(c);
            boolean small = Character.isLowerCase(c);
            if ((capital && inWord) || (small && !inWord)) {
                return false;
            }
            inWord = capital || small;
            found |= inWord;
        }
        return found;
    }
}
