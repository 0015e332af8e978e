package dev.finetune4j.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.kernel.Activation;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** Reads typed values from a config.json and collects everything that is wrong with it before it complains. */
final class ConfigReader {
    private final Path file;
    private final JsonNode root;
    /** Each once, whoever asks for a key again. */
    private final Set<String> problems = new LinkedHashSet<>();

    private final Set<String> asked = new HashSet<>();
    private final Set<String> passedOver = new TreeSet<>();

    ConfigReader(Path file, JsonNode root) {
        this.file = file;
        this.root = root;
    }

    Path file() {
        return file;
    }

    JsonNode node(String key) {
        asked.add(key);
        return root.path(key);
    }

    boolean has(String key) {
        asked.add(key);
        return root.hasNonNull(key);
    }

    /** A whole number of at least 1. */
    int size(String key) {
        JsonNode value = node(key);
        if (!isWhole(value) || value.intValue() < 1) {
            problem("\"" + key + "\" must be a whole number of at least 1, but is " + describe(value));
            return 1;
        }
        int most = SizeLimits.of(key);
        if (value.intValue() > most) {
            problem("\"" + key + "\" is " + describe(value) + ", more than the limit of " + most);
            return 1;
        }
        return value.intValue();
    }

    /** Whether a value is a number without a fraction; Python's programs write some sizes as 4096.0. */
    static boolean isWhole(JsonNode value) {
        return value.canConvertToInt() && value.doubleValue() == value.intValue();
    }

    int size(String key, int whenAbsent) {
        return has(key) ? size(key) : whenAbsent;
    }

    /** A whole number of at least 0. */
    int count(String key, int whenAbsent) {
        JsonNode value = node(key);
        if (value.isMissingNode() || value.isNull()) {
            return whenAbsent;
        }
        if (!isWhole(value) || value.intValue() < 0) {
            problem("\"" + key + "\" must be a whole number of at least 0, but is " + describe(value));
            return whenAbsent;
        }
        return value.intValue();
    }

    /** Whether the file says null, which for some keys differs from leaving them out. */
    boolean isNull(String key) {
        return node(key).isNull();
    }

    /** The width of an attention window; null in the file means none, which is 0. */
    int window(String key, int whenAbsent) {
        if (isNull(key)) {
            return 0;
        }
        return has(key) ? size(key) : whenAbsent;
    }

    /**
     * The {@code sliding_window} of a model where {@code use_sliding_window} switches it on; 0 for none. While it is off transformers
     * writes null or 0.
     */
    int switchedWindow(int whenAbsent) {
        if (flag("use_sliding_window", false)) {
            return window("sliding_window", whenAbsent);
        }
        if (!isNull("sliding_window")) {
            count("sliding_window", whenAbsent);
        }
        return 0;
    }

    /** A bound above 0; null in the file means none, which is 0. */
    double limit(String key, double whenAbsent) {
        double limit = isNull(key) ? 0 : number(key, whenAbsent);
        if (limit < 0) {
            problem("\"" + key + "\" must be above 0 or null, but is " + limit);
        }
        return limit;
    }

    /** What is added to a mean square before its root: a number of at least 0. */
    double epsilon(String key, double whenAbsent) {
        double epsilon = number(key, whenAbsent);
        if (!(epsilon >= 0)) {
            problem("\"" + key + "\" must be at least 0, but is " + epsilon);
            return whenAbsent;
        }
        return epsilon;
    }

    /** An object, or a missing node where there is none. */
    JsonNode object(String key) {
        JsonNode value = node(key);
        if (!value.isObject() && !HarmlessKeys.isOff(value) && !value.isMissingNode()) {
            problem("\"" + key
                    + "\" must be an object like {\"rope_type\": \"default\", \"rope_theta\": 10000.0}, but is "
                    + describe(value));
        }
        return value;
    }

    double number(String key, double whenAbsent) {
        JsonNode value = node(key);
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
        JsonNode value = node(key);
        if (value.isMissingNode() || value.isNull()) {
            return whenAbsent;
        }
        if (!value.isBoolean()) {
            problem("\"" + key + "\" must be true or false, but is " + describe(value));
        }
        return value.booleanValue();
    }

    String text(String key, String whenAbsent) {
        return node(key).asText(whenAbsent);
    }

    /** The list of texts, or null when the key is absent. */
    @Nullable
    List<String> texts(String key) {
        JsonNode value = node(key);
        if (value.isMissingNode() || value.isNull()) {
            return null;
        }
        List<String> texts = new ArrayList<>();
        value.forEach(entry -> texts.add(entry.asText()));
        return texts;
    }

    Activation activation(String key, String whenAbsent) {
        String name = text(key, whenAbsent);
        return switch (name) {
            case "silu", "swish" -> Activation.SILU;
            case "gelu" -> Activation.GELU;
            case "gelu_pytorch_tanh", "gelu_new", "gelu_fast" -> Activation.GELU_TANH;
            default -> {
                problem("\"" + key + "\" is \"" + name
                        + "\", but only \"silu\", \"gelu\" and \"gelu_pytorch_tanh\" are supported");
                yield Activation.SILU;
            }
        };
    }

    /** Says that a key is understood although its value is not needed. */
    void ignore(String... keys) {
        asked.addAll(List.of(keys));
    }

    void problem(String problem) {
        problems.add(problem);
    }

    /** Notes a key that the file holds and that has no part in the numbers; nested ones with dots between. */
    void passOver(String key) {
        passedOver.add(key);
    }

    /** Reads rates of dropout and notes those that are not 0: they have a part in training only. */
    void passOverDropout(String... keys) {
        for (String key : keys) {
            if (number(key, 0) != 0) {
                passOver(key);
            }
        }
    }

    /** The keys that were noted so, in alphabetical order. */
    Set<String> passedOver() {
        return Collections.unmodifiableSet(passedOver);
    }

    /**
     * Throws if anything was wrong, naming all of it. A key that nobody asked for is passed over, as transformers does, unless
     * it changes what another kind of model computes: then the file or its model type is likely to be wrong.
     */
    void finish() {
        Set<String> foreign = new TreeSet<>();
        root.properties().forEach(field -> {
            String key = field.getKey();
            if (asked.contains(key) || HarmlessKeys.contains(key) || HarmlessKeys.isOff(field.getValue())) {
                return;
            }
            if (ForeignKeys.changesNumbers(key, root)) {
                foreign.add("\"" + key + "\": " + field.getValue());
            } else {
                passOver(key);
            }
        });
        if (!foreign.isEmpty()) {
            problem("it has keys that models of this type have no use for, but that change the numbers of others: "
                    + String.join(", ", foreign) + " (delete them if they are left over, or correct \"model_type\")");
        }
        if (!problems.isEmpty()) {
            throw new ModelFileException(file + " describes a model that cannot be computed: "
                    + String.join("; ", problems) + ". Use another model or correct the file.");
        }
    }

    static String describe(JsonNode value) {
        return value.isMissingNode() ? "absent" : value.toString();
    }
}
