package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What the files beside a tokenizer.json say of its tokens: which have a name such as {@code eos_token}, which have an
 * id, and which are special besides.
 *
 * <p>The transformers library takes all of it from tokenizer_config.json if that has {@code added_tokens_decoder}.
 * Without it special_tokens_map.json goes before tokenizer_config.json, and added_tokens.json gives ids.
 *
 * @param named tokens, as texts or objects, by their names; the usual names first, in their usual order
 * @param numbered tokens as objects with {@code content} by their ids
 * @param numberedIn the file that gives the ids
 * @param further tokens, as texts or objects, that are special without a name
 */
record TokenNames(
        Map<String, JsonNode> named, SortedMap<Integer, JsonNode> numbered, String numberedIn, List<JsonNode> further) {
    private static final Logger LOG = LoggerFactory.getLogger(TokenNames.class);

    private static final List<String> USUAL =
            List.of("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token");
    private static final String SUFFIX = "_token";
    private static final String DECODER = "added_tokens_decoder";
    private static final String ADDED = "added_tokens.json";
    private static final String CONFIG = "tokenizer_config.json";
    private static final List<String> FURTHER = List.of("extra_special_tokens", "additional_special_tokens");

    /**
     * Reads what the files say.
     *
     * @param file the tokenizer.json, for messages
     * @param config of tokenizer_config.json
     * @param tokenMap of special_tokens_map.json
     * @param added of added_tokens.json
     * @throws ModelFileException if an id in them is none, or a token has no text
     */
    static TokenNames of(Path file, ObjectNode config, ObjectNode tokenMap, ObjectNode added) {
        boolean complete = config.path(DECODER).isObject();
        ObjectNode source = config.deepCopy();
        if (!complete) {
            merge(source, tokenMap);
        }
        List<JsonNode> further = further(source);
        Map<String, JsonNode> named = named(source);
        if (complete) {
            warnOfIgnored(file, config, added);
            return new TokenNames(named, decoder(file, config.path(DECODER)), CONFIG, further);
        }
        Set<String> special = new LinkedHashSet<>();
        named.values().forEach(token -> special.add(text(token)));
        further.forEach(token -> special.add(text(token)));
        return new TokenNames(named, listed(file, added, special), ADDED, further);
    }

    /** The token with a name; empty if no file gives it one. */
    Optional<String> token(String name) {
        return Optional.ofNullable(named.get(name)).map(TokenNames::text);
    }

    /** The texts of the tokens that have names. */
    Map<String, String> texts() {
        Map<String, String> texts = new LinkedHashMap<>();
        named.forEach((name, token) -> texts.put(name, String.valueOf(text(token))));
        return texts;
    }

    /** A token's text, whether it stands alone or in an object; null if there is none. */
    static @Nullable String text(JsonNode token) {
        JsonNode content = token.isObject() ? token.path("content") : token;
        return content.isTextual() && !content.textValue().isEmpty() ? content.textValue() : null;
    }

    private static void merge(ObjectNode config, ObjectNode tokenMap) {
        tokenMap.properties().forEach(entry -> {
            boolean hasFurther = FURTHER.stream().anyMatch(key -> isGiven(config.path(key)));
            if (!hasFurther || !FURTHER.contains(entry.getKey())) {
                config.set(entry.getKey(), entry.getValue());
            } else if (entry.getKey().equals(FURTHER.get(0)) && entry.getValue().isArray()) {
                List<JsonNode> all = new ArrayList<>();
                further(config).forEach(all::add);
                entry.getValue().forEach(all::add);
                config.set(FURTHER.get(0), JsonNodeFactory.instance.arrayNode().addAll(all));
            }
        });
    }

    private static boolean isGiven(JsonNode list) {
        return list.size() > 0;
    }

    private static List<JsonNode> further(ObjectNode source) {
        JsonNode list = source.path(FURTHER.get(isGiven(source.path(FURTHER.get(0))) ? 0 : 1));
        List<JsonNode> further = new ArrayList<>();
        if (list.isArray()) {
            list.forEach(further::add);
        }
        further.removeIf(token -> text(token) == null);
        return further;
    }

    private static Map<String, JsonNode> named(ObjectNode source) {
        Map<String, JsonNode> named = new LinkedHashMap<>();
        USUAL.forEach(name -> named.put(name, source.path(name)));
        source.properties().forEach(entry -> {
            if (entry.getKey().endsWith(SUFFIX)) {
                named.put(entry.getKey(), entry.getValue());
            }
        });
        FURTHER.forEach(key -> {
            if (source.path(key).isObject()) {
                source.path(key).properties().forEach(entry -> named.put(entry.getKey(), entry.getValue()));
            }
        });
        named.values().removeIf(token -> text(token) == null);
        return Collections.unmodifiableMap(named);
    }

    private static SortedMap<Integer, JsonNode> decoder(Path file, JsonNode decoder) {
        SortedMap<Integer, JsonNode> numbered = new TreeMap<>();
        decoder.properties().forEach(entry -> {
            if (text(entry.getValue()) == null || !entry.getValue().isObject()) {
                throw new ModelFileException(file.resolveSibling(CONFIG) + ": \"" + DECODER + "\" gives the id "
                        + entry.getKey() + " to no token but " + entry.getValue()
                        + "; expected an object with \"content\"");
            }
            try {
                int id = Integer.parseInt(entry.getKey());
                numbered.put(id, entry.getValue());
            } catch (NumberFormatException e) {
                throw new ModelFileException(
                        file.resolveSibling(CONFIG) + ": \"" + DECODER + "\" has the key \"" + entry.getKey()
                                + "\", expected a token's number; correct the file",
                        e);
            }
        });
        return numbered;
    }

    private static SortedMap<Integer, JsonNode> listed(Path file, ObjectNode added, Set<String> special) {
        SortedMap<Integer, JsonNode> numbered = new TreeMap<>();
        added.properties().forEach(entry -> {
            boolean isSpecial = special.contains(entry.getKey());
            ObjectNode token = JsonNodeFactory.instance.objectNode();
            token.put("content", entry.getKey()).put("normalized", !isSpecial).put("special", isSpecial);
            JsonNode twin = numbered.put(id(file, entry.getKey(), entry.getValue()), token);
            if (twin != null) {
                throw new ModelFileException(file.resolveSibling(ADDED) + " gives the id " + entry.getValue() + " to "
                        + twin.path("content") + " and to \"" + entry.getKey() + "\"; correct the file");
            }
        });
        return numbered;
    }

    private static int id(Path file, String token, JsonNode id) {
        try {
            return Vocabulary.id(token, id);
        } catch (IllegalArgumentException e) {
            throw new ModelFileException(file.resolveSibling(ADDED) + ": " + e.getMessage() + "; correct the file", e);
        }
    }

    private static void warnOfIgnored(Path file, ObjectNode config, ObjectNode added) {
        Set<String> known = new LinkedHashSet<>();
        config.path(DECODER).forEach(token -> known.add(token.path("content").asText()));
        List<String> ignored = new ArrayList<>();
        added.fieldNames().forEachRemaining(ignored::add);
        ignored.removeAll(known);
        if (!ignored.isEmpty()) {
            LOG.warn(
                    "{} has tokens that \"{}\" of {} lacks, which are not added, as in transformers: {}",
                    file.resolveSibling(ADDED),
                    DECODER,
                    CONFIG,
                    ignored);
        }
    }
}
