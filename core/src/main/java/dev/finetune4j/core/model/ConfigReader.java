package dev.finetune4j.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.CheckpointException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Reads typed values from a config.json and collects everything that is wrong with it before it complains. */
final class ConfigReader {
    private final Path file;
    private final JsonNode root;
    private final List<String> problems = new ArrayList<>();

    ConfigReader(Path file, JsonNode root) {
        this.file = file;
        this.root = root;
    }

    JsonNode node(String key) {
        return root.path(key);
    }

    boolean has(String key) {
        return root.hasNonNull(key);
    }

    /** A whole number of at least 1. */
    int size(String key) {
        JsonNode value = root.path(key);
        if (!value.canConvertToInt() || value.intValue() < 1) {
            problem("\"" + key + "\" must be a whole number of at least 1, but is " + describe(value));
            return 1;
        }
        return value.intValue();
    }

    int size(String key, int whenAbsent) {
        return has(key) ? size(key) : whenAbsent;
    }

    double number(String key, double whenAbsent) {
        JsonNode value = root.path(key);
        if (value.isMissingNode() || value.isNull()) {
            return whenAbsent;
        }
        if (!value.isNumber()) {
            problem("\"" + key + "\" must be a number, but is " + describe(value));
            return whenAbsent;
        }
        return value.doubleValue();
    }

    boolean flag(String key, boolean whenAbsent) {
        JsonNode value = root.path(key);
        if (value.isMissingNode() || value.isNull()) {
            return whenAbsent;
        }
        if (!value.isBoolean()) {
            problem("\"" + key + "\" must be true or false, but is " + describe(value));
        }
        return value.booleanValue();
    }

    /** Demands the value that this library computes with. */
    void requireText(String key, String expected) {
        if (has(key) && !expected.equals(root.path(key).asText())) {
            problem("\"" + key + "\" is " + describe(root.path(key)) + ", but only \"" + expected
                    + "\" is supported for this model type");
        }
    }

    /**
     * The base of the rotary frequencies, from transformers 5's {@code rope_parameters} or transformers 4's
     * {@code rope_theta} and {@code rope_scaling}. Kinds of scaling that would change the numbers are refused.
     */
    double ropeTheta() {
        JsonNode parameters = root.path("rope_parameters");
        JsonNode scaling = root.path("rope_scaling");
        JsonNode kindHolder = parameters.isObject() ? parameters : scaling;
        if (kindHolder.isObject()) {
            String kind =
                    kindHolder.path("rope_type").asText(kindHolder.path("type").asText("default"));
            if (!kind.equals("default")) {
                problem("the rope type \"" + kind + "\" is not supported (supported: \"default\")");
            }
        }
        JsonNode theta = parameters.isObject() ? parameters.path("rope_theta") : root.path("rope_theta");
        if (theta.isMissingNode() || theta.isNull()) {
            if (parameters.isObject()) {
                problem("\"rope_parameters\" has no \"rope_theta\"");
            }
            return 10_000;
        }
        if (!theta.isNumber() || theta.doubleValue() <= 0) {
            problem("\"rope_theta\" must be a positive number, but is " + describe(theta));
            return 10_000;
        }
        return theta.doubleValue();
    }

    void problem(String problem) {
        problems.add(problem);
    }

    /** Throws if anything was wrong, naming all of it. */
    void finish() {
        if (!problems.isEmpty()) {
            throw new CheckpointException(file + " describes a model that cannot be computed: "
                    + String.join("; ", problems) + ". Use another checkpoint or correct the file.");
        }
    }

    private static String describe(JsonNode value) {
        return value.isMissingNode() ? "absent" : value.toString();
    }
}
