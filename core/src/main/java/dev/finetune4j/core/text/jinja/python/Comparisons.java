package dev.finetune4j.core.text.jinja.python;

import java.util.Iterator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Equality, order and membership of values, as Python has them. */
public final class Comparisons {
    private Comparisons() {}

    /** As {@code left == right}. */
    public static boolean equal(@Nullable Object left, @Nullable Object right) {
        return equal(left, right, 0);
    }

    private static boolean equal(@Nullable Object left, @Nullable Object right, int depth) {
        Values.checkDepth(depth);
        Budget.charge(1);
        if (left == null || right == null) {
            return left == null && right == null;
        }
        if (Numbers.isNumber(left) && Numbers.isNumber(right)) {
            return !Numbers.isNan(left) && !Numbers.isNan(right) && Numbers.compare(left, right) == 0;
        }
        if (Values.isText(left) && Values.isText(right)) {
            String a = Values.text(left);
            return a.equals(Values.text(right));
        }
        if (left instanceof Undefined && right instanceof Undefined) {
            return true;
        }
        if (left instanceof Dict a && right instanceof Dict b) {
            return equalDicts(a, b, depth);
        }
        if (left instanceof List<?> a && right instanceof List<?> b) {
            return equalLists(Values.asList(a), Values.asList(b), depth);
        }
        if (left instanceof Tuple a && right instanceof Tuple b) {
            return equalLists(a.items(), b.items(), depth);
        }
        if (left instanceof Range a && right instanceof Range b) {
            return equalLists(a.items(), b.items(), depth);
        }
        if (left instanceof DictView a
                && right instanceof DictView b
                && !a.kind().equals("values")) {
            return a.items().size() == b.items().size() && a.items().stream().allMatch(item -> contains(b, item));
        }
        return left == right;
    }

    private static boolean equalLists(List<@Nullable Object> left, List<@Nullable Object> right, int depth) {
        if (left.size() != right.size()) {
            return false;
        }
        for (int i = 0; i < left.size(); i++) {
            if (!equalOrSame(left.get(i), right.get(i), depth + 1)) {
                return false;
            }
        }
        return true;
    }

    private static boolean equalDicts(Dict left, Dict right, int depth) {
        if (left.size() != right.size()) {
            return false;
        }
        for (Object key : left.keys()) {
            if (!right.has(key) || !equalOrSame(left.get(key, null), right.get(key, null), depth + 1)) {
                return false;
            }
        }
        return true;
    }

    /** What equality means inside of collections, where NaN is found again. */
    private static boolean equalOrSame(@Nullable Object left, @Nullable Object right, int depth) {
        return left == right || equal(left, right, depth);
    }

    /** Whether one value comes before the other; fails for those without an order. */
    public static boolean less(@Nullable Object left, @Nullable Object right, String operator) {
        Budget.charge(1);
        if (left != null && right != null) {
            if (Numbers.isNumber(left) && Numbers.isNumber(right)) {
                return !Numbers.isNan(left) && !Numbers.isNan(right) && Numbers.compare(left, right) < 0;
            }
            if (Values.isText(left) && Values.isText(right)) {
                return compareTexts(Values.text(left), Values.text(right)) < 0;
            }
            if (left instanceof List<?> a && right instanceof List<?> b) {
                return lessLists(Values.asList(a), Values.asList(b), operator);
            }
            if (left instanceof Tuple a && right instanceof Tuple b) {
                return lessLists(a.items(), b.items(), operator);
            }
        }
        throw Values.undefinedOr(
                left,
                right,
                () -> "'" + operator + "' not supported between instances of '" + Values.typeName(left) + "' and '"
                        + Values.typeName(right) + "'");
    }

    private static boolean lessLists(List<@Nullable Object> left, List<@Nullable Object> right, String operator) {
        for (int i = 0; i < Math.min(left.size(), right.size()); i++) {
            if (!equalOrSame(left.get(i), right.get(i), 0)) {
                return less(left.get(i), right.get(i), operator);
            }
        }
        return left.size() < right.size();
    }

    private static int compareTexts(String left, String right) {
        int at = 0;
        int end = Math.min(left.length(), right.length());
        while (at < end && left.charAt(at) == right.charAt(at)) {
            at++;
        }
        if (at == end) {
            return Integer.compare(left.length(), right.length());
        }
        boolean inPair = at > 0 && Character.isHighSurrogate(left.charAt(at - 1));
        int start = inPair ? at - 1 : at;
        return Integer.compare(left.codePointAt(start), right.codePointAt(start));
    }

    /** As {@code item in container}. */
    public static boolean contains(@Nullable Object container, @Nullable Object item) {
        if (Values.isText(container)) {
            if (!Values.isText(item)) {
                throw Values.undefinedOr(
                        null,
                        null,
                        () -> "'in <string>' requires string as left operand, not " + Values.typeName(item));
            }
            return TextSearch.first(Values.text(container), Values.text(item), 0) >= 0;
        }
        if (container instanceof Dict dict) {
            return dict.has(item);
        }
        Iterator<@Nullable Object> items;
        try {
            items = Values.iterator(container);
        } catch (TemplateError e) {
            throw new TemplateError("argument of type '" + Values.typeName(container) + "' is not iterable");
        }
        while (items.hasNext()) {
            if (equalOrSame(items.next(), item, 0)) {
                return true;
            }
        }
        return false;
    }
}
