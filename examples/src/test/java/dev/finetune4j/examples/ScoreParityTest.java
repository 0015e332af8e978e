package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.lora.eval.EvalTask;
import dev.finetune4j.testsupport.TestData;
import java.util.List;
import java.util.stream.StreamSupport;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Perplexity and log-probabilities of the bundled model are those of transformers in float32; {@code perplexity.json} has them. */
class ScoreParityTest {
    private static final double RELATIVE = 1e-6;

    private static List<JsonNode> list(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false).toList();
    }

    @ParameterizedTest
    @ValueSource(strings = {"zh", "en"})
    void perplexityIsThatOfTransformers(String language) {
        JsonNode expected = TestData.json(TestData.resource("perplexity.json")).path(language);
        List<JsonNode> rows = list(expected.path("rows"));
        List<TextExample> texts = rows.stream()
                .map(row -> TextExample.of(row.path("text").asText()))
                .toList();
        try (LanguageModel model = LanguageModel.loader(Bundled.baseModel())
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .load()) {
            double perplexity =
                    EvalTask.perplexity("texts", Dataset.of(texts)).run(model).value();
            double wanted = expected.path("perplexity").asDouble();
            assertEquals(wanted, perplexity, RELATIVE * wanted);
            List<List<TokenLogprob>> scores = model.score(texts);
            for (int i = 0; i < rows.size(); i++) {
                List<JsonNode> tokens = list(rows.get(i).path("token_nll"));
                assertEquals(tokens.size(), scores.get(i).size());
                for (int t = 0; t < tokens.size(); t++) {
                    TokenLogprob score = scores.get(i).get(t);
                    assertEquals(rows.get(i).path("ids").get(t + 1).asInt(), score.id());
                    assertEquals(-tokens.get(t).asDouble(), score.logprob(), 1e-5);
                }
            }
        }
    }
}
