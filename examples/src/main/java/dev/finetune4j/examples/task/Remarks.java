package dev.finetune4j.examples.task;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What is said about keys, in the order in which it was found: keys of which the same is said share a line. Not thread-safe. */
final class Remarks {
    /**
     * The keys of a line.
     *
     * @param places where they stand, such as {@code line 3}
     */
    private record Subjects(Set<String> keys, Set<String> places) {}

    private final Map<String, Subjects> byText = new LinkedHashMap<>();

    void add(String key, String place, String text) {
        Subjects subjects =
                byText.computeIfAbsent(text, any -> new Subjects(new LinkedHashSet<>(), new LinkedHashSet<>()));
        subjects.keys().add(key);
        subjects.places().add(place);
    }

    boolean isEmpty() {
        return byText.isEmpty();
    }

    /** {@code line 3, use_badam: …}, in the order of the lines; behind them what stands in arguments, and what is missing. */
    List<String> withPlaces() {
        return byText.entrySet().stream()
                .sorted(Comparator.comparingInt(remark -> order(remark.getValue())))
                .map(remark -> places(remark.getValue())
                        + String.join(", ", remark.getValue().keys()) + ": " + remark.getKey())
                .toList();
    }

    private static int order(Subjects subjects) {
        String first = subjects.places().iterator().next();
        if (first.startsWith(TaskValue.LINE)) {
            return Integer.parseInt(first.substring(TaskValue.LINE.length()));
        }
        return first.isEmpty() ? Integer.MAX_VALUE : Integer.MAX_VALUE - 1;
    }

    /** {@code use_badam: …}. */
    List<String> plain() {
        List<String> lines = new ArrayList<>();
        byText.forEach((text, subjects) -> lines.add(String.join(", ", subjects.keys()) + ": " + text));
        return lines;
    }

    private static String places(Subjects subjects) {
        List<String> places =
                subjects.places().stream().filter(place -> !place.isEmpty()).toList();
        if (places.isEmpty()) {
            return "";
        }
        boolean lines = places.stream().allMatch(place -> place.startsWith(TaskValue.LINE));
        return lines && places.size() > 1
                ? "lines "
                        + String.join(
                                ", ",
                                places.stream()
                                        .map(place -> place.substring(TaskValue.LINE.length()))
                                        .toList())
                        + ", "
                : String.join(", ", places) + ", ";
    }
}
