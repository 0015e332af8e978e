package dev.finetune4j.core.text.jinja;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Published chat templates, rendered as transformers renders them, to the character. */
class ChatTemplateGoldenTest {
    private static final Clock FRIDAY =
            Clock.fixed(LocalDateTime.of(2025, 3, 7, 14, 5, 9).toInstant(ZoneOffset.UTC), ZoneOffset.UTC);
    private static final ObjectMapper JSON = new ObjectMapper().enable(DeserializationFeature.USE_BIG_INTEGER_FOR_INTS);
    private static int count;

    static List<String> names() {
        Optional<Path> folder = Needs.findShared("fixtures/chat-templates");
        List<String> names = new ArrayList<>();
        folder.ifPresent(found -> TestData.json(found.resolve("index.json"))
                .forEach(entry -> names.add(entry.path("name").asText())));
        return names.isEmpty() ? List.of("absent") : names;
    }

    @AfterAll
    static void report() {
        System.out.println("chat templates: " + count + " renderings compared");
    }

    @ParameterizedTest
    @MethodSource("names")
    void rendersAsTransformers(String name) throws IOException {
        Path found = Needs.shared("fixtures/chat-templates");
        String source = Files.readString(found.resolve(name + ".jinja"), StandardCharsets.UTF_8);
        JinjaTemplate template = JinjaTemplate.parse(source);
        for (JsonNode test : JSON.readTree(found.resolve(name + ".json").toFile())) {
            check(template, test);
            count++;
        }
    }

    private static void check(JinjaTemplate template, JsonNode test) {
        String where = test.path("name").asText();
        Map<String, Object> variables = variables(test);
        if (test.path("expected_error").asBoolean()) {
            JinjaException error = assertThrows(JinjaException.class, () -> template.render(variables, FRIDAY), where);
            if (test.path("error_kind").asText().equals("raise_exception")) {
                assertEquals(test.path("error_message").asText(), error.reason(), where);
            }
            return;
        }
        JinjaTemplate.Rendering rendering = template.render(variables, FRIDAY);
        assertEquals(test.path("expected").asText(), rendering.text(), where);
        if (test.has("assistant_spans")) {
            List<List<Integer>> spans = new ArrayList<>();
            List<String> texts = new ArrayList<>();
            for (JinjaTemplate.Span span : rendering.generations()) {
                String text = rendering.text();
                spans.add(List.of(text.codePointCount(0, span.start()), text.codePointCount(0, span.end())));
                texts.add(text.substring(span.start(), span.end()));
            }
            assertEquals(
                    JSON.convertValue(test.path("assistant_spans"), List.class).toString(), spans.toString());
            assertEquals(JSON.convertValue(test.path("assistant_span_texts"), List.class), texts, where);
            assertTrue(rendering.exactGenerations(), where);
        }
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> variables(JsonNode test) {
        Map<String, Object> variables =
                new LinkedHashMap<>(JSON.convertValue(test.path("variables"), LinkedHashMap.class));
        variables.put("messages", JSON.convertValue(test.path("messages"), List.class));
        variables.put("tools", test.hasNonNull("tools") ? JSON.convertValue(test.path("tools"), List.class) : null);
        variables.put("documents", null);
        variables.put(
                "add_generation_prompt", test.path("add_generation_prompt").asBoolean());
        return variables;
    }
}
