package dev.finetune4j.core.text;

import dev.finetune4j.core.text.jinja.JinjaTemplate;
import java.time.Clock;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How the templates of <a href="https://github.com/THUDM/GLM-4">GLM 4</a> are given calls of functions and their results: each call is
 * a message of its own whose metadata is the function's name and whose content are the arguments, and the role of results is named
 * {@code observation}. Of messages in OpenAI's form these templates write neither.
 */
final class ObservationForm {
    /** Begins the turn of a result, and so ends an answer that calls a function. */
    static final String TOKEN = "<|observation|>";

    /** What the role of results is named. */
    static final String ROLE = "observation";

    private static final JinjaTemplate JSON = JinjaTemplate.parse("{{ value | tojson }}");

    private ObservationForm() {}

    /** What stands for a message; itself where it neither calls a function nor is a result. */
    static List<Map<?, ?>> of(Map<?, ?> message) {
        if ("tool".equals(message.get("role"))) {
            Map<Object, @Nullable Object> result = new LinkedHashMap<>(message);
            result.put("role", ROLE);
            return List.of(result);
        }
        if (!(message.get(CallForm.CALLS) instanceof List<?> calls) || calls.isEmpty()) {
            return List.of(message);
        }
        List<Map<?, ?>> parts = new ArrayList<>();
        if (message.get("content") instanceof String text && !text.isEmpty()) {
            Map<Object, @Nullable Object> said = new LinkedHashMap<>(message);
            said.remove(CallForm.CALLS);
            parts.add(said);
        }
        for (Object call : calls) {
            if (!(call instanceof Map<?, ?> map) || !(map.get("function") instanceof Map<?, ?> function)) {
                return List.of(message);
            }
            parts.add(Map.of(
                    "role",
                    "assistant",
                    "metadata",
                    String.valueOf(function.get("name")),
                    "content",
                    text(function.get("arguments"))));
        }
        return parts;
    }

    private static String text(@Nullable Object arguments) {
        if (arguments instanceof String json) {
            return json;
        }
        Map<String, @Nullable Object> variables = new LinkedHashMap<>();
        variables.put("value", arguments);
        return JSON.render(variables, Clock.systemUTC()).text();
    }
}
