package dev.finetune4j.core.io;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * Differences between the tensors of a file and those that a model needs, as lines of a message. Few are named each; many of
 * a kind have one cause, and become one line with their number and the first of them.
 */
public final class TensorProblems {
    /** Of this many of a kind each has its line. */
    private static final int NAMED = 10;

    private static final int EXAMPLES = 3;

    /** What may be wrong with a tensor; the text follows the number of tensors. */
    private enum Kind {
        MISSING("tensors are missing"),
        MISSHAPEN("tensors have another shape than expected"),
        MISTYPED("tensors are of a type that cannot be used"),
        UNWANTED("tensors have no place in the model");

        private final String text;

        Kind(String text) {
            this.text = text;
        }
    }

    private final Map<Kind, List<String>> lines = new EnumMap<>(Kind.class);
    private final List<String> others = new ArrayList<>();

    /** A tensor that the file lacks. */
    public void missing(String name, long[] shape) {
        add(Kind.MISSING, "tensor " + name + " " + Arrays.toString(shape) + " is missing");
    }

    /** A tensor of the wrong shape. */
    public void misshapen(TensorInfo found, String name, long[] expected) {
        add(
                Kind.MISSHAPEN,
                "tensor " + name + " has the shape " + Arrays.toString(found.shape()) + ", expected "
                        + Arrays.toString(expected));
    }

    /** A tensor whose numbers are of the wrong kind. */
    public void mistyped(String name, String what) {
        add(Kind.MISTYPED, "tensor " + name + " " + what);
    }

    /** A tensor that nothing reads. */
    public void unwanted(String name, String what) {
        add(Kind.UNWANTED, "tensor " + name + " " + what);
    }

    /** Anything else. */
    public void other(String line) {
        others.add(line);
    }

    private void add(Kind kind, String line) {
        lines.computeIfAbsent(kind, none -> new ArrayList<>()).add(line);
    }

    /** One line for each difference, or for all of a kind. */
    public List<String> lines() {
        List<String> all = new ArrayList<>(others);
        lines.forEach((kind, several) -> {
            if (several.size() <= NAMED) {
                all.addAll(several);
            } else {
                all.add(several.size() + " " + kind.text + ", the first of them: "
                        + String.join("; ", several.subList(0, EXAMPLES)));
            }
        });
        return all;
    }
}
