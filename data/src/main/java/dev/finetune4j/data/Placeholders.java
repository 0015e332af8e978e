package dev.finetune4j.data;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.StringJoiner;
import java.util.function.BiConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The placeholders of examples, written <code>{{name}}</code>: two braces, a letter or underscore, then letters,
 * digits, {@code _}, {@code .} or {@code -}, two braces, no spaces.
 */
final class Placeholders {
    private static final Pattern PLACEHOLDER = Pattern.compile("\\{\\{([\\p{L}_][\\p{L}\\p{M}\\p{N}_.-]*+)}}");

    private Placeholders() {}

    /** The example with every placeholder of the map replaced in one pass; the same object if it has none. */
    static Example bind(Example example, Map<String, String> values) {
        List<String> texts = example.texts();
        List<String> bound = texts.stream().map(text -> bind(text, values)).toList();
        return bound.equals(texts) ? example : example.withTexts(bound);
    }

    /**
     * The examples with every placeholder of the map replaced.
     *
     * @throws DatasetException naming all that cannot be trained on with these values, such as an answer that became blank
     */
    static List<Example> bindAll(List<Example> originals, Map<String, String> values) {
        DatasetProblems problems = new DatasetProblems();
        List<Example> bound = new ArrayList<>(originals.size());
        for (Example original : originals) {
            try {
                bound.add(bind(original, values));
            } catch (IllegalArgumentException e) {
                problems.add(
                        DatasetProblem.ofRow(
                                original.where(), null, "once placeholders have their values, " + e.getMessage()),
                        e);
            }
        }
        problems.throwIfAny();
        return List.copyOf(bound);
    }

    /** The names in the text, each as often as it occurs. */
    static List<String> names(String text) {
        if (!text.contains("{{")) {
            return List.of();
        }
        return PLACEHOLDER.matcher(text).results().map(match -> match.group(1)).toList();
    }

    /** All names in the examples, in the order in which they first occur, each with the example and text. */
    static void visit(List<Example> examples, BiConsumer<String, Place> visitor) {
        for (int index = 0; index < examples.size(); index++) {
            Example example = examples.get(index);
            List<String> texts = example.texts();
            for (int i = 0; i < texts.size(); i++) {
                Place place = new Place(example, index, i);
                names(texts.get(i)).forEach(name -> visitor.accept(name, place));
            }
        }
    }

    /**
     * Reports each placeholder that has no value once for every source, at its first place.
     *
     * @throws DatasetException if there is one
     */
    static void requireAllBound(List<Example> originals, Set<String> bound) {
        Map<List<String>, Unbound> unbound = new LinkedHashMap<>();
        visit(originals, (name, place) -> {
            if (!bound.contains(name)) {
                String source = place.example().where().source();
                unbound.computeIfAbsent(List.of(source, name), key -> new Unbound(name, place))
                        .count(place);
            }
        });
        DatasetProblems problems = new DatasetProblems();
        unbound.values().forEach(placeholder -> problems.add(placeholder.problem()));
        problems.throwIfAny();
    }

    /**
     * Checks that each name that is given a value occurs.
     *
     * @param sources what an error calls the data
     * @throws DatasetException if one does not
     */
    static void requireOccurring(Set<String> given, List<Example> originals, String sources) {
        Set<String> names = new LinkedHashSet<>();
        visit(originals, (name, place) -> names.add(name));
        DatasetProblems problems = new DatasetProblems();
        for (String name : given) {
            if (!names.contains(name)) {
                problems.add(DatasetProblem.ofFile(
                        sources,
                        "a value was given for the placeholder {{" + name + "}}, which occurs in no row; "
                                + (names.isEmpty()
                                        ? "there are no placeholders in the data, leave the value out"
                                        : "the data has " + written(names) + ", check the spelling")));
            }
        }
        problems.throwIfAny();
    }

    /** Names as they stand in a text, for an error message. */
    private static String written(Iterable<String> names) {
        StringJoiner text = new StringJoiner(", ");
        names.forEach(name -> text.add("{{" + name + "}}"));
        return text.toString();
    }

    private static String bind(String text, Map<String, String> values) {
        if (!text.contains("{{")) {
            return text;
        }
        return PLACEHOLDER.matcher(text).replaceAll(match -> {
            String value = values.get(match.group(1));
            return Matcher.quoteReplacement(value == null ? match.group() : value);
        });
    }

    /** A text of an example, which is the one with this index. */
    record Place(Example example, int index, int text) {
        @Nullable
        String field() {
            List<String> fields = example.where().fields();
            return text < fields.size() ? fields.get(text) : null;
        }
    }

    /** A placeholder without a value. */
    private static final class Unbound {
        private final String name;
        private final Place first;
        private int last;
        private long examples = 1;

        Unbound(String name, Place first) {
            this.name = name;
            this.first = first;
            this.last = first.index();
        }

        void count(Place place) {
            if (last != place.index()) {
                last = place.index();
                examples++;
            }
        }

        DatasetProblem problem() {
            Example example = first.example();
            String more = examples == 1 ? "" : " (nor in " + (examples - 1) + " more rows)";
            return DatasetProblem.ofRow(
                    example.where(),
                    first.field(),
                    example.describe(first.text()) + " holds the placeholder {{" + name + "}}, which has no value"
                            + more + "; give it one with .placeholder(\"" + name + "\", \"…\"), or the value \"{{"
                            + name
                            + "}}\" if the text is meant as it stands");
        }
    }
}
