package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The tokens of a tokenizer.json by text and by id, and which of them are special.
 *
 * <p>Immutable.
 */
final class Vocabulary {
    private static final Pattern BYTE = Pattern.compile("<0x[0-9A-Fa-f]{2}>");
    /** Far more than any vocabulary has, and few enough for a table of them. */
    private static final int MAX_ID = (1 << 24) - 1;

    /** Put around a token's text by {@link #disguise}: a private-use character that no tokenizer's text has. */
    private static final String DISGUISE = "\uE0F7\uE0F7";

    private final Map<String, Integer> ids;
    private final @Nullable String[] tokens;
    private final BitSet special = new BitSet();
    private final BitSet skipped = new BitSet();
    private final BitSet bytes = new BitSet();
    private final Set<String> specials;
    private final Set<String> normalized;

    private Vocabulary(
            Map<String, Integer> ids,
            Map<Integer, String> twins,
            Set<String> specials,
            Set<String> kept,
            Set<String> normalized,
            boolean byteFallback) {
        this.ids = ids;
        this.tokens = new @Nullable String[ids.isEmpty() ? 0 : Collections.max(ids.values()) + 1];
        ids.forEach((token, id) -> {
            tokens[id] = token;
            special.set(id, specials.contains(token));
            skipped.set(id, specials.contains(token) && !kept.contains(token));
            bytes.set(id, byteFallback && BYTE.matcher(token).matches());
        });
        twins.forEach((id, token) -> tokens[id] = token);
        this.specials = Set.copyOf(specials);
        this.normalized = Set.copyOf(normalized);
    }

    /** @throws IllegalArgumentException if an id in it is none */
    static Vocabulary of(ObjectNode definition) {
        Map<String, Integer> ids = new HashMap<>();
        // A list may have a token twice: the text has the last id, but both ids have the text.
        Map<Integer, String> twins = new HashMap<>();
        JsonNode model = definition.path("model").path("vocab");
        if (model.isArray()) {
            for (int i = 0; i < model.size(); i++) {
                String token = model.get(i).path(0).asText();
                Integer twin = ids.put(token, i);
                if (twin != null) {
                    twins.put(twin, token);
                }
            }
        } else {
            model.properties().forEach(entry -> ids.put(entry.getKey(), id(entry.getKey(), entry.getValue())));
        }
        Set<String> specials = new HashSet<>();
        JsonNode normalizer = definition.path("normalizer");
        Set<String> normalized = new HashSet<>();
        for (JsonNode added : definition.path("added_tokens")) {
            String content = added.path("content").asText();
            ids.putIfAbsent(content, id(content, added.path("id")));
            if (isSpecial(added)) {
                specials.add(content);
            }
            if (added.path("normalized").asBoolean() && normalizer.isObject()) {
                normalized.add(content);
            }
        }
        return new Vocabulary(
                ids,
                twins,
                specials,
                shownOtherwise(definition).keySet(),
                normalized,
                usesBytes(definition.path("decoder")));
    }

    /** @throws IllegalArgumentException if it is none */
    static int id(String token, JsonNode id) {
        if (!id.isIntegralNumber() || !id.canConvertToInt() || id.intValue() < 0 || id.intValue() > MAX_ID) {
            throw new IllegalArgumentException("the token \"" + token + "\" has the id "
                    + (id.isMissingNode() ? "null" : id) + ", expected a whole number from 0 to " + MAX_ID);
        }
        return id.intValue();
    }

    /** Whether tokens such as {@code <0x41>} decode to bytes; with other decoders they are what they spell. */
    private static boolean usesBytes(JsonNode decoder) {
        boolean uses = decoder.path("type").asText().equals("ByteFallback");
        for (JsonNode step : decoder.path("decoders")) {
            uses |= usesBytes(step);
        }
        return uses;
    }

    /** What a normalizer makes of a token's text, for the kinds that change the texts of special tokens in practice. */
    private static String normalized(JsonNode normalizer, String token) {
        return switch (normalizer.path("type").asText()) {
            case "Sequence" -> {
                String text = token;
                for (JsonNode step : normalizer.path("normalizers")) {
                    text = normalized(step, text);
                }
                yield text;
            }
            case "Prepend" -> normalizer.path("prepend").asText() + token;
            case "Replace" -> {
                JsonNode pattern = normalizer.path("pattern").path("String");
                yield pattern.isTextual()
                        ? token.replace(
                                pattern.textValue(), normalizer.path("content").asText())
                        : token;
            }
            case "Lowercase" -> token.toLowerCase(Locale.ROOT);
            default -> token;
        };
    }

    @Nullable
    Integer idOf(String token) {
        return ids.get(token);
    }

    /** Null for an id that no token has. */
    @Nullable
    String tokenOf(int id) {
        return id >= 0 && id < tokens.length ? tokens[id] : null;
    }

    /** One more than the highest id. */
    int size() {
        return tokens.length;
    }

    boolean isSpecial(int id) {
        return id >= 0 && special.get(id);
    }

    /** Whether decoding without special tokens drops this one; see {@link #forDecoding} for those that stay. */
    boolean isSkipped(int id) {
        return id >= 0 && skipped.get(id);
    }

    /** Whether the token is a single byte that counts only together with its neighbours. */
    boolean isByte(int id) {
        return id >= 0 && bytes.get(id);
    }

    /** The texts of the special tokens. Unmodifiable. */
    Set<String> specials() {
        return specials;
    }

    /** Whether the added token is compared after normalisation, so that text which does not spell it can give it. */
    boolean isNormalized(String token) {
        return normalized.contains(token);
    }

    /**
     * Changes a tokenizer.json so that no text gives one of some added tokens, by writing each of them in a way that no
     * text has. The ids of all tokens stay as they are.
     *
     * <p>It is not enough to strike them from the added tokens: the ids of the others could move, and the model itself
     * could still make such a token of its letters, as Unigram does.
     */
    static void disguise(ObjectNode definition, Set<String> tokens) {
        Map<String, String> names = new HashMap<>();
        tokens.forEach(token -> names.put(token, DISGUISE + token));
        rename(definition, names);
    }

    /**
     * Changes a tokenizer.json so that it decodes as version 0.23 of the reference library does, which writes added
     * tokens that are compared after normalisation in their normalised form, so the begin token of early Llama
     * conversions as {@code  <s>} with a blank, and does not count them among the special ones that can be skipped.
     *
     * @return false if there is no such token, so that nothing was changed
     */
    static boolean forDecoding(ObjectNode definition) {
        Map<String, String> names = shownOtherwise(definition);
        rename(definition, names);
        return !names.isEmpty();
    }

    private static Map<String, String> shownOtherwise(ObjectNode definition) {
        Map<String, String> names = new HashMap<>();
        for (JsonNode added : definition.path("added_tokens")) {
            String content = added.path("content").asText();
            String shown = normalized(definition.path("normalizer"), content);
            if (!content.isEmpty() && added.path("normalized").asBoolean() && !shown.equals(content)) {
                names.put(content, shown);
            }
        }
        return names;
    }

    private static void rename(ObjectNode definition, Map<String, String> names) {
        for (JsonNode added : definition.path("added_tokens")) {
            String name = names.get(added.path("content").asText());
            if (name != null && added instanceof ObjectNode token) {
                token.put("content", name);
                token.put("normalized", false);
            }
        }
        if (!(definition.path("model") instanceof ObjectNode model)) {
            return;
        }
        String unknown = names.get(model.path("unk_token").asText());
        if (unknown != null) {
            model.put("unk_token", unknown);
        }
        if (model.path("vocab") instanceof ObjectNode vocab) {
            names.forEach((token, name) -> {
                JsonNode id = vocab.remove(token);
                if (id != null) {
                    vocab.set(name, id);
                }
            });
        } else {
            for (JsonNode piece : model.path("vocab")) {
                String name = names.get(piece.path(0).asText());
                if (name != null && piece instanceof ArrayNode pair) {
                    pair.set(0, pair.textNode(name));
                }
            }
        }
        Iterator<JsonNode> merges = model.path("merges").elements();
        while (merges.hasNext()) {
            if (touches(merges.next(), names.keySet())) {
                merges.remove();
            }
        }
    }

    private static boolean touches(JsonNode merge, Set<String> specials) {
        String text = merge.asText();
        int blank = text.indexOf(' ');
        String left = merge.isArray() ? merge.path(0).asText() : text.substring(0, Math.max(0, blank));
        String right = merge.isArray() ? merge.path(1).asText() : text.substring(blank + 1);
        return specials.contains(left) || specials.contains(right) || specials.contains(left + right);
    }

    private static boolean isSpecial(JsonNode added) {
        return added.path("special").asBoolean()
                && !added.path("content").asText().isEmpty();
    }
}
