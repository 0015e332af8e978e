package dev.finetune4j.core.text.jinja;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.text.jinja.JinjaTemplate.Rendering;
import dev.finetune4j.core.text.jinja.JinjaTemplate.Span;
import java.time.Clock;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What the tests of templates share. */
final class Cases {
    static final Clock CLOCK = Clock.fixed(Instant.parse("2025-03-07T14:05:09Z"), ZoneOffset.UTC);

    private static final ObjectMapper JSON = new ObjectMapper();

    private Cases() {}

    static Map<String, @Nullable Object> variables(JsonNode object) {
        return JSON.convertValue(object, new TypeReference<>() {});
    }

    static String render(String template, Map<String, ?> variables) {
        return JinjaTemplate.parse(template).render(variables, CLOCK).text();
    }

    static String render(String template) {
        return render(template, Map.of());
    }

    /** The places of the generations in code points. */
    static List<List<Integer>> spans(Rendering rendering) {
        List<List<Integer>> spans = new ArrayList<>();
        for (Span span : rendering.generations()) {
            spans.add(List.of(
                    rendering.text().codePointCount(0, span.start()),
                    rendering.text().codePointCount(0, span.end())));
        }
        return spans;
    }

    static List<List<Integer>> spans(JsonNode pairs) {
        List<List<Integer>> spans = new ArrayList<>();
        pairs.forEach(pair -> spans.add(List.of(pair.get(0).asInt(), pair.get(1).asInt())));
        return spans;
    }
}
