package dev.finetune4j.core.text.jinja.python;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The operators of the language on any two values. */
public final class Operators {
    private Operators() {}

    public static @Nullable Object binary(String operator, @Nullable Object left, @Nullable Object right) {
        if (operator.equals("%") && left instanceof String format) {
            return PercentFormat.format(format, right);
        }
        if (left != null && right != null) {
            if (Numbers.isNumber(left) && Numbers.isNumber(right)) {
                return arithmetic(operator, left, right);
            }
            if (operator.equals("+")) {
                Object sum = joined(left, right);
                if (sum != null) {
                    return sum;
                }
            }
            if (operator.equals("*")) {
                Object product = Numbers.isWhole(right) ? repeated(left, right) : repeated(right, left);
                if (product != null) {
                    return product;
                }
            }
        }
        throw unsupported(operator, left, right);
    }

    private static TemplateError unsupported(String operator, @Nullable Object left, @Nullable Object right) {
        if (left instanceof SafeText || right instanceof SafeText) {
            return new TemplateError("text that went through 'safe' or 'escape' can only be written or joined by '~'");
        }
        return Values.undefinedOr(
                left,
                right,
                () -> "unsupported operand type(s) for " + operator + ": '" + Values.typeName(left) + "' and '"
                        + Values.typeName(right) + "'");
    }

    private static Object arithmetic(String operator, Object left, Object right) {
        return switch (operator) {
            case "+" -> Numbers.add(left, right);
            case "-" -> Numbers.subtract(left, right);
            case "*" -> Numbers.multiply(left, right);
            case "/" -> Numbers.divide(left, right);
            case "//" -> Numbers.floorDivide(left, right);
            case "%" -> Numbers.remainder(left, right);
            case "**" -> Numbers.power(left, right);
            default -> throw new AssertionError(operator);
        };
    }

    private static @Nullable Object joined(Object left, Object right) {
        if (left instanceof String a && right instanceof String b) {
            Budget.checkLength((long) a.length() + b.length());
            return a + b;
        }
        boolean sameKind =
                (left instanceof List && right instanceof List) || (left instanceof Tuple && right instanceof Tuple);
        List<@Nullable Object> first = Values.items(left);
        List<@Nullable Object> second = Values.items(right);
        if (!sameKind || first == null || second == null) {
            return null;
        }
        Budget.checkLength((long) first.size() + second.size());
        Budget.charge((long) first.size() + second.size());
        List<@Nullable Object> sum = new ArrayList<>(first);
        sum.addAll(second);
        return left instanceof Tuple ? new Tuple(sum) : sum;
    }

    private static @Nullable Object repeated(Object value, Object count) {
        if (!Numbers.isWhole(count) || !(value instanceof String || value instanceof List || value instanceof Tuple)) {
            return null;
        }
        int times = Math.max(0, Values.index(count));
        if (value instanceof String text) {
            Budget.checkLength((long) text.length() * times);
            return text.repeat(times);
        }
        List<@Nullable Object> items = Values.items(value);
        if (items == null) {
            return null;
        }
        Budget.checkLength((long) items.size() * times);
        Budget.charge((long) items.size() * times);
        Budget.checkRoomForItems((long) items.size() * times);
        List<@Nullable Object> product = new ArrayList<>(items.size() * times);
        for (int i = 0; i < times && !items.isEmpty(); i++) {
            product.addAll(items);
        }
        return value instanceof Tuple ? new Tuple(product) : product;
    }

    public static Object signed(boolean negative, @Nullable Object operand) {
        if (operand == null || !Numbers.isNumber(operand)) {
            throw Values.undefinedOr(
                    operand,
                    null,
                    () -> "bad operand type for unary " + (negative ? "-" : "+") + ": '" + Values.typeName(operand)
                            + "'");
        }
        return negative
                ? Numbers.negate(operand)
                : operand instanceof Double ? operand : Numbers.narrow(Numbers.big(operand));
    }

    public static boolean compare(String operator, @Nullable Object left, @Nullable Object right) {
        return switch (operator) {
            case "==" -> Comparisons.equal(left, right);
            case "!=" -> !Comparisons.equal(left, right);
            case "<" -> Comparisons.less(left, right, operator);
            case ">" -> Comparisons.less(right, left, operator);
            case "<=" -> !unordered(left, right) && !Comparisons.less(right, left, operator);
            case ">=" -> !unordered(left, right) && !Comparisons.less(left, right, operator);
            case "in" -> Comparisons.contains(right, left);
            case "not in" -> !Comparisons.contains(right, left);
            default -> throw new AssertionError(operator);
        };
    }

    private static boolean unordered(@Nullable Object left, @Nullable Object right) {
        return left != null && right != null && (Numbers.isNan(left) || Numbers.isNan(right));
    }
}
