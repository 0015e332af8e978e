package dev.finetune4j.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.data.batch.EncodedDataset;
import dev.finetune4j.data.batch.SftEncoder;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Published files, against what the converter of LLaMA-Factory makes of them. */
class SharedDatasetsTest {
    private static Path datasets() {
        return Needs.shared("fixtures/datasets");
    }

    @ParameterizedTest
    @ValueSource(strings = {"identity.json", "alpaca_en_demo.json", "alpaca_zh_demo.json"})
    void rowsAndMessagesAgree(String name) {
        Path folder = datasets();
        JsonNode expected =
                TestData.json(folder.resolve("expected.json")).path("files").path(name);
        Dataset dataset = Dataset.read(folder.resolve(name));
        assertEquals(expected.path("rows").asInt(), dataset.size());
        assertEquals(
                expected.path("turn_count_total").asInt(),
                dataset.examples().stream()
                        .mapToInt(example -> example.texts().size())
                        .sum());
        assertTrue(expected.path("examples").size() >= 5);
        for (JsonNode row : expected.path("examples")) {
            Example example = dataset.examples().get(row.path("row").asInt());
            List<String> contents = new ArrayList<>();
            List<String> roles = new ArrayList<>();
            row.path("messages").forEach(message -> {
                contents.add(message.path("content").asText());
                roles.add(message.path("role").asText().toUpperCase(Locale.ROOT));
            });
            assertEquals(roles, Fixtures.roles(example));
            assertEquals(contents, Fixtures.contents(example));
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "dpo_en_demo.json",
                "kto_en_demo.json",
                "glaive_toolcall_en_demo.json",
                "c4_demo.jsonl",
                "v1_sft_demo.jsonl"
            })
    void otherFormatsAreRefused(String name) {
        Path file = datasets().resolve(name);
        assertEquals(
                1,
                Fixtures.fails(() -> Dataset.read(file), name, "cannot be read as alpaca", "found the columns")
                        .count());
    }

    @Test
    void identityTrainsOnceItsPlaceholdersHaveValues() {
        Dataset identity = Dataset.read(datasets().resolve("identity.json"));
        try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("data/tokenizer"))) {
            SftEncoder encoder = new SftEncoder(new ChatEncoder(tokenizer, ChatTemplate.named("chatml")), 512);
            assertEquals(
                    2,
                    Fixtures.fails(() -> encoder.encode(identity), "identity.json, row 0", "{{name}}", "{{author}}")
                            .count());
            EncodedDataset encoded = encoder.encode(identity.bind(Map.of("name", "张三", "author", "Lab")));
            assertEquals(91, encoded.report().rows());
            assertEquals(91, encoded.examples().size());
            for (int i = 0; i < 91; i++) {
                String text = tokenizer.decode(
                        encoded.examples().get(i).sequences().get(0).inputIds());
                assertTrue(!text.contains("{{"), text);
            }
        }
    }
}
