package dev.finetune4j.benchmarks;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;

/**
 * Where the time of a step went, from the work that a GPU did in several. Milliseconds and counts are those of one step.
 *
 * @param steps how many were traced
 * @param wallMillis from the beginning of the first work to the end of the last
 * @param parts time and number by kind. A moment in which kernels overlap counts for the one that began first: the others wait
 *     for it, or use what it leaves of the GPU
 * @param names by kind and name, the longest first
 * @param unknown readable names that no rule knows; they are counted as other
 */
record Breakdown(int steps, double wallMillis, Map<KernelKind, Part> parts, List<Named> names, List<String> unknown) {
    private static final int TOP = 12;

    /**
     * A part of a step.
     *
     * @param millis the sum of its kernels' own times
     * @param launches kernels, copies and settings of memory
     */
    record Part(double millis, double launches) {
        Part plus(Part other) {
            return new Part(millis + other.millis, launches + other.launches);
        }

        private Map<String, Object> toMap() {
            Map<String, Object> map = new LinkedHashMap<>();
            map.put("ms", rounded(millis));
            map.put("launches", rounded(launches));
            return map;
        }
    }

    /** The kernels of one name and kind. */
    record Named(String name, KernelKind kind, Part part) {}

    private record Key(String name, KernelKind kind) {}

    /**
     * Looks at what was traced.
     *
     * @param traced in any order
     * @param steps in which it was done
     * @param shortestNanos as {@link StepKinds#of} wants it
     * @throws IllegalArgumentException if nothing was traced
     */
    static Breakdown of(List<TracedKernel> traced, int steps, double shortestNanos) {
        if (traced.isEmpty() || steps < 1) {
            throw new IllegalArgumentException(
                    traced.size() + " pieces of work were traced in " + steps + " steps; there must be some of both");
        }
        List<TracedKernel> kernels = new ArrayList<>(traced);
        kernels.sort(Comparator.comparingLong(TracedKernel::start).thenComparingLong(TracedKernel::end));
        List<KernelKind> kinds = StepKinds.of(kernels, shortestNanos);
        Map<Key, Part> byName = new HashMap<>();
        Map<KernelKind, Part> parts = new EnumMap<>(KernelKind.class);
        TreeSet<String> unknown = new TreeSet<>();
        long[] nanos = ownNanos(kernels);
        for (int i = 0; i < nanos.length; i++) {
            TracedKernel kernel = kernels.get(i);
            Part part = new Part(nanos[i] / 1e6 / steps, 1.0 / steps);
            parts.merge(kinds.get(i), part, Part::plus);
            byName.merge(new Key(kernel.name(), kinds.get(i)), part, Part::plus);
            if (KernelRole.of(kernel.name()) == KernelRole.UNKNOWN) {
                unknown.add(KernelName.readable(kernel.name()));
            }
        }
        List<Named> names = new ArrayList<>();
        byName.forEach((key, part) -> names.add(new Named(KernelName.readable(key.name()), key.kind(), part)));
        names.sort(Comparator.comparingDouble(named -> -named.part().millis()));
        long first = kernels.get(0).start();
        long end = kernels.stream().mapToLong(TracedKernel::end).max().orElse(first);
        return new Breakdown(steps, (end - first) / 1e6 / steps, parts, names, List.copyOf(unknown));
    }

    /**
     * The nanoseconds of each kernel in which none ran that had begun before it.
     *
     * @param kernels in the order of their beginnings
     */
    static long[] ownNanos(List<TracedKernel> kernels) {
        long[] own = new long[kernels.size()];
        long until = Long.MIN_VALUE;
        for (int i = 0; i < own.length; i++) {
            TracedKernel kernel = kernels.get(i);
            own[i] = Math.max(0, kernel.end() - Math.max(kernel.start(), until));
            until = Math.max(until, kernel.end());
        }
        return own;
    }

    /** Milliseconds of a step in which at least one piece of work ran. */
    double busyMillis() {
        return total().millis();
    }

    /** Milliseconds of a step in which nothing ran. */
    double gapMillis() {
        return wallMillis - busyMillis();
    }

    /** All kinds together. */
    Part total() {
        return parts.values().stream().reduce(new Part(0, 0), Part::plus);
    }

    Part part(KernelKind kind) {
        return parts.getOrDefault(kind, new Part(0, 0));
    }

    /** For JSON; shares are of {@code ms_step_traced}. */
    Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("steps", steps);
        map.put("ms_step_traced", rounded(wallMillis));
        map.put("ms_busy", rounded(busyMillis()));
        map.put("busy_share", rounded(busyMillis() / wallMillis));
        map.put("ms_gaps", rounded(gapMillis()));
        map.put("launches", rounded(total().launches()));
        Map<String, Object> kinds = new LinkedHashMap<>();
        for (KernelKind kind : KernelKind.values()) {
            Map<String, Object> one = part(kind).toMap();
            one.put("share", rounded(part(kind).millis() / wallMillis));
            kinds.put(kind.key, one);
        }
        map.put("kinds", kinds);
        List<Map<String, Object>> top = new ArrayList<>();
        for (Named named : names.subList(0, Math.min(TOP, names.size()))) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("name", named.name());
            one.put("kind", named.kind().key);
            one.putAll(named.part().toMap());
            top.add(one);
        }
        map.put("top", top);
        map.put("unknown", unknown);
        return map;
    }

    private static double rounded(double value) {
        return Math.round(value * 1e4) / 1e4;
    }

    /** For reading. */
    String table() {
        StringBuilder text = new StringBuilder();
        line(text, "%-30s %10s %7s %9s", "", "ms a step", "share", "launches");
        for (KernelKind kind : KernelKind.values()) {
            row(text, kind.label, part(kind));
        }
        row(text, "nothing runs (gaps)", new Part(gapMillis(), 0));
        row(text, "step as traced", new Part(wallMillis, total().launches()));
        for (Named named : names.subList(0, Math.min(TOP, names.size()))) {
            line(
                    text,
                    "  %10.3f ms %8.1f x  %-15s %s",
                    named.part().millis(),
                    named.part().launches(),
                    named.kind().key,
                    named.name());
        }
        unknown.forEach(name -> line(text, "  no rule for %s", name));
        return text.toString();
    }

    private void row(StringBuilder text, String label, Part part) {
        line(
                text,
                "%-30s %10.3f %6.1f%% %9.1f",
                label,
                part.millis(),
                100 * part.millis() / wallMillis,
                part.launches());
    }

    private static void line(StringBuilder text, String format, Object... values) {
        text.append(String.format(Locale.ROOT, format, values)).append(System.lineSeparator());
    }
}
