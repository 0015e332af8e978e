package dev.finetune4j.examples.basemodel;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;

/** Greetings, thanks, farewells and short remarks with their replies, about fifty in each language. */
final class SmallTalk {
    private static final String FILE = "small-talk.json";

    /** A remark and its reply. */
    record Pair(String said, String reply) {}

    private final JsonNode file;

    private SmallTalk(JsonNode file) {
        this.file = file;
    }

    /**
     * Reads the bundled small talk.
     *
     * @throws IllegalStateException when the bundled file is missing or damaged
     */
    static SmallTalk load() {
        return new SmallTalk(Resources.json(FILE));
    }

    /** What opens a conversation. */
    List<Pair> greetings(Language language) {
        return pairs(language, "greetings");
    }

    /** What ends one. */
    List<Pair> closings(Language language) {
        return pairs(language, "closings");
    }

    /** Greetings, closings and everything between. */
    List<Pair> all(Language language) {
        List<Pair> all = new ArrayList<>(greetings(language));
        all.addAll(pairs(language, "chat"));
        all.addAll(closings(language));
        return all;
    }

    private List<Pair> pairs(Language language, String section) {
        List<Pair> pairs = new ArrayList<>();
        for (JsonNode pair : Resources.field(Resources.field(file, language.code(), FILE), section, FILE)) {
            List<String> texts = Resources.texts(pair);
            pairs.add(new Pair(texts.get(0), texts.get(1)));
        }
        return pairs;
    }
}
