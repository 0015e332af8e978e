package dev.finetune4j.core.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/**
 * The <a href="https://huggingface.co/docs/tokenizers/api/added-tokens">added tokens</a> of a tokenizer: those of
 * tokenizer.json, and those that only the files beside it bring, as the transformers library adds them when it loads a
 * tokenizer.
 *
 * <p>First come those to which the files give an id, in order of it, which also change the flags of tokens that are
 * there already; then those that are only named, such as an end token; then further special ones. A new token gets the
 * next free id, so a gap in the stated ids cannot be kept: that is refused, because the model was trained with the ids
 * that are stated.
 */
final class AddedTokens {
    private static final String LIST = "added_tokens";
    private static final List<String> FLAGS = List.of("single_word", "lstrip", "rstrip", "normalized");
    private static final int NAMED_IN_MESSAGE = 5;

    private final Path file;
    private final ObjectNode definition;
    private final Map<String, ObjectNode> byContent = new LinkedHashMap<>();
    private final List<Stated> stated = new ArrayList<>();
    private boolean changed;

    /** An id that a file gives a token. */
    private record Stated(String content, int id, String source) {}

    private AddedTokens(Path file, ObjectNode definition) {
        this.file = file;
        this.definition = definition;
        for (JsonNode token : definition.path(LIST)) {
            if (!(token instanceof ObjectNode object) || !token.path("content").isTextual()) {
                throw new ModelFileException(file + ": \"" + LIST + "\" holds " + token
                        + ", expected an object with \"content\"; fetch the file again");
            }
            String content = token.path("content").textValue();
            if (!content.isEmpty()) {
                byContent.put(content, object);
                int id = Vocabulary.id(content, token.path("id"));
                stated.add(new Stated(content, id, file.getFileName().toString()));
            }
        }
    }

    /**
     * Brings the list in a tokenizer.json up to what the files beside it say.
     *
     * @param file the tokenizer.json, for messages
     * @param definition what it says; changed
     * @param names what the files beside it name
     * @return whether anything was added or changed
     * @throws ModelFileException if a token does not get the id that a file gives it, or has none
     */
    static boolean complete(Path file, ObjectNode definition, TokenNames names) {
        try {
            return new AddedTokens(file, definition).completed(names);
        } catch (IllegalArgumentException e) {
            throw new ModelFileException(file + ": " + e.getMessage() + "; fetch the file again", e);
        }
    }

    private boolean completed(TokenNames names) {
        names.numbered().forEach((id, token) -> {
            String content = token.path("content").asText();
            stated.add(new Stated(content, id, names.numberedIn()));
            put(content, token);
        });
        names.named().values().forEach(this::addSpecial);
        names.further().forEach(this::addSpecial);
        return write();
    }

    /** Adds a token, or gives one that is there other flags; once special it stays so. */
    private void put(String content, JsonNode token) {
        if (content.isEmpty()) {
            return;
        }
        ObjectNode entry = JsonNodeFactory.instance.objectNode();
        entry.put("id", -1).put("content", content);
        ObjectNode old = byContent.get(content);
        boolean special = token.path("special").asBoolean()
                || (old != null && old.path("special").asBoolean());
        FLAGS.forEach(flag -> entry.put(flag, token.path(flag).asBoolean(flag.equals("normalized") && !special)));
        entry.put("special", special);
        if (old == null || !sameFlags(old, entry)) {
            byContent.put(content, entry);
            changed = true;
        }
    }

    private static boolean sameFlags(ObjectNode one, ObjectNode other) {
        return FLAGS.stream()
                        .allMatch(flag ->
                                one.path(flag).asBoolean() == other.path(flag).asBoolean())
                && one.path("special").asBoolean() == other.path("special").asBoolean();
    }

    /** A token that is only named: one that is there becomes special, another is added at the end. */
    private void addSpecial(JsonNode token) {
        String content = TokenNames.text(token);
        ObjectNode entry = JsonNodeFactory.instance.objectNode();
        JsonNode flags = content != null && byContent.containsKey(content) ? byContent.get(content) : token;
        FLAGS.forEach(flag -> entry.put(flag, flags.path(flag).asBoolean()));
        entry.put("special", true);
        put(content == null ? "" : content, entry);
    }

    private boolean write() {
        ModelVocabulary model = new ModelVocabulary(definition.path("model").path("vocab"));
        ArrayNode list = JsonNodeFactory.instance.arrayNode();
        Map<String, Integer> ids = new LinkedHashMap<>();
        int highest = -1;
        for (ObjectNode entry : byContent.values()) {
            String content = entry.path("content").asText();
            int id = model.idOf(content).orElse(Math.max(highest + 1, model.size()));
            highest = Math.max(highest, id);
            ids.put(content, id);
            entry.put("id", id);
            list.add(entry);
        }
        requireStatedIds(ids);
        definition.set(LIST, list);
        return changed;
    }

    private void requireStatedIds(Map<String, Integer> ids) {
        List<Stated> wrong = stated.stream()
                .filter(token -> !token.content.isEmpty() && ids.getOrDefault(token.content, -1) != token.id)
                .distinct()
                .sorted(Comparator.comparingInt(Stated::id))
                .toList();
        if (wrong.isEmpty()) {
            return;
        }
        String named = wrong.stream()
                .limit(NAMED_IN_MESSAGE)
                .map(token -> "\"" + token.content + "\" gets " + ids.get(token.content) + " where " + token.source
                        + " says " + token.id)
                .collect(Collectors.joining(", "));
        String more = wrong.size() > NAMED_IN_MESSAGE ? ", and " + (wrong.size() - NAMED_IN_MESSAGE) + " more" : "";
        throw new ModelFileException(file + ": added tokens do not get the ids that are stated: " + named + more
                + "; new tokens follow the vocabulary without a gap and each has one id, so name the missing ones too,"
                + " or correct the ids");
    }

    /** The tokens that the tokenizer has without the added ones. */
    private static final class ModelVocabulary {
        private final JsonNode vocabulary;
        private final Map<String, Integer> places = new LinkedHashMap<>();

        ModelVocabulary(JsonNode vocabulary) {
            this.vocabulary = vocabulary;
            if (vocabulary.isArray()) {
                for (int i = 0; i < vocabulary.size(); i++) {
                    places.put(vocabulary.get(i).path(0).asText(), i);
                }
            }
        }

        int size() {
            return vocabulary.size();
        }

        OptionalInt idOf(String token) {
            if (vocabulary.isArray()) {
                Integer place = places.get(token);
                return place == null ? OptionalInt.empty() : OptionalInt.of(place);
            }
            JsonNode id = vocabulary.path(token);
            return id.isMissingNode() ? OptionalInt.empty() : OptionalInt.of(Vocabulary.id(token, id));
        }
    }
}
