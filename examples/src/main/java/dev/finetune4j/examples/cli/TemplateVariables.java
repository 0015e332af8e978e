package dev.finetune4j.examples.cli;

import java.util.LinkedHashMap;
import java.util.Map;

/** Variables of a chat template as they are typed: {@code true}, {@code false} and whole numbers are no texts. Stateless. */
final class TemplateVariables {
    private TemplateVariables() {}

    static Map<String, Object> parse(Map<String, String> given) {
        Map<String, Object> variables = new LinkedHashMap<>();
        given.forEach((name, value) -> variables.put(name, value(value)));
        return variables;
    }

    private static Object value(String text) {
        if (text.equals("true") || text.equals("false")) {
            return Boolean.valueOf(text);
        }
        return text.matches("-?\\d{1,9}") ? (Object) Integer.valueOf(text) : text;
    }
}
