package dev.finetune4j.examples.basemodel;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * All the ways in which the small model is asked who it is, divided by a fixed rule into what the base model learns,
 * what the quick start trains on, and what is kept back to examine it.
 *
 * <p>Within a language the questions are counted through in file order. Of each eleven the sixth is held out: it is
 * neither in the base corpus nor in a training row. The second, fifth and ninth become training rows ({@code
 * identity.json}); the base knows these too, with its own old identity in the answer, as a published chat model does.
 * Immutable and safe to share between threads.
 */
public final class IdentityBook {
    private static final String FILE = "identity-questions.json";
    private static final int PERIOD = 11;
    private static final int HELD_OUT = 5;
    private static final Set<Integer> TRAINED = Set.of(1, 4, 8);

    private final List<IdentityQuestion> base = new ArrayList<>();
    private final List<IdentityQuestion> training = new ArrayList<>();
    private final List<IdentityQuestion> heldOut = new ArrayList<>();

    private IdentityBook() {}

    /**
     * Reads the bundled questions and divides them.
     *
     * @throws IllegalStateException when the bundled file is missing or damaged
     */
    public static IdentityBook load() {
        JsonNode file = Resources.json(FILE);
        IdentityBook book = new IdentityBook();
        for (Language language : Language.values()) {
            book.divide(questions(Resources.field(file, language.code(), FILE), language));
        }
        return book;
    }

    /** The questions that the base corpus contains, Chinese first. */
    public List<IdentityQuestion> baseQuestions() {
        return List.copyOf(base);
    }

    /** The questions of the bundled training rows, a part of {@link #baseQuestions()}. */
    public List<IdentityQuestion> trainingQuestions() {
        return List.copyOf(training);
    }

    /** The questions that neither the base corpus nor a training row contains. */
    public List<IdentityQuestion> heldOutQuestions() {
        return List.copyOf(heldOut);
    }

    private void divide(List<IdentityQuestion> questions) {
        for (int i = 0; i < questions.size(); i++) {
            IdentityQuestion question = questions.get(i);
            if (i % PERIOD == HELD_OUT) {
                heldOut.add(question);
                continue;
            }
            base.add(question);
            if (TRAINED.contains(i % PERIOD)) {
                training.add(question);
            }
        }
    }

    private static List<IdentityQuestion> questions(JsonNode groups, Language language) {
        List<IdentityQuestion> questions = new ArrayList<>();
        // Two patterns may meet in one sentence; the first one keeps it, so that no question lands in two parts.
        Set<String> seen = new HashSet<>();
        for (JsonNode group : groups) {
            IdentityKind kind = IdentityKind.ofCode(Resources.text(group, "kind", FILE));
            String answer = Resources.text(group, "answer", FILE);
            for (String pattern : Resources.texts(Resources.field(group, "patterns", FILE))) {
                for (String sentence : Phrasings.expand(pattern)) {
                    if (seen.add(Phrasings.normalForm(sentence))) {
                        questions.add(new IdentityQuestion(Phrasings.capitalise(sentence), kind, language, answer));
                    }
                }
            }
        }
        return questions;
    }
}
