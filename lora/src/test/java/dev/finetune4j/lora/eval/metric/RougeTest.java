package dev.finetune4j.lora.eval.metric;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.finetune4j.lora.eval.AnswerMetric;
import dev.finetune4j.lora.eval.Segmenter;
import dev.finetune4j.testsupport.TestData;
import java.util.List;
import org.junit.jupiter.api.Test;

/** ROUGE is what comes out by hand; {@code eval/rouge.tsv} has the working. */
class RougeTest {
    private static Segmenter segmenter(String name) {
        return switch (name) {
            case "words" -> Segmenter.words();
            case "characters" -> Segmenter.characters();
            default ->
                Segmenter.longestMatch(
                        "list", List.of(name.substring("list:".length()).split(",", -1)));
        };
    }

    private static Rouge.Overlap overlap(String worked) {
        String[] parts = worked.split("/", -1);
        return new Rouge.Overlap(Integer.parseInt(parts[0]), Integer.parseInt(parts[1]), Integer.parseInt(parts[2]));
    }

    private static double harmonicMean(Rouge.Overlap overlap) {
        if (overlap.matches() == 0) {
            return 0;
        }
        double precision = (double) overlap.matches() / overlap.answer();
        double recall = (double) overlap.matches() / overlap.reference();
        return 100 * 2 * precision * recall / (precision + recall);
    }

    @Test
    void twentyPairsWorkedByHand() {
        List<String[]> pairs = TestData.text(TestData.resource("eval/rouge.tsv"))
                .lines()
                .filter(line -> !line.startsWith("#"))
                .map(line -> line.split("\t", -1))
                .toList();
        assertEquals(20, pairs.size());
        for (String[] pair : pairs) {
            Segmenter segmenter = segmenter(pair[0]);
            List<String> answer = segmenter.tokens(pair[1]);
            List<String> reference = segmenter.tokens(pair[2]);
            Rouge.Overlap one = overlap(pair[3]);
            Rouge.Overlap two = overlap(pair[4]);
            Rouge.Overlap longest = overlap(pair[5]);
            assertEquals(one, Rouge.ngrams(1, answer, reference), pair[1]);
            assertEquals(two, Rouge.ngrams(2, answer, reference), pair[1]);
            assertEquals(longest, Rouge.longestCommonSubsequence(answer, reference), pair[1]);
            assertEquals(harmonicMean(one), AnswerMetric.rouge1(segmenter).of(pair[1], pair[2]), 1e-12);
            assertEquals(harmonicMean(two), AnswerMetric.rouge2(segmenter).of(pair[1], pair[2]), 1e-12);
            assertEquals(harmonicMean(longest), AnswerMetric.rougeL(segmenter).of(pair[1], pair[2]), 1e-12);
        }
    }

    @Test
    void theBestReferenceCounts() {
        assertEquals(100, AnswerMetric.rougeL(Segmenter.words()).of("yes", "no, never", "Yes!"));
    }
}
