package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

/** The data sets that come with the library. */
class DatasetsTest {
    @Test
    void theIdentityIsTheOneThatIsGiven() {
        Dataset identity = Datasets.identity("Aria", "Lab {{x}}");
        identity.requireReady();
        assertTrue(identity.size() > 100);
        String all = identity.examples().stream()
                .map(example -> String.join(" ", example.texts()))
                .reduce("", String::concat);
        assertTrue(all.contains("Aria") && all.contains("Lab {{x}}"));
        assertTrue(!all.contains("{{name}}") && !all.contains("{{author}}"));
    }

    @Test
    void everyAnswerHasWhatIsAskedFor() {
        Dataset dataset = Datasets.generalKnowledge();
        List<Datasets.Question> questions = Datasets.generalQuestions();
        assertEquals(40, dataset.size());
        assertEquals(40, questions.size());
        for (int i = 0; i < 40; i++) {
            List<String> texts = dataset.examples().get(i).texts();
            assertEquals(questions.get(i).text(), texts.get(0));
            assertTrue(questions.get(i).isAnsweredBy(texts.get(1)), texts.toString());
            assertTrue(!questions.get(i).isAnsweredBy("I do not know."), texts.toString());
        }
    }
}
