package dev.finetune4j.core.grammar;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Resolves what schemas say of the same value by {@code $ref}, {@code allOf}, {@code anyOf} and {@code oneOf} into plain alternatives. */
final class SchemaAlternatives {
    /** More are refused: {@code allOf} of {@code anyOf}s multiplies them. */
    private static final int MAX_ALTERNATIVES = 256;

    private final JsonNode root;
    private final Set<String> problems = new LinkedHashSet<>();

    SchemaAlternatives(JsonNode root) {
        this.root = root;
    }

    /** What cannot be constrained, with its place. */
    List<String> problems() {
        return List.copyOf(problems);
    }

    void report(String place, String problem) {
        problems.add("the JSON schema " + problem + " at " + place);
    }

    /** The alternatives of a schema, as {@link SchemaMerge} has them; none when no value is valid. */
    List<ObjectNode> of(JsonNode schema, String place) {
        return of(schema, place, Set.of());
    }

    /** @param open references that were followed to come here */
    private List<ObjectNode> of(JsonNode schema, String place, Set<String> open) {
        if (schema.isBoolean()) {
            return schema.booleanValue() ? List.of(JsonNodeFactory.instance.objectNode()) : List.of();
        }
        List<String> unfit = new ArrayList<>();
        schema.properties().forEach(entry -> {
            String problem = SchemaKeywords.problem(entry.getKey(), entry.getValue());
            if (problem != null) {
                unfit.add(problem);
            }
        });
        unfit.forEach(problem -> report(place, problem));
        if (!unfit.isEmpty()) {
            return List.of();
        }
        List<ObjectNode> alternatives = List.of(SchemaMerge.plain(schema));
        if (schema.has("$ref")) {
            alternatives = product(alternatives, referred(schema.get("$ref").textValue(), place, open), place);
        }
        for (int i = 0; i < schema.path("allOf").size(); i++) {
            alternatives = product(alternatives, of(schema.get("allOf").get(i), place + "/allOf/" + i, open), place);
        }
        if (schema.has("anyOf")) {
            List<ObjectNode> any = new ArrayList<>();
            for (int i = 0; i < schema.get("anyOf").size(); i++) {
                any.addAll(of(schema.get("anyOf").get(i), place + "/anyOf/" + i, open));
            }
            alternatives = product(alternatives, any, place);
        }
        return schema.has("oneOf") ? exactlyOne(alternatives, schema.get("oneOf"), place, open) : alternatives;
    }

    private List<ObjectNode> product(List<ObjectNode> one, List<ObjectNode> other, String place) {
        if ((long) one.size() * other.size() > MAX_ALTERNATIVES) {
            report(place, "has more than " + MAX_ALTERNATIVES + " combinations of alternatives");
            return List.of();
        }
        List<ObjectNode> all = new ArrayList<>();
        for (ObjectNode a : one) {
            other.forEach(b -> all.add(SchemaMerge.merge(a, b)));
        }
        return all;
    }

    private List<ObjectNode> exactlyOne(List<ObjectNode> base, JsonNode oneOf, String place, Set<String> open) {
        List<List<ObjectNode>> groups = new ArrayList<>();
        for (int i = 0; i < oneOf.size(); i++) {
            groups.add(product(base, of(oneOf.get(i), place + "/oneOf/" + i, open), place));
        }
        List<ObjectNode> all = new ArrayList<>();
        // What it finds unsupported is reported where it stands.
        SchemaOverlap overlap = new SchemaOverlap(new SchemaAlternatives(root));
        for (int i = 0; i < groups.size(); i++) {
            all.addAll(groups.get(i));
            for (int j = 0; j < groups.size(); j++) {
                if (i != j && !overlap.excludes(groups.get(i), groups.get(j))) {
                    report(
                            place,
                            "has \"oneOf\", of which a value may be valid by both " + Math.min(i, j) + " and "
                                    + Math.max(i, j)
                                    + ", as far as can be seen; make them exclude each other, such as by"
                                    + " a required property with another \"const\" in each, or use \"anyOf\"");
                }
            }
        }
        return all;
    }

    private List<ObjectNode> referred(String pointer, String place, Set<String> open) {
        if (!pointer.equals("#") && !pointer.startsWith("#/")) {
            report(place, "refers to " + pointer + ", but only references into itself such as #/$defs/x are followed");
            return List.of();
        }
        if (open.contains(pointer)) {
            report(place, "refers to " + pointer + ", which leads back here with nothing in between");
            return List.of();
        }
        JsonNode target = target(pointer);
        if (!target.isObject() && !target.isBoolean()) {
            report(
                    place,
                    "refers to " + pointer
                            + (target.isMissingNode() ? ", which is not there" : ", which is no schema"));
            return List.of();
        }
        Set<String> further = new LinkedHashSet<>(open);
        further.add(pointer);
        return of(target, pointer, further);
    }

    private JsonNode target(String pointer) {
        try {
            return root.at(URLDecoder.decode(pointer.substring(1).replace("+", "%2B"), StandardCharsets.UTF_8));
        } catch (IllegalArgumentException e) {
            return root.path(""); // no escape of a URL
        }
    }
}
