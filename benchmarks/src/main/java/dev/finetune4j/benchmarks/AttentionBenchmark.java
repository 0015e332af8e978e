package dev.finetune4j.benchmarks;

import dev.finetune4j.core.tensor.TensorScope;
import java.util.concurrent.TimeUnit;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.global.torch;
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
 * Causal attention between projections and output, as the blocks of a model call it: libtorch's scaled dot product attention
 * with fewer key and value heads than query heads.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class AttentionBenchmark {
    @Param("cpu")
    private String device;

    @Param({"bf16", "fp32"})
    private String type;

    /** The model whose heads these are. */
    @Param({"6b", "0.5b"})
    private String preset;

    @Param({"256", "2048"})
    private int tokens;

    private Workbench bench;
    private Tensor query;
    private Tensor key;
    private Tensor value;
    private Tensor gradient;
    private double scale;
    private boolean grouped;

    /** Makes queries, keys, values and the gradient of the output. */
    @Setup(Level.Trial)
    public void setUp() {
        bench = Workbench.of(device, type);
        RandomModel shape = RandomModel.of(preset);
        int size = shape.hidden / shape.heads;
        scale = 1 / Math.sqrt(size);
        grouped = shape.heads != shape.kvHeads;
        try (TensorScope scope = new TensorScope()) {
            query = scope.release(bench.normal(1, 1, shape.heads, tokens, size));
            key = scope.release(bench.normal(1, 1, shape.kvHeads, tokens, size));
            value = scope.release(bench.normal(1, 1, shape.kvHeads, tokens, size));
            gradient = scope.release(bench.normal(1, 1, shape.heads, tokens, size));
        }
    }

    /** Frees them. */
    @TearDown(Level.Trial)
    public void tearDown() {
        query.close();
        key.close();
        value.close();
        gradient.close();
    }

    private Tensor attend(Tensor q, Tensor k, Tensor v) {
        return torch.scaled_dot_product_attention(
                q, k, v, new TensorOptional(), 0.0, true, new DoubleOptional(scale), grouped);
    }

    /** The forward pass alone. */
    @Benchmark
    public void forward(Blackhole sink) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            sink.consume(attend(query, key, value));
            bench.finish();
        }
    }

    /** Forward, and backward to queries, keys and values. */
    @Benchmark
    public void forwardAndBackward(Blackhole sink) {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor q = query.detach().set_requires_grad(true);
            Tensor k = key.detach().set_requires_grad(true);
            Tensor v = value.detach().set_requires_grad(true);
            Workbench.backward(attend(q, k, v), gradient);
            sink.consume(q.grad());
            bench.finish();
        }
    }
}
