package dev.finetune4j.core.text.jinja;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.text.jinja.JinjaTemplate.Rendering;
import dev.finetune4j.testsupport.TestData;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The whole language, case by case, against what Jinja in Python writes; see the README beside the cases. */
class JinjaLanguageTest {
    private static final JsonNode CASES = TestData.json(TestData.resource("text/jinja/cases.json"));

    static IntStream groups() {
        return IntStream.range(0, CASES.path("groups").size());
    }

    @ParameterizedTest
    @MethodSource("groups")
    void writesWhatJinjaWrites(int group) {
        Map<String, @Nullable Object> variables = Cases.variables(CASES.path("context"));
        List<Executable> checks = new ArrayList<>();
        CASES.path("groups").path(group).path("cases").forEach(item -> checks.add(() -> check(item, variables)));
        assertTrue(checks.size() >= 60, checks.size() + " cases");
        assertAll(CASES.path("groups").path(group).path("group").asText(), checks);
    }

    private static void check(JsonNode item, Map<String, @Nullable Object> variables) {
        String template = item.path("template").asText();
        if (item.has("error")) {
            JinjaException error =
                    assertThrows(JinjaException.class, () -> Cases.render(template, variables), template);
            assertEquals(item.has("refusal"), error.isRefusal(), template);
            if (item.has("refusal")) {
                assertEquals(item.path("refusal").asText(), error.reason(), template);
            }
            return;
        }
        Rendering rendering = JinjaTemplate.parse(template).render(variables, Cases.CLOCK);
        assertEquals(item.path("text").asText(), rendering.text(), template);
        assertEquals(Cases.spans(item.path("spans")), Cases.spans(rendering), template);
    }

    @Test
    void whatItWasGivenStaysAsItWas() {
        List<Object> list = new ArrayList<>(List.of(3, 1, 2));
        String text = Cases.render("{{ l|sort }}{% set l = l + [4] %}{{ l }}", Map.of("l", list));
        assertEquals("[1, 2, 3][3, 1, 2, 4]", text);
        assertEquals(List.of(3, 1, 2), list);
    }

    @Test
    void numbersOfEachJavaTypeAreTaken() {
        Map<String, Object> numbers = Map.of("a", 1, "b", (short) 2, "c", 3L, "d", 1.5f, "e", 2.5);
        assertEquals("1 2 3 1.5 2.5", Cases.render("{{ a }} {{ b }} {{ c }} {{ d }} {{ e }}", numbers));
    }

    @Test
    void knowsWhetherItMarksGenerations() {
        assertTrue(
                JinjaTemplate.parse("a{%- generation -%}b{% endgeneration %}").marksGenerations());
        assertFalse(JinjaTemplate.parse("{# {% generation %} #}{{ '{% generation %}' }}")
                .marksGenerations());
    }

    @Test
    void knowsWhetherThePlacesOfGenerationsAreExact() {
        String macro = "{% macro m() %}a{% generation %}b{% endgeneration %}{% endmacro %}x{{ m() }}";
        assertTrue(rendered("x{% generation %}b{% endgeneration %}").exactGenerations());
        assertFalse(rendered(macro).exactGenerations());
        assertFalse(rendered("{% set s %}{% generation %}b{% endgeneration %}{% endset %}{{ s }}")
                .exactGenerations());
    }

    private static Rendering rendered(String template) {
        return JinjaTemplate.parse(template).render(Map.of(), Cases.CLOCK);
    }
}
