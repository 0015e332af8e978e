package dev.finetune4j.benchmarks;

import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.concurrent.TimeUnit;
import org.bytedeco.pytorch.NoGradGuard;
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
 * One projection with a frozen weight, dense and in 4 bits: what quantization costs in time, and what it saves where a product
 * waits for its weight.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class LinearBenchmark {
    @Param("cpu")
    private String device;

    @Param({"bf16", "fp32"})
    private String type;

    @Param({"dense", "nf4"})
    private String form;

    @Param({"1", "16", "128", "512"})
    private int tokens;

    @Param({"4096x4096", "11008x4096", "4096x11008"})
    private String shape;

    /** MiB of equal weights that are used in turn. */
    @Param("256")
    private int rotation;

    private Workbench bench;
    private WeightForm kind;
    private Rotation<Linear> linears;
    private Tensor input;
    private Tensor gradient;

    /** Makes the weights, the input and the gradient of the output. */
    @Setup(Level.Trial)
    public void setUp() {
        bench = Workbench.of(device, type);
        MatrixShape size = MatrixShape.of(shape);
        kind = WeightForm.of(form);
        try (TensorScope scope = new TensorScope()) {
            Tensor weight = bench.normal(0.02, size.out(), size.in());
            long bytes = kind == WeightForm.DENSE ? weight.nbytes() : size.elements() / 2;
            linears = new Rotation<>(() -> kind.linear(weight), bytes, rotation);
            input = scope.release(bench.normal(1, tokens, size.in()));
            gradient = scope.release(bench.normal(1, tokens, size.out()));
        }
    }

    /** Frees them. */
    @TearDown(Level.Trial)
    public void tearDown() throws Exception {
        linears.close();
        input.close();
        gradient.close();
    }

    /** The forward pass alone. */
    @Benchmark
    public void forward(Blackhole sink) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            sink.consume(linears.next().forward(input));
            bench.finish();
        }
    }

    /** The gradient of the input alone: a frozen weight has none. */
    @Benchmark
    public void backward(Blackhole sink) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            sink.consume(kind.inputGradient(linears.next(), gradient));
            bench.finish();
        }
    }

    /** Both, as libtorch's recording runs them. */
    @Benchmark
    public void forwardAndBackward(Blackhole sink) {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor x = input.detach().set_requires_grad(true);
            Workbench.backward(linears.next().forward(x), gradient);
            sink.consume(x.grad());
            bench.finish();
        }
    }
}
