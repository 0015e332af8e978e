package dev.finetune4j.core.model;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.IntNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/** The wrong values of config.json that lie beside the fixtures, and the keys that they leave out, by the model type. */
final class WrongValues {
    /** What a wrong value leads to. */
    enum Outcome {
        /** Other logits. */
        DIFFERS,
        /** An error. */
        REFUSED,
        /** Either of the two. */
        SEEN
    }

    /**
     * A value that is wrong for a fixture's weights.
     *
     * @param fixture name of its folder
     * @param key of config.json, with dots before the keys of an inner object
     */
    record Wrong(String fixture, String key, JsonNode value, Outcome outcome) {
        /** Sets the value in the fixture's config.json. */
        void applyTo(ObjectNode config) {
            ObjectNode object = config;
            String[] path = key.split("\\.", -1);
            for (int i = 0; i + 1 < path.length; i++) {
                object = (ObjectNode) object.get(path[i]);
            }
            object.set(path[path.length - 1], value);
        }

        @Override
        public String toString() {
            return fixture + " with " + key + " " + value;
        }
    }

    /** Sizes, which every family has: each is doubled. */
    static final List<String> SIZES = List.of(
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "head_dim",
            "vocab_size");

    private static final String TRAINING_ONLY = "has a part in training only, and is passed over";

    /** Keys that are read and cannot change a forward pass of any family, with the reason. */
    static final Map<String, String> NO_PART_IN_A_FORWARD_PASS = Map.ofEntries(
            Map.entry("model_type", "chooses the family"),
            Map.entry("attention_dropout", TRAINING_ONLY),
            Map.entry("embd_pdrop", TRAINING_ONLY),
            Map.entry("resid_pdrop", TRAINING_ONLY),
            Map.entry("hidden_dropout", TRAINING_ONLY),
            Map.entry("residual_dropout", TRAINING_ONLY),
            Map.entry("embedding_dropout", TRAINING_ONLY),
            Map.entry("router_jitter_noise", TRAINING_ONLY),
            Map.entry("router_aux_loss_coef", "is a factor of the loss: RouterBalanceTest"),
            Map.entry("output_router_logits", "switches a loss on: RouterBalanceTest"),
            Map.entry("tie_word_embeddings", "the weights decide, where there are some"),
            Map.entry("max_position_embeddings", "is a limit; what scales by it has a wrong value of its own"));

    /** The same for single families. */
    static final Map<String, Set<String>> READ_AND_NOT_USED = Map.of(
            "cohere2", Set.of("head_dim"), // the heads share the hidden size, whatever it says
            "phi3", Set.of("rope.original_max_position_embeddings")); // the one outside has a default and counts more

    private WrongValues() {}

    /** The fixtures by the model type of their files. */
    static Map<String, List<String>> fixtures() {
        return FamilyParityTest.cases().stream()
                .collect(Collectors.groupingBy(WrongValues::type, TreeMap::new, Collectors.toList()));
    }

    private static String type(String fixture) {
        return TestData.json(folder(fixture).resolve("config.json"))
                .path("model_type")
                .asText();
    }

    static Path folder(String fixture) {
        return TestData.resource("model/" + fixture);
    }

    /** Those of {@code wrong.json}, and doubled sizes of the first fixture that says one. */
    static List<Wrong> all() {
        List<Wrong> all = new ArrayList<>();
        fixtures().forEach((type, names) -> {
            names.forEach(name -> all.addAll(written(name)));
            SIZES.stream()
                    .filter(size -> !notUsed(type, size))
                    .map(size -> doubled(names, size))
                    .forEach(all::add);
        });
        return all;
    }

    /** A wrong size for the first fixture whose file has one; a width of heads that is in no file is that of their share. */
    private static Wrong doubled(List<String> fixtures, String size) {
        for (String fixture : fixtures) {
            JsonNode value =
                    TestData.json(folder(fixture).resolve("config.json")).path(size);
            if (value.isInt()) {
                return new Wrong(fixture, size, IntNode.valueOf(2 * value.intValue()), Outcome.SEEN);
            }
        }
        JsonNode config = TestData.json(folder(fixtures.get(0)).resolve("config.json"));
        int share = config.path("hidden_size").intValue()
                / config.path("num_attention_heads").intValue();
        return new Wrong(fixtures.get(0), size, IntNode.valueOf(2 * share), Outcome.SEEN);
    }

    /** The lists {@code differs} and {@code refused} of a fixture, whose objects have one key each. */
    static List<Wrong> written(String fixture) {
        List<Wrong> all = new ArrayList<>();
        Path file = folder(fixture).resolve("wrong.json");
        if (Files.exists(file)) {
            JsonNode lists = TestData.json(file);
            for (Outcome outcome : List.of(Outcome.DIFFERS, Outcome.REFUSED)) {
                for (JsonNode wrong : lists.path(outcome.name().toLowerCase(Locale.ROOT))) {
                    wrong.properties().forEach(e -> all.add(new Wrong(fixture, e.getKey(), e.getValue(), outcome)));
                }
            }
        }
        return all;
    }

    /** The name of a key in both spellings of the rotary embedding's parameters. */
    static String common(String key) {
        return key.replaceFirst("^rope_(scaling|parameters)\\.", "rope.").replaceFirst("\\.type$", ".rope_type");
    }

    static boolean notUsed(String type, String key) {
        return NO_PART_IN_A_FORWARD_PASS.containsKey(key)
                || READ_AND_NOT_USED.getOrDefault(type, Set.of()).contains(common(key));
    }

    /** The keys that files of a type are asked for and that change what is computed. */
    static Set<String> read(String type) {
        Set<String> keys = new TreeSet<>();
        for (String fixture : fixtures().getOrDefault(type, List.of())) {
            AskedKeys.of(folder(fixture)).stream()
                    .filter(key -> !notUsed(type, key))
                    // InternLM2 is read as the Llama that it is.
                    .map(key -> type.equals("internlm2") && key.equals("attention_bias") ? "bias" : common(key))
                    .forEach(keys::add);
        }
        return keys;
    }
}
