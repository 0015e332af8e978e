package dev.finetune4j.core.text.jinja.python;

import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/** Pieces {@code [start:stop:step]} of texts, lists, tuples and ranges, with places as Python counts them. */
public final class Slices {
    private Slices() {}

    public static Object of(
            @Nullable Object value, @Nullable Object start, @Nullable Object stop, @Nullable Object step) {
        if (value instanceof String text) {
            int length = PythonText.length(text);
            int[] places = places(length, start, stop, step);
            if (places[2] == 1) {
                return PythonText.piece(text, places[0], Math.max(places[0], places[1]));
            }
            int[] characters = text.codePoints().toArray();
            StringBuilder piece = new StringBuilder();
            each(places, i -> piece.appendCodePoint(characters[i]));
            return piece.toString();
        }
        if (value instanceof Range range) {
            int[] places = places(range.length(), start, stop, step);
            return new Range(
                    range.start() + places[0] * range.step(),
                    range.start() + places[1] * range.step(),
                    places[2] * range.step());
        }
        List<@Nullable Object> items = value instanceof DictView ? null : Values.items(value);
        if (items == null) {
            throw Values.undefinedOr(
                    value, null, () -> "no piece can be taken of a value of type '" + Values.typeName(value) + "'");
        }
        int[] places = places(items.size(), start, stop, step);
        List<@Nullable Object> piece = new ArrayList<>();
        each(places, i -> piece.add(items.get(i)));
        return value instanceof Tuple ? new Tuple(piece) : piece;
    }

    private static void each(int[] places, IntConsumer action) {
        if (places[2] > 0) {
            for (long i = places[0]; i < places[1]; i += places[2]) {
                action.accept((int) i);
            }
        } else {
            for (long i = places[0]; i > places[1]; i += places[2]) {
                action.accept((int) i);
            }
        }
    }

    /** First place, the place at which it ends, and the step. */
    private static int[] places(int length, @Nullable Object start, @Nullable Object stop, @Nullable Object step) {
        int distance = step == null ? 1 : clamped(step);
        if (distance == 0) {
            throw new TemplateError("the step of a slice must not be zero");
        }
        int lowest = distance < 0 ? -1 : 0;
        int highest = distance < 0 ? length - 1 : length;
        int first = start == null ? (distance < 0 ? highest : lowest) : place(start, length, lowest, highest);
        int end = stop == null ? (distance < 0 ? lowest : highest) : place(stop, length, lowest, highest);
        return new int[] {first, end, distance};
    }

    private static int place(Object bound, int length, int lowest, int highest) {
        long place = clamped(bound);
        if (place < 0) {
            place += length;
        }
        return (int) Math.max(lowest, Math.min(highest, place));
    }

    private static int clamped(Object bound) {
        if (!Numbers.isWhole(bound)) {
            throw new TemplateError(
                    "the bounds of a slice must be whole numbers or none, found '" + Values.typeName(bound) + "'");
        }
        boolean negative = Numbers.big(bound).signum() < 0;
        int largest = negative ? -Integer.MAX_VALUE : Integer.MAX_VALUE;
        return Numbers.big(bound).bitLength() > 30
                ? largest
                : Numbers.big(bound).intValueExact();
    }
}
