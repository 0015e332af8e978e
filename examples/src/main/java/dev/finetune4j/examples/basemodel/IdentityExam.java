package dev.finetune4j.examples.basemodel;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * The held-out identity questions and the rule by which an answer to one of them counts. Stateless and safe to share
 * between threads.
 */
public final class IdentityExam {
    private IdentityExam() {}

    /**
     * One question of the exam.
     *
     * @param question the sentence to ask
     * @param kind what the answer must name
     * @param language the language of the question
     */
    public record Paraphrase(String question, IdentityKind kind, Language language) {}

    /**
     * Reads the bundled paraphrases, none of which the base corpus or {@code identity.json} contains.
     *
     * @throws IllegalStateException when the bundled file is missing or damaged
     */
    public static List<Paraphrase> paraphrases() {
        String file = IdentityFiles.PARAPHRASES;
        List<Paraphrase> paraphrases = new ArrayList<>();
        for (JsonNode row : Resources.json(file)) {
            paraphrases.add(new Paraphrase(
                    Resources.text(row, "question", file),
                    IdentityKind.ofCode(Resources.text(row, "kind", file)),
                    Language.ofCode(Resources.text(row, "language", file))));
        }
        return List.copyOf(paraphrases);
    }

    /**
     * Whether an answer shows the new identity: it says the name (kinds {@code NAME} and {@code BOTH}) and the author
     * (kinds {@code MAKER} and {@code BOTH}) exactly, and beside them nothing of the base model's old identity in
     * either language, whatever its case.
     *
     * @param answer what the model said
     * @param name the new name
     * @param author the new author
     * @throws IllegalArgumentException when the name or the author is blank
     */
    public static boolean success(String answer, IdentityKind kind, String name, String author) {
        Identity wanted = new Identity(name, author);
        boolean named = kind == IdentityKind.MAKER || answer.contains(wanted.name());
        boolean attributed = kind == IdentityKind.NAME || answer.contains(wanted.author());
        return named && attributed && !saysOldIdentity(answer, wanted);
    }

    private static boolean saysOldIdentity(String answer, Identity wanted) {
        for (Language language : Language.values()) {
            Identity old = Identity.ofBase(language);
            if (says(answer, old.name(), wanted) || says(answer, old.author(), wanted)) {
                return true;
            }
        }
        return false;
    }

    private static boolean says(String answer, String oldWords, Identity wanted) {
        String lowerOld = oldWords.toLowerCase(Locale.ROOT);
        String rest = answer.toLowerCase(Locale.ROOT);
        // A new name such as "Open Labrador" contains old words; only what is said beside it counts.
        for (String words : List.of(wanted.name(), wanted.author())) {
            String lowerNew = words.toLowerCase(Locale.ROOT);
            if (lowerNew.contains(lowerOld)) {
                rest = rest.replace(lowerNew, "\n");
            }
        }
        return rest.contains(lowerOld);
    }
}
