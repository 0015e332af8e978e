package dev.finetune4j.benchmarks;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.kernel.QuantizedTensor;
import java.util.concurrent.TimeUnit;
import org.bytedeco.pytorch.Tensor;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.infra.Blackhole;

/**
 * A weight into NF4 with double quantization and back. With a rotation of some hundred MiB codes and numbers come from memory
 * and go there; with none and a small shape they stay in the second-level cache.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class QuantizationBenchmark {
    @Param("cpu")
    private String device;

    @Param({"bf16", "fp32"})
    private String type;

    @Param("4096x4096")
    private String shape;

    /** MiB of equal dense weights that are used in turn. */
    @Param("256")
    private int rotation;

    private Workbench bench;
    private Rotation<Pair> pairs;
    private Tensor source;

    /** A weight in 4 bits and memory for its numbers. */
    private record Pair(QuantizedTensor codes, Tensor numbers) implements AutoCloseable {
        @Override
        public void close() {
            codes.close();
            numbers.close();
        }
    }

    /** Makes the weights. */
    @Setup(Level.Trial)
    public void setUp() {
        bench = Workbench.of(device, type);
        MatrixShape size = MatrixShape.of(shape);
        try (TensorScope scope = new TensorScope()) {
            source = scope.release(bench.normal(0.02, size.out(), size.in()));
            pairs = new Rotation<>(this::pair, source.nbytes(), rotation);
        }
    }

    private Pair pair() {
        try (TensorScope scope = new TensorScope()) {
            return new Pair(QuantizedTensor.quantize(source, QuantSettings.nf4()), scope.release(source.clone()));
        }
    }

    /** Frees them. */
    @TearDown(Level.Trial)
    public void tearDown() throws Exception {
        pairs.close();
        source.close();
    }

    /** Dense to codes and scales in new memory. */
    @Benchmark
    public void quantize(Blackhole sink) {
        try (TensorScope scope = new TensorScope();
                QuantizedTensor codes = QuantizedTensor.quantize(pairs.next().numbers(), QuantSettings.nf4())) {
            sink.consume(codes);
            bench.finish();
        }
    }

    /** Codes and scales to dense, into memory that is there. */
    @Benchmark
    public void dequantize() {
        try (TensorScope scope = new TensorScope()) {
            Pair pair = pairs.next();
            pair.codes().dequantizeInto(pair.numbers());
            bench.finish();
        }
    }

    /** Dense to dense: the yardstick, which reads more and writes as much. */
    @Benchmark
    public void copy(Blackhole sink) {
        try (TensorScope scope = new TensorScope()) {
            Tensor from = pairs.size() == 1 ? source : pairs.next().numbers();
            sink.consume(pairs.next().numbers().copy_(from));
            bench.finish();
        }
    }
}
