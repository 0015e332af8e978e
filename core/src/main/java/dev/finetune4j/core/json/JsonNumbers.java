package dev.finetune4j.core.json;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.math.BigInteger;
import org.jspecify.annotations.Nullable;

/** The numbers of JSON: whole ones exactly, the others as the nearest double, as Python reads them. */
final class JsonNumbers {
    private static final int DIGITS_OF_INT = 9;
    private static final int DIGITS_OF_LONG = 18;

    private JsonNumbers() {}

    /** Null for a text that is no number of JSON. */
    static @Nullable JsonNode of(String literal, JsonNodeFactory nodes) {
        int start = literal.startsWith("-") ? 1 : 0;
        int whole = digits(literal, start);
        if (whole == start || (whole > start + 1 && literal.charAt(start) == '0')) {
            return null;
        }
        int end = whole;
        if (end < literal.length() && literal.charAt(end) == '.') {
            int from = end + 1;
            end = digits(literal, from);
            if (end == from) {
                return null;
            }
        }
        if (end < literal.length() && (literal.charAt(end) == 'e' || literal.charAt(end) == 'E')) {
            int from = end + 1;
            from += from < literal.length() && "+-".indexOf(literal.charAt(from)) >= 0 ? 1 : 0;
            end = digits(literal, from);
            if (end == from) {
                return null;
            }
        }
        if (end != literal.length()) {
            return null;
        }
        if (end > whole) {
            return nodes.numberNode(Double.parseDouble(literal));
        }
        int length = whole - start;
        if (length <= DIGITS_OF_INT) {
            return nodes.numberNode(Integer.parseInt(literal));
        }
        if (length <= DIGITS_OF_LONG) {
            long number = Long.parseLong(literal);
            return number == (int) number ? nodes.numberNode((int) number) : nodes.numberNode(number);
        }
        BigInteger number = new BigInteger(literal);
        return number.bitLength() < Long.SIZE ? nodes.numberNode(number.longValue()) : nodes.numberNode(number);
    }

    private static int digits(String literal, int from) {
        int at = from;
        while (at < literal.length() && literal.charAt(at) >= '0' && literal.charAt(at) <= '9') {
            at++;
        }
        return at;
    }
}
