package dev.finetune4j.lora.eval.metric;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.lora.eval.AnswerMetric;
import dev.finetune4j.lora.eval.Segmenter;
import dev.finetune4j.testsupport.TestData;
import java.util.List;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** BLEU is that of sacrebleu 2.6.0 and, by character, that of nltk 3.10.3; {@code eval/bleu.json} has what they say. */
class BleuTest {
    private static final int FIRST = 12;

    private static Segmenter segmenter(String name) {
        return switch (name) {
            case "13a" -> Segmenter.mteval13a();
            case "zh" -> Segmenter.mtevalChinese();
            case "char" -> Segmenter.characters();
            default -> throw new IllegalArgumentException(name);
        };
    }

    private static List<String> texts(JsonNode list) {
        return StreamSupport.stream(list.spliterator(), false)
                .map(JsonNode::asText)
                .toList();
    }

    private static List<JsonNode> rows(JsonNode corpus) {
        return StreamSupport.stream(corpus.path("rows").spliterator(), false).toList();
    }

    @TestFactory
    Stream<DynamicTest> corporaScoreAsInSacrebleu() {
        JsonNode corpora = TestData.json(TestData.resource("eval/bleu.json")).path("corpora");
        assertEquals(5, corpora.size());
        return StreamSupport.stream(corpora.spliterator(), false)
                .map(corpus -> DynamicTest.dynamicTest(corpus.path("name").asText(), () -> check(corpus)));
    }

    private static void check(JsonNode corpus) {
        Segmenter segmenter = segmenter(corpus.path("tokenizer").asText());
        AnswerMetric bleu = AnswerMetric.bleu(segmenter);
        List<JsonNode> rows = rows(corpus);
        for (JsonNode row : rows) {
            String answer = row.path("answer").asText();
            String[] references = texts(row.path("references")).toArray(String[]::new);
            assertEquals(texts(row.path("tokens")), segmenter.tokens(answer), answer);
            assertEquals(row.path("sentence").asDouble(), bleu.of(answer, references), 1e-10, answer);
            assertEquals(
                    100 * row.path("method3").asDouble(), AnswerMetric.bleu4().of(answer, references), 1e-10, answer);
        }
        assertEquals(corpus.path("corpus").asDouble(), corpusBleu(bleu, rows, 2), 1e-10);
        assertEquals(corpus.path("firstTwelve").asDouble(), corpusBleu(bleu, rows.subList(0, FIRST), 1), 1e-10);
    }

    private static double corpusBleu(AnswerMetric bleu, List<JsonNode> rows, int most) {
        return bleu.judge(
                        "corpus",
                        rows.stream().map(row -> row.path("answer").asText()).toList(),
                        rows.stream()
                                .map(row -> texts(row.path("references")))
                                .map(all -> all.subList(0, Math.min(most, all.size())))
                                .toList())
                .value();
    }

    @Test
    void smoothingMethodThreeByItsFormula() {
        // "ab" against "ac": one of two characters, no pair of one, no run of three or four: 1/2, 1/2, 1/4, 1/8.
        double expected = Math.pow(1.0 / 2 * (1.0 / 2) * (1.0 / 4) * (1.0 / 8), 0.25);
        assertEquals(100 * expected, AnswerMetric.bleu4().of("ab", "ac"), 1e-12);
        // Half as long as the reference: e^(1 - 4/2) of the same with all of its own right.
        double shorter = Math.exp(-1) * Math.pow(1.0 / 2 * (1.0 / 4), 0.25);
        assertEquals(100 * shorter, AnswerMetric.bleu4().of("ab", "abcd"), 1e-12);
    }
}
