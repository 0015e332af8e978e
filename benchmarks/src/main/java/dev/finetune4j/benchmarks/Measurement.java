package dev.finetune4j.benchmarks;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalDouble;
import java.util.TreeMap;

/**
 * One line of JMH's result.
 *
 * @param benchmark simple name of the class
 * @param method what was measured
 * @param parameters by name
 * @param seconds of one operation: the median of the iterations, so that one during which something else ran does not count
 * @param allocated bytes of Java heap that an operation takes, if {@code -prof gc} was on
 * @param peakMebibytes the most memory that the process held, if {@link PeakMemoryProfiler} was on
 */
record Measurement(
        String benchmark,
        String method,
        Map<String, String> parameters,
        double seconds,
        OptionalDouble allocated,
        OptionalDouble peakMebibytes) {
    private static final String ALLOCATED = "gc.alloc.rate.norm";

    Measurement {
        parameters = Map.copyOf(parameters);
    }

    /**
     * Reads a file that JMH wrote with {@code -rf json}.
     *
     * @throws IOException if it cannot be read, is no such file, or holds something else than times of an operation
     */
    static List<Measurement> read(Path file) throws IOException {
        List<Measurement> found = new ArrayList<>();
        JsonNode root = new ObjectMapper().readTree(file.toFile());
        if (!root.isArray()) {
            throw new IOException(file + " is no result of JMH: write one with -rf json -rff FILE");
        }
        for (JsonNode entry : root) {
            found.add(of(file, entry));
        }
        return found;
    }

    private static Measurement of(Path file, JsonNode entry) throws IOException {
        String[] name = entry.path("benchmark").asText().split("\\.", -1);
        JsonNode primary = entry.path("primaryMetric");
        if (name.length < 2 || !primary.path("rawData").isArray()) {
            throw new IOException(file + " has an entry without benchmark or rawData; was it written by JMH 1.37?");
        }
        Map<String, String> parameters = new TreeMap<>();
        entry.path("params")
                .properties()
                .forEach(e -> parameters.put(e.getKey(), e.getValue().asText()));
        JsonNode secondary = entry.path("secondaryMetrics");
        return new Measurement(
                name[name.length - 2],
                name[name.length - 1],
                parameters,
                median(primary.path("rawData"))
                        * unit(file, primary.path("scoreUnit").asText()),
                score(secondary, ALLOCATED),
                score(secondary, PeakMemoryProfiler.RESULT));
    }

    private static double median(JsonNode forks) {
        List<Double> scores = new ArrayList<>();
        forks.forEach(fork -> fork.forEach(score -> scores.add(score.asDouble())));
        double[] sorted = scores.stream().mapToDouble(Double::doubleValue).toArray();
        Arrays.sort(sorted);
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    private static double unit(Path file, String text) throws IOException {
        return switch (text) {
            case "s/op" -> 1;
            case "ms/op" -> 1e-3;
            case "us/op" -> 1e-6;
            case "ns/op" -> 1e-9;
            default ->
                throw new IOException(file + " has a score in " + text + ", but a time of an operation is needed");
        };
    }

    private static OptionalDouble score(JsonNode metrics, String name) {
        JsonNode metric = metrics.path(name).path("score");
        return metric.isNumber() ? OptionalDouble.of(metric.asDouble()) : OptionalDouble.empty();
    }

    /** @throws IllegalArgumentException if the benchmark has no such parameter */
    String parameter(String name) {
        String value = parameters.get(name);
        if (value == null) {
            throw new IllegalArgumentException(benchmark + "." + method + " has no parameter " + name);
        }
        return value;
    }

    int number(String name) {
        return Integer.parseInt(parameter(name));
    }

    boolean is(String name, String value) {
        return Objects.equals(parameters.get(name), value);
    }

    /** Whether another has the same parameters but for one. */
    boolean sameBut(String name, Measurement other) {
        Map<String, String> mine = new TreeMap<>(parameters);
        Map<String, String> others = new TreeMap<>(other.parameters);
        mine.remove(name);
        others.remove(name);
        return mine.equals(others);
    }
}
