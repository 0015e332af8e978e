package dev.finetune4j.data;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.data.source.ChoiceTable;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A question with answers to choose from, called A, B, C and so on.
 *
 * @param question its text
 * @param choices the answers, 2 to 26
 * @param answer index of the right one
 */
public record ChoiceQuestion(String question, List<String> choices, int answer) {
    private static final int MAX_CHOICES = 26;

    /** @throws IllegalArgumentException if the number of choices or the index is out of range */
    public ChoiceQuestion {
        Arguments.given(question, "ChoiceQuestion(question)");
        choices = List.copyOf(Arguments.given(choices, "ChoiceQuestion(choices)"));
        if (choices.size() < 2 || choices.size() > MAX_CHOICES) {
            throw new IllegalArgumentException("\"" + question + "\" has " + choices.size() + " choices; give 2 to 26");
        }
        if (answer < 0 || answer >= choices.size()) {
            throw new IllegalArgumentException("\"" + question + "\" has " + choices.size()
                    + " choices, but the right one has the index " + answer);
        }
    }

    /**
     * Reads the questions of a benchmark's CSV file: with a header that names {@code question}, {@code A}, {@code B} and so on, and {@code answer},
     * in whatever case, as C-Eval and CMMLU write them; or without one, the question first, then the choices and the letter of the
     * right one, as MMLU writes them. Choices that are empty at the end of a row do not count.
     *
     * @param file in UTF-8; also packed with gzip
     * @throws DatasetException naming all rows that cannot be read, such as those of a test file whose answers are not published
     */
    public static List<ChoiceQuestion> read(Path file) {
        Arguments.given(file, "read(file)");
        DatasetProblems problems = new DatasetProblems();
        List<ChoiceQuestion> questions = new ArrayList<>();
        ChoiceTable.read(file, problems, (row, index, line) -> {
            ChoiceQuestion question = of(row, new Provenance(file.toString(), index), line, problems);
            return question == null || questions.add(question);
        });
        problems.throwIfAny();
        if (questions.isEmpty()) {
            throw new DatasetException(DatasetProblem.ofFile(file.toString(), "holds no questions; give at least one"));
        }
        return List.copyOf(questions);
    }

    private static @Nullable ChoiceQuestion of(
            JsonNode row, Provenance where, @Nullable Integer line, DatasetProblems problems) {
        Map<String, String> cells = new TreeMap<>();
        row.properties()
                .forEach(cell -> cells.put(
                        cell.getKey().toLowerCase(Locale.ROOT),
                        cell.getValue().asText().strip()));
        List<String> choices = new ArrayList<>();
        for (int i = 0; i < MAX_CHOICES && cells.containsKey(letter(i).toLowerCase(Locale.ROOT)); i++) {
            choices.add(cells.getOrDefault(letter(i).toLowerCase(Locale.ROOT), ""));
        }
        while (!choices.isEmpty() && choices.get(choices.size() - 1).isEmpty()) {
            choices.remove(choices.size() - 1);
        }
        String question = cells.getOrDefault("question", "");
        String answer = cells.getOrDefault("answer", "").toUpperCase(Locale.ROOT);
        int index = answer.length() == 1 ? answer.charAt(0) - 'A' : -1;
        String wrong = null;
        if (question.isEmpty()) {
            wrong = "has no question";
        } else if (choices.size() < 2) {
            wrong = "has " + choices.size() + " choices, expected at least A and B";
        } else if (answer.isEmpty()) {
            wrong =
                    "has no answer, as in test files whose answers are not published; take the file that benchmarks call"
                            + " val or dev";
        } else if (index < 0 || index >= choices.size()) {
            wrong = "has the answer \"" + answer + "\", expected a letter from A to " + letter(choices.size() - 1);
        }
        if (wrong != null) {
            problems.add(DatasetProblem.ofRow(where, null, wrong).atLine(line, null));
            return null;
        }
        return new ChoiceQuestion(question, choices, index);
    }

    /**
     * What a choice is called.
     *
     * @param choice its index, 0 to 25
     */
    public static String letter(int choice) {
        return String.valueOf((char) ('A' + choice));
    }

    /** The text that a model is asked: question, choices, and what begins the answer, in the language of the question. */
    public String prompt() {
        StringBuilder text = new StringBuilder(question);
        for (int i = 0; i < choices.size(); i++) {
            text.append('\n').append(letter(i)).append(". ").append(choices.get(i));
        }
        boolean chinese = question.codePoints().anyMatch(Character::isIdeographic);
        return text.append(chinese ? "\n答案：" : "\nAnswer:").toString();
    }
}
