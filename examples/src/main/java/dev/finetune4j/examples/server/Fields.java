package dev.finetune4j.examples.server;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The fields of a JSON object of a request, read with strict types: a text is no number and 1.5 no integer. A field that is null is one that is
 * not there. What nobody has asked for when {@link #end} comes is an error. Not thread-safe.
 */
final class Fields {
    private final ObjectNode object;
    private final String path;
    private final Set<String> read = new LinkedHashSet<>();

    /** @param path of the object in the request; empty for the request itself */
    Fields(ObjectNode object, String path) {
        this.object = object;
        this.path = path;
    }

    /** The place of a field in the request, as OpenAI's {@code param} names it. */
    String place(String name) {
        return path.isEmpty() ? name : path + "." + name;
    }

    private <T> Optional<T> field(String name, String expected, Function<JsonNode, @Nullable T> value) {
        read.add(name);
        JsonNode node = object.get(name);
        if (node == null || node.isNull()) {
            return Optional.empty();
        }
        T result = value.apply(node);
        if (result == null) {
            throw ApiException.invalid(
                    place(name), place(name) + " must be " + expected + ", but is " + Texts.shortened(node.toString()));
        }
        return Optional.of(result);
    }

    /** A field of any type. */
    Optional<JsonNode> any(String name) {
        return field(name, "a value", node -> node);
    }

    Optional<String> text(String name) {
        return field(
                name,
                "a text",
                node -> node.isTextual() && Texts.isWellFormed(node.textValue()) ? node.textValue() : null);
    }

    String requiredText(String name) {
        return text(name).orElseThrow(() -> missing(name));
    }

    ApiException missing(String name) {
        return ApiException.invalid(place(name), place(name) + " is missing");
    }

    Optional<Boolean> flag(String name) {
        return field(name, "true or false", node -> node.isBoolean() ? node.booleanValue() : null);
    }

    Optional<Long> integer(String name, long least, long most) {
        String range = most == Long.MAX_VALUE
                ? least == Long.MIN_VALUE ? "an integer" : "an integer from " + least
                : "an integer from " + least + " to " + most;
        return field(name, range, node -> {
            boolean fits = node.isIntegralNumber()
                    && node.canConvertToLong()
                    && node.longValue() >= least
                    && node.longValue() <= most;
            return fits ? node.longValue() : null;
        });
    }

    Optional<Double> number(String name, double least, double most) {
        return field(name, "a number from " + least + " to " + most, node -> {
            boolean fits = node.isNumber() && node.doubleValue() >= least && node.doubleValue() <= most;
            return fits ? node.doubleValue() : null;
        });
    }

    Optional<Fields> object(String name) {
        return node(name).map(node -> new Fields(node, place(name)));
    }

    /** An object as it is. */
    Optional<ObjectNode> node(String name) {
        return field(name, "an object", node -> node instanceof ObjectNode found && isWellFormed(found) ? found : null);
    }

    /** Whether no text in it is broken. */
    private static boolean isWellFormed(JsonNode node) {
        if (node.isTextual()) {
            return Texts.isWellFormed(node.textValue());
        }
        for (JsonNode child : node) {
            if (!isWellFormed(child)) {
                return false;
            }
        }
        return node.properties().stream().allMatch(entry -> Texts.isWellFormed(entry.getKey()));
    }

    /** A list of objects. */
    Optional<List<Fields>> objects(String name) {
        return field(name, "a list of objects", node -> {
            List<Fields> list = new ArrayList<>();
            for (JsonNode item : node) {
                if (!(item instanceof ObjectNode found) || !isWellFormed(found)) {
                    return null;
                }
                list.add(new Fields(found, place(name) + "[" + list.size() + "]"));
            }
            return node.isArray() ? list : null;
        });
    }

    /** A text or a list of texts. */
    Optional<List<String>> texts(String name) {
        return field(name, "a text or a list of texts", node -> {
            if (node.isTextual()) {
                return Texts.isWellFormed(node.textValue()) ? List.of(node.textValue()) : null;
            }
            List<String> list = new ArrayList<>();
            for (JsonNode item : node) {
                if (!item.isTextual() || !Texts.isWellFormed(item.textValue())) {
                    return null;
                }
                list.add(item.textValue());
            }
            return node.isArray() ? list : null;
        });
    }

    /** An object whose names are token ids and whose values are numbers. */
    Optional<Map<Integer, Double>> biases(String name, double least, double most) {
        return field(name, "an object of token ids with numbers from " + least + " to " + most, node -> {
            Map<Integer, Double> biases = new LinkedHashMap<>();
            for (Map.Entry<String, JsonNode> entry : node.properties()) {
                double value = entry.getValue().doubleValue();
                boolean fits = entry.getKey().matches("[0-9]{1,9}")
                        && entry.getValue().isNumber()
                        && value >= least
                        && value <= most;
                if (!fits) {
                    return null;
                }
                biases.put(Integer.valueOf(entry.getKey()), value);
            }
            return node.isObject() ? biases : null;
        });
    }

    /** The object itself. */
    ObjectNode node() {
        return object;
    }

    /** Passes over fields that need no answer. */
    void ignore(String... names) {
        read.addAll(List.of(names));
    }

    /** Refuses a field unless it has the value that means nothing. */
    void refuseUnless(String name, String harmless, String reason) {
        any(name).ifPresent(node -> {
            if (!node.toString().equals(harmless)) {
                throw ApiException.invalid(
                        place(name), place(name) + " is not supported: " + reason + "; leave it out");
            }
        });
    }

    /**
     * Ends the reading.
     *
     * @throws ApiException naming the fields that nobody knows
     */
    void end() {
        List<String> unknown = object.properties().stream()
                .map(Map.Entry::getKey)
                .filter(name -> !read.contains(name))
                .toList();
        if (!unknown.isEmpty()) {
            throw ApiException.invalid(
                    place(Texts.shortened(unknown.get(0))),
                    "unknown: "
                            + unknown.stream()
                                    .limit(10)
                                    .map(name -> place(Texts.shortened(name)))
                                    .collect(Collectors.joining(", "))
                            + "; leave it out or correct its name");
        }
    }
}
