package dev.finetune4j.core.io;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

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

    /**
     * Many names that begin otherwise than expected are one mistake: takes them out of both and says it in one line.
     *
     * @param missing shapes of the tensors that the file lacks, by name
     * @param unread the names in the file that nothing reads
     * @param remedy what to do, after a semicolon
     */
    public void otherBeginning(Map<String, long[]> missing, Set<String> unread, String remedy) {
        if (missing.isEmpty()) {
            return;
        }
        String expected = missing.keySet().iterator().next();
        for (int at = 0; at >= 0; at = expected.indexOf('.', at) < 0 ? -1 : expected.indexOf('.', at) + 1) {
            String tail = expected.substring(at);
            for (String found : List.copyOf(unread)) {
                if (found.equals(tail) || found.endsWith("." + tail)) {
                    String other = found.substring(0, found.length() - tail.length());
                    Map<String, String> explained =
                            withOtherBeginning(missing.keySet(), expected.substring(0, at), unread, other);
                    if (explained.size() > 1 && 2 * explained.size() > missing.size()) {
                        others.add(explained.size() + " tensor names begin with \"" + other + "\", such as "
                                + explained.get(expected) + " in the place of " + expected + "; " + remedy);
                        missing.keySet().removeAll(explained.keySet());
                        explained.values().forEach(unread::remove);
                        // A head stands beside the model, so its name begins in another way again.
                        missing.keySet().removeIf(name -> unread.removeIf(left -> left.endsWith("." + name)));
                        return;
                    }
                }
            }
        }
    }

    private static Map<String, String> withOtherBeginning(
            Set<String> missing, String beginning, Set<String> unread, String other) {
        Map<String, String> explained = new LinkedHashMap<>();
        for (String name : missing) {
            if (name.startsWith(beginning) && unread.contains(other + name.substring(beginning.length()))) {
                explained.put(name, other + name.substring(beginning.length()));
            }
        }
        return explained;
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
