package dev.finetune4j.benchmarks;

import dev.finetune4j.core.tensor.TorchRuntime;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.infra.IterationParams;
import org.openjdk.jmh.profile.InternalProfiler;
import org.openjdk.jmh.results.AggregationPolicy;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.ScalarResult;

/**
 * The most physical memory that the process has held, Java and native together, loading of the model included. Linux keeps
 * count of it; elsewhere it is what the process holds at the end of an iteration. {@code -prof} takes the name of this class.
 */
public final class PeakMemoryProfiler implements InternalProfiler {
    /** Name of the result, in MiB. */
    static final String RESULT = "memory.peak";

    private static final Path STATUS = Path.of("/proc/self/status");
    private static final String PEAK = "VmHWM:";

    @Override
    public String getDescription() {
        return "Peak of the process's physical memory";
    }

    @Override
    public void beforeIteration(BenchmarkParams benchmark, IterationParams iteration) {
        // The system counts by itself.
    }

    @Override
    public Collection<? extends Result<?>> afterIteration(
            BenchmarkParams benchmark, IterationParams iteration, IterationResult result) {
        return List.of(new ScalarResult(RESULT, peakBytes() / (double) (1 << 20), "MiB", AggregationPolicy.MAX));
    }

    static long peakBytes() {
        if (!Files.isReadable(STATUS)) {
            return TorchRuntime.residentBytes();
        }
        try {
            return Files.readAllLines(STATUS).stream()
                    .filter(line -> line.startsWith(PEAK))
                    .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024)
                    .findFirst()
                    .orElseGet(TorchRuntime::residentBytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
