package dev.finetune4j.lora.adapter.kind;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.lora.adapter.AdapterSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The values of an {@code adapter_config.json}, read with their types checked. All mistakes are collected and reported by
 * {@link #build}, among them keys that nobody has read and that may change the result.
 */
public final class ConfigFields {
    private static final Set<String> ABOUT_THE_FILE = Set.of(
            "auto_mapping",
            "base_model_name_or_path",
            "inference_mode",
            "peft_type",
            "peft_version",
            "revision",
            "runtime_config",
            "merge_weights", // when PEFT before 0.3 merged
            "fan_in_fan_out"); // PEFT switches it off for linears

    /** What PEFT 0.21 has and what changes the result, beside the keys that are read. */
    private static final Set<String> UNSUPPORTED = Set.of(
            "alora_invocation_tokens",
            "arrow_config",
            "kasa_config",
            "layer_replication",
            "megatron_config",
            "modules_to_save",
            "monteclora_config",
            "target_parameters",
            "use_bdlora",
            "use_qalora",
            "velora_config");

    /** Kinds of tasks that adapters of a decoder are trained for; what is trained does not depend on it. */
    private static final Set<String> TASKS =
            Set.of("CAUSAL_LM", "FEATURE_EXTRACTION", "SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS");

    private static final int KNOWN_MINOR = 21;
    private static final Pattern VERSION = Pattern.compile("(\\d{1,5})\\.(\\d{1,5})\\b.*");
    private static final Logger LOG = LoggerFactory.getLogger(ConfigFields.class);

    private final Path file;
    private final JsonNode config;
    private final Set<String> read = new LinkedHashSet<>(ABOUT_THE_FILE);
    private final List<String> problems = new ArrayList<>();

    public ConfigFields(Path file, JsonNode config) {
        this.file = file;
        this.config = config;
    }

    public Path file() {
        return file;
    }

    /** Reports a mistake at the end. */
    public void problem(String text) {
        problems.add(text);
    }

    private JsonNode value(String key) {
        read.add(key);
        return config.path(key);
    }

    /** Whether a key is not there or null. */
    public boolean isAbsent(String key) {
        return absent(config.path(key));
    }

    /** Whether a key is not there, null or an empty list, which is read then. */
    public boolean hasNoneIn(String key) {
        JsonNode value = config.path(key);
        boolean none = absent(value) || (value.isArray() && value.isEmpty());
        if (none) {
            read.add(key);
        }
        return none;
    }

    private static boolean absent(JsonNode value) {
        return value.isMissingNode() || value.isNull();
    }

    private <T> T read(String key, T usual, String expected, Predicate<JsonNode> fits, Function<JsonNode, T> as) {
        JsonNode value = value(key);
        if (absent(value)) {
            return usual;
        }
        if (!fits.test(value)) {
            problems.add("\"" + key + "\" must be " + expected + ", but is " + value);
            return usual;
        }
        return as.apply(value);
    }

    public int integer(String key, int usual) {
        return read(key, usual, "a whole number", JsonNode::isInt, JsonNode::intValue);
    }

    public long longInteger(String key, long usual) {
        return read(
                key, usual, "a whole number of 64 bits", value -> value.isInt() || value.isLong(), JsonNode::longValue);
    }

    public double number(String key, double usual) {
        return read(key, usual, "a number", JsonNode::isNumber, JsonNode::doubleValue);
    }

    public boolean flag(String key, boolean usual) {
        return read(key, usual, "true or false", JsonNode::isBoolean, JsonNode::booleanValue);
    }

    /** A text; booleans count as {@code true} and {@code false}. */
    public String text(String key, String usual) {
        return read(key, usual, "a text", value -> value.isTextual() || value.isBoolean(), JsonNode::asText);
    }

    /** A list of texts, or one text alone; an empty text is none. */
    public List<String> texts(String key) {
        return read(key, List.of(), "a list of names", ConfigFields::holdsTexts, ConfigFields::asTexts);
    }

    /** A list of whole numbers, or one alone. */
    public List<Integer> integers(String key) {
        return read(key, List.of(), "a list of whole numbers", ConfigFields::holdsIntegers, ConfigFields::asIntegers);
    }

    /** A list of names or a regular expression; null when there is none. */
    @Nullable
    public TargetModules modules(String key) {
        JsonNode value = value(key);
        if (absent(value) || isEmpty(value)) {
            return null;
        }
        if (value.isTextual()) {
            return value.textValue().equalsIgnoreCase("all-linear")
                    ? TargetModules.allLinear()
                    : collect(() -> TargetModules.matching(value.textValue()));
        }
        if (!holdsTexts(value)) {
            problems.add(
                    "\"" + key + "\" must be a list of names, a regular expression or \"all-linear\", but is " + value);
            return null;
        }
        return new TargetModules.Named(asTexts(value));
    }

    /** Values by name. */
    public <T> Map<String, T> map(String key, String expected, Predicate<JsonNode> fits, Function<JsonNode, T> as) {
        JsonNode value = value(key);
        Map<String, T> map = new LinkedHashMap<>();
        if (absent(value)) {
            return map;
        }
        boolean good = value.isObject();
        for (Map.Entry<String, JsonNode> entry : value.properties()) {
            good &= fits.test(entry.getValue());
        }
        if (!good) {
            problems.add("\"" + key + "\" must give " + expected + " by name, but is " + value);
            return map;
        }
        value.properties().forEach(entry -> map.put(entry.getKey(), as.apply(entry.getValue())));
        return map;
    }

    /** A list of token ids for the embedding, or lists by the names of tables. */
    public Map<String, List<Integer>> tokens(String key) {
        if (config.path(key).isArray()) {
            List<Integer> ids = integers(key);
            return ids.isEmpty() ? Map.of() : Map.of("embed_tokens", ids);
        }
        return map(key, "lists of token ids", ConfigFields::holdsIntegers, ConfigFields::asIntegers);
    }

    private static boolean holdsTexts(JsonNode value) {
        boolean all = value.isTextual() || value.isArray();
        for (JsonNode item : value) {
            all &= item.isTextual();
        }
        return all;
    }

    private static List<String> asTexts(JsonNode value) {
        List<String> texts = new ArrayList<>();
        if (value.isTextual() && !isEmpty(value)) {
            texts.add(value.textValue());
        }
        value.forEach(item -> texts.add(item.textValue()));
        return texts;
    }

    public static boolean holdsIntegers(JsonNode value) {
        boolean all = value.isInt() || value.isArray();
        for (JsonNode item : value) {
            all &= item.isInt();
        }
        return all;
    }

    private static List<Integer> asIntegers(JsonNode value) {
        List<Integer> integers = new ArrayList<>();
        if (value.isInt()) {
            integers.add(value.intValue());
        }
        value.forEach(item -> integers.add(item.intValue()));
        return integers;
    }

    /** Keys that say nothing about what a trained adapter of this kind computes. */
    public void harmless(String... keys) {
        read.addAll(List.of(keys));
    }

    private <T> @Nullable T collect(Supplier<T> make) {
        try {
            return make.get();
        } catch (SettingsException e) {
            problems.addAll(e.problems());
            return null;
        }
    }

    /**
     * The settings, when everything was as it must be.
     *
     * @throws ModelFileException naming all mistakes, and all keys that are switched on and that nobody has read
     */
    public <T extends AdapterSettings> T build(Supplier<T> make) {
        String task = text("task_type", "CAUSAL_LM");
        if (!TASKS.contains(task)) {
            problems.add("\"task_type\" is " + task + ", but a decoder's adapters are of "
                    + String.join(", ", new TreeSet<>(TASKS)));
        }
        Set<String> passedOver = new TreeSet<>();
        config.properties().forEach(entry -> {
            if (!read.contains(entry.getKey())) {
                unread(entry.getKey(), entry.getValue(), passedOver);
            }
        });
        T settings = problems.isEmpty() ? collect(make) : null;
        if (settings == null) {
            throw new ModelFileException(file + " cannot be used:\n  - " + String.join("\n  - ", problems)
                    + "\nUse an adapter without these, or merge it into its base in Python.");
        }
        if (!passedOver.isEmpty()) {
            LOG.warn("{}: passed over because PEFT has no such settings: {}", file, String.join(", ", passedOver));
        }
        return settings;
    }

    /** PEFT passes over keys that it does not have, with a warning; those that newer versions switch on are not for this one. */
    private void unread(String key, JsonNode value, Set<String> passedOver) {
        boolean off = absent(value)
                || (value.isBoolean() && !value.booleanValue())
                || (value.isContainerNode() && value.isEmpty() && !key.endsWith("_config"));
        if (off) {
            return;
        }
        if (UNSUPPORTED.contains(key)) {
            problems.add("\"" + key + "\" is " + value + ", which PEFT gives a meaning that is not supported");
        } else if (isNewer()
                && (value.isBoolean() || value.isTextual() || value.isContainerNode())
                && !isEmpty(value)) {
            problems.add("\"" + key + "\" is " + value + ", which may be a setting of PEFT "
                    + config.path("peft_version").asText() + "; known here are those up to 0." + KNOWN_MINOR);
        } else {
            passedOver.add(key);
        }
    }

    private boolean isNewer() {
        Matcher version = VERSION.matcher(config.path("peft_version").asText(""));
        return version.matches()
                && (Integer.parseInt(version.group(1)) > 0 || Integer.parseInt(version.group(2)) > KNOWN_MINOR);
    }

    private static boolean isEmpty(JsonNode value) {
        return value.isContainerNode() ? value.isEmpty() : value.asText().isEmpty();
    }
}
