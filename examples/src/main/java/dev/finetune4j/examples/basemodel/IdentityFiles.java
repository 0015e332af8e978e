package dev.finetune4j.examples.basemodel;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Writes the two bundled files that follow from {@link IdentityBook}: {@code identity.json}, alpaca rows with
 * placeholders, and {@code identity-paraphrases.json}, the questions that were held out. Call {@link #write} after a change of
 * {@code identity-questions.json}; a test compares the bundled files with it.
 */
public final class IdentityFiles {
    static final String ROWS = "identity.json";
    static final String PARAPHRASES = "identity-paraphrases.json";

    private IdentityFiles() {}

    /**
     * Writes both files into the folder and replaces what is there.
     *
     * @throws UncheckedIOException when the folder cannot be written
     */
    public static void write(Path folder) {
        IdentityBook book = IdentityBook.load();
        writeLines(folder.resolve(ROWS), rows(book));
        writeLines(folder.resolve(PARAPHRASES), paraphrases(book));
    }

    static ArrayNode rows(IdentityBook book) {
        ArrayNode rows = new ObjectMapper().createArrayNode();
        for (IdentityQuestion question : book.trainingQuestions()) {
            rows.addObject()
                    .put("instruction", question.question())
                    .put("input", "")
                    .put("output", question.answer());
        }
        return rows;
    }

    static ArrayNode paraphrases(IdentityBook book) {
        ArrayNode rows = new ObjectMapper().createArrayNode();
        for (IdentityQuestion question : book.heldOutQuestions()) {
            rows.addObject()
                    .put("question", question.question())
                    .put("kind", question.kind().code())
                    .put("language", question.language().code());
        }
        return rows;
    }

    /** One row a line, so that a change of one question is a change of one line. */
    private static void writeLines(Path file, ArrayNode rows) {
        StringBuilder text = new StringBuilder("[\n");
        for (int i = 0; i < rows.size(); i++) {
            text.append("  ").append(rows.get(i)).append(i + 1 < rows.size() ? ",\n" : "\n");
        }
        try {
            Files.writeString(file, text.append("]\n"), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(
                    "Cannot write " + file + ": check that the folder exists and is writable", e);
        }
    }
}
