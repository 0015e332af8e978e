package dev.finetune4j.benchmarks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.BenchmarkList;
import org.openjdk.jmh.runner.BenchmarkListEntry;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.format.OutputFormatFactory;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.VerboseMode;

/** Every benchmark starts, runs once and ends with parameters so small that it takes no time; nothing is timed. */
class BenchmarksRunTest {
    static {
        // A measurement that runs beside the tests holds JMH's lock.
        System.setProperty("jmh.ignoreLock", "true");
    }

    /** The smallest parameters of each class; those that are not named keep all their values. */
    private static final Map<String, Map<String, String[]>> SMALL = new TreeMap<>(Map.of(
            "AttentionBenchmark", Map.of("preset", one("tiny"), "tokens", one("8")),
            "DecodeBenchmark",
                    Map.of("preset", one("tiny"), "prompt", one("3"), "adapter", new String[] {"false", "true"}),
            "LinearBenchmark", Map.of("shape", one("64x128"), "tokens", new String[] {"1", "16"}, "rotation", one("0")),
            "LoraBenchmark", Map.of("preset", one("tiny"), "tokens", new String[] {"1", "16"}),
            "LossBenchmark", Map.of("preset", one("tiny"), "tokens", one("8")),
            "QuantizationBenchmark", Map.of("shape", one("64x128"), "rotation", one("0")),
            "TextBenchmark", Map.of("characters", one("200"), "rows", one("3")),
            "TrainStepBenchmark",
                    Map.of(
                            "preset", one("tiny"),
                            "tokens", one("8"),
                            "checkpointing", new String[] {"none", "full"})));

    private static String[] one(String value) {
        return new String[] {value};
    }

    static Set<String> classes() {
        return SMALL.keySet();
    }

    @ParameterizedTest
    @MethodSource("classes")
    void startsRunsAndEnds(String name) throws RunnerException {
        ChainedOptionsBuilder options = new OptionsBuilder()
                .include(Pattern.quote(BenchmarksRunTest.class.getPackageName() + "." + name + "."))
                .forks(0)
                .mode(Mode.SingleShotTime)
                .warmupIterations(0)
                .measurementIterations(2)
                .shouldFailOnError(true)
                .verbosity(VerboseMode.SILENT);
        SMALL.get(name).forEach(options::param);
        Collection<RunResult> results = new Runner(options.build()).run();
        Set<String> ran = results.stream()
                .map(result -> result.getParams().getBenchmark())
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(
                benchmarks()
                        .filter(benchmark -> classOf(benchmark).equals(name))
                        .collect(Collectors.toSet()),
                ran);
        assertFalse(
                results.stream().anyMatch(result -> !(result.getPrimaryResult().getScore() > 0)), name);
    }

    @Test
    void everyBenchmarkIsRunHere() {
        Set<String> all = benchmarks().map(BenchmarksRunTest::classOf).collect(Collectors.toCollection(TreeSet::new));
        assertEquals(all, classes());
        assertTrue(all.size() >= 8, all.toString());
    }

    private static Stream<String> benchmarks() {
        return BenchmarkList.defaultList()
                .getAll(OutputFormatFactory.createFormatInstance(System.out, VerboseMode.SILENT), List.of())
                .stream()
                .map(BenchmarkListEntry::getUsername);
    }

    private static String classOf(String benchmark) {
        String[] parts = benchmark.split("\\.", -1);
        return parts[parts.length - 2];
    }
}
