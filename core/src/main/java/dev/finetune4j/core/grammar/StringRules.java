package dev.finetune4j.core.grammar;

import static dev.finetune4j.core.grammar.Rule.literal;
import static dev.finetune4j.core.grammar.Rule.sequence;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiConsumer;

/** Strings by their length, patterns and formats. */
final class StringRules {
    private StringRules() {}

    /**
     * The strings of a plain schema, with their quotes.
     *
     * @param report is told a place and what is not supported there
     */
    static Rule of(ObjectNode schema, String place, BiConsumer<String, String> report) {
        List<Rule> all = patterns(schema, place, report);
        int min = schema.path("minLength").asInt(0);
        int max = schema.path("maxLength").asInt(-1);
        if (all.isEmpty() || min > 0 || max >= 0) {
            all.add(max >= 0 && min > max ? Rule.NONE : new Rule.Repeat(JsonRules.CHARACTER, min, max));
        }
        try {
            Rule inside = all.size() == 1 ? all.get(0) : Automaton.intersection(all);
            boolean isEmpty = EmptyRules.of(inside).contains(inside);
            return isEmpty ? Rule.NONE : sequence(literal("\""), inside, literal("\""));
        } catch (Automaton.TooLarge e) {
            report.accept(
                    place,
                    "has patterns and lengths that together take more than " + Automaton.MAX_STATES
                            + " states; make \"maxLength\" smaller, or the pattern simpler");
            return Rule.NONE;
        }
    }

    /** What is between the quotes of strings, by each of the patterns and formats. */
    static List<Rule> patterns(ObjectNode schema, String place, BiConsumer<String, String> report) {
        List<Rule> all = new ArrayList<>();
        for (JsonNode format : schema.path("format")) {
            String expression = Formats.expression(format.textValue());
            if (expression == null) {
                report.accept(
                        place,
                        "has the format \"" + format.textValue()
                                + "\", which constrained output does not support (it supports "
                                + String.join(", ", Formats.names()) + "); write it as a pattern");
            } else {
                add(all, expression, place, report);
            }
        }
        schema.path("pattern").forEach(pattern -> add(all, pattern.textValue(), place, report));
        return all;
    }

    private static void add(List<Rule> all, String expression, String place, BiConsumer<String, String> report) {
        try {
            all.add(Regex.found(expression));
        } catch (Regex.Unsupported e) {
            report.accept(
                    place,
                    "has the pattern " + expression + ", in which " + e.getMessage()
                            + " is not supported; write it in another way");
        }
    }
}
