package dev.finetune4j.data;

import dev.finetune4j.core.message.Arguments;
import dev.finetune4j.data.format.ExampleReader;
import dev.finetune4j.data.source.RowConsumer;
import dev.finetune4j.data.source.SourceFile;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;

/** Small data sets that come with the library, in Chinese and English. Stateless. */
public final class Datasets {
    private Datasets() {}

    /**
     * Questions about who the model is, with answers that give it a name and say who made it, about 140 of them.
     *
     * @param name of the model
     * @param author who made it
     */
    public static Dataset identity(String name, String author) {
        return bundled("identity.json")
                .bind(Map.of(
                        "name", Arguments.given(name, "identity(name)"),
                        "author", Arguments.given(author, "identity(author)")));
    }

    /**
     * Forty questions that most models can answer, with answers of one sentence: to see whether a fine-tuned model still knows
     * them. {@code EvalTask.generalKnowledge()} asks them.
     */
    public static Dataset generalKnowledge() {
        return bundled("general-knowledge.jsonl");
    }

    /**
     * A question with what its answer must have.
     *
     * @param text the question
     * @param keys one of them stands in a right answer, in capitals or not
     */
    public record Question(String text, List<String> keys) {
        public Question {
            keys = List.copyOf(keys);
        }

        /** Whether an answer is right. */
        public boolean isAnsweredBy(String answer) {
            String lower = answer.toLowerCase(Locale.ROOT);
            return keys.stream().anyMatch(key -> lower.contains(key.toLowerCase(Locale.ROOT)));
        }
    }

    /** The questions of {@link #generalKnowledge()}. */
    public static List<Question> generalQuestions() {
        List<Question> questions = new ArrayList<>();
        rows("general-knowledge.jsonl", (row, index, line) -> {
            String[] keys = row.path("key").asText().split("\\|");
            return questions.add(new Question(row.path("instruction").asText(), List.of(keys)));
        });
        return List.copyOf(questions);
    }

    private static Dataset bundled(String name) {
        List<Example> examples = new ArrayList<>();
        DatasetProblems problems = new DatasetProblems();
        rows(name, new ExampleReader(DatasetFormat.auto(), problems).into(examples, name));
        problems.throwIfAny();
        return Dataset.of(examples);
    }

    private static void rows(String name, RowConsumer consumer) {
        DatasetProblems problems = new DatasetProblems();
        try (InputStream in = Objects.requireNonNull(Datasets.class.getResourceAsStream(name), name)) {
            SourceFile.readJson(in, name, problems, consumer);
        } catch (IOException e) {
            throw new DatasetException(DatasetProblem.ofFile(name, "cannot be read: " + e), e);
        }
        problems.throwIfAny();
    }
}
