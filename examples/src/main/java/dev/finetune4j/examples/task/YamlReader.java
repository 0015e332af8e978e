package dev.finetune4j.examples.task;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.common.ScalarStyle;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;

/**
 * Reads YAML, and with it JSON, with the line of each key. Scalars stay texts, because their types follow from the keys: what a plain
 * {@code 1e-4} or {@code on} is differs between versions of YAML. Stateless.
 */
final class YamlReader {
    private static final int DEEPEST = 16;
    private static final List<String> NULLS = List.of("", "~", "null", "Null", "NULL");

    private YamlReader() {}

    /** What is no YAML, or no map of keys; the message says where and why. */
    static final class MalformedException extends Exception {
        private static final long serialVersionUID = 1L;

        MalformedException(String message, @Nullable Throwable cause) {
            super(message, cause);
        }
    }

    /**
     * The keys of a document in order.
     *
     * @param twice takes keys that are there a second time, with the place of the first
     */
    static Map<String, TaskValue> map(String text, Remarks twice) throws MalformedException {
        Node root = compose(text);
        if (!(root instanceof MappingNode mapping)) {
            String found = root == null ? "holds nothing" : "is no map of keys";
            throw new MalformedException(
                    found + "; expected lines such as \"model_name_or_path: ./Yi-1.5-6B-Chat\"", null);
        }
        Map<String, TaskValue> values = new LinkedHashMap<>();
        for (NodeTuple tuple : mapping.getValue()) {
            String place = line(tuple.getKeyNode());
            if (!(tuple.getKeyNode() instanceof ScalarNode key)) {
                throw new MalformedException(place + ": a key is no word", null);
            }
            TaskValue earlier =
                    values.put(key.getValue(), new TaskValue(content(tuple.getValueNode(), DEEPEST), place));
            if (earlier != null) {
                twice.add(key.getValue(), earlier.place(), "stands there twice; take one out");
                twice.add(key.getValue(), place, "stands there twice; take one out");
            }
        }
        return values;
    }

    /** A value alone, as it is written in an argument. */
    static @Nullable Object value(String text) throws MalformedException {
        Node root = compose(text);
        return root == null ? null : content(root, DEEPEST);
    }

    private static @Nullable Node compose(String text) throws MalformedException {
        try {
            return new Compose(LoadSettings.builder().setLabel("text").build())
                    .composeString(text)
                    .orElse(null);
        } catch (MarkedYamlEngineException e) {
            String place = e.getProblemMark()
                    .map(mark -> TaskValue.LINE + (mark.getLine() + 1) + ", column " + (mark.getColumn() + 1) + ": ")
                    .orElse("");
            throw new MalformedException(place + "is no YAML or JSON: " + hint(e.getProblem()), e);
        } catch (YamlEngineException e) {
            throw new MalformedException("is no YAML or JSON: " + e.getMessage(), e);
        }
    }

    private static String hint(String problem) {
        if (problem.startsWith("mapping values are not allowed")) {
            return "there is a second \": \" in the line, or a line is indented that should not be; put texts with a"
                    + " colon into quotes";
        }
        if (problem.startsWith("could not find expected ':'")) {
            return "this line or the one before has a key without \": \" behind it; put a space after the colon";
        }
        return problem + "; mend the line";
    }

    private static String line(Node node) {
        return node.getStartMark()
                .map(mark -> TaskValue.LINE + (mark.getLine() + 1))
                .orElse("");
    }

    private static @Nullable Object content(Node node, int depth) throws MalformedException {
        if (depth == 0) {
            throw new MalformedException(line(node) + ": values are nested more than " + DEEPEST + " deep", null);
        }
        if (node instanceof ScalarNode scalar) {
            boolean none = scalar.getScalarStyle() == ScalarStyle.PLAIN && NULLS.contains(scalar.getValue());
            return none ? null : scalar.getValue();
        }
        if (node instanceof SequenceNode sequence) {
            List<@Nullable Object> parts = new ArrayList<>();
            for (Node part : sequence.getValue()) {
                parts.add(content(part, depth - 1));
            }
            return parts;
        }
        Map<String, @Nullable Object> parts = new LinkedHashMap<>();
        for (NodeTuple tuple : ((MappingNode) node).getValue()) {
            String key = tuple.getKeyNode() instanceof ScalarNode name ? name.getValue() : line(tuple.getKeyNode());
            parts.put(key, content(tuple.getValueNode(), depth - 1));
        }
        return parts;
    }
}
