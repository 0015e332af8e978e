package dev.finetune4j.examples.basemodel;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;

/**
 * The sixty general facts of the small model: capitals, sums, opposites, colours, animals, days, months, shapes,
 * counts and records. Immutable and safe to share between threads.
 */
public final class FactBook {
    private static final String FILE = "facts.json";

    private final List<Fact> facts;

    private FactBook(List<Fact> facts) {
        this.facts = List.copyOf(facts);
    }

    /**
     * Reads the bundled facts.
     *
     * @throws IllegalStateException when the bundled file is missing or damaged
     */
    public static FactBook load() {
        List<Fact> facts = new ArrayList<>();
        for (JsonNode category : Resources.json(FILE)) {
            String name = Resources.text(category, "category", FILE);
            for (JsonNode item : Resources.field(category, "items", FILE)) {
                facts.add(new Fact(
                        name, wording(category, item, Language.CHINESE), wording(category, item, Language.ENGLISH)));
            }
        }
        return new FactBook(facts);
    }

    /** All facts, category by category. */
    public List<Fact> facts() {
        return facts;
    }

    private static Fact.Wording wording(JsonNode category, JsonNode item, Language language) {
        JsonNode forms = Resources.field(category, language.code(), FILE);
        List<String> fillers = Resources.texts(Resources.field(item, language.code(), FILE));
        List<String> questions = new ArrayList<>();
        for (String pattern : Resources.texts(Resources.field(forms, "questions", FILE))) {
            questions.add(Phrasings.capitalise(Phrasings.fill(pattern, fillers)));
        }
        String answer = Phrasings.fill(Resources.text(forms, "answer", FILE), fillers);
        String key = Phrasings.fill(Resources.text(forms, "key", FILE), fillers);
        return new Fact.Wording(questions, Phrasings.capitalise(answer), key);
    }
}
