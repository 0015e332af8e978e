package dev.finetune4j.core.text.jinja.python;

import java.util.AbstractList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Whole numbers at equal distances, as {@code range} makes them. */
public record Range(long start, long stop, long step) {
    /** As many numbers as Jinja's sandbox lets a range have. */
    private static final int MAX_LENGTH = 100_000;

    public Range {
        if (step == 0) {
            throw new TemplateError("the step of a range must not be zero");
        }
        if (exactLength(start, stop, step) > MAX_LENGTH) {
            throw new TemplateError("a range must not have more than " + MAX_LENGTH + " numbers");
        }
    }

    private static double exactLength(long start, long stop, long step) {
        return ((double) stop - (double) start) / step;
    }

    public int length() {
        if (step > 0 ? start >= stop : start <= stop) {
            return 0;
        }
        return (int) ((stop - start + step - Long.signum(step)) / step);
    }

    public List<@Nullable Object> items() {
        int length = length();
        return new AbstractList<>() {
            @Override
            public Object get(int index) {
                return start + index * step;
            }

            @Override
            public int size() {
                return length;
            }
        };
    }

    @Override
    public String toString() {
        return "range(" + start + ", " + stop + (step == 1 ? "" : ", " + step) + ")";
    }
}
