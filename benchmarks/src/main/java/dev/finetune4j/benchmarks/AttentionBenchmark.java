package dev.finetune4j.benchmarks;

import dev.finetune4j.core.kernel.AttentionSpec;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.SequenceAttention;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;
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
 * Causal attention between projections and output by the implementation that the layers of a model take on the device
 * ({@link DeviceKernels#attention}), with the window and the soft-cap of the model's first layer.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class AttentionBenchmark {
    /** Sequences of a packed row. */
    static final int PACKED = 4;

    @Param("cpu")
    private String device;

    @Param({"bf16", "fp32"})
    private String type;

    /** The model whose heads these are. */
    @Param({"6b", "0.5b", "gemma2-2b"})
    private String preset;

    @Param({"256", "2048"})
    private int tokens;

    /** Whether the tokens are four sequences of a packed row instead of one. */
    @Param("false")
    private boolean packed;

    private Workbench bench;
    private SequenceAttention attention;
    private Tensor qkv;
    private Tensor gradient;
    private SequenceAttention.@Nullable Bounds bounds;

    /** Makes queries, keys and values behind one another, and the gradient of the output. */
    @Setup(Level.Trial)
    public void setUp() throws IOException {
        bench = Workbench.of(device, type);
        AttentionSpec spec = RandomModel.of(preset)
                .with(folder -> folder.config()
                        .attention()
                        .spec(folder.config().layerTypes().get(0).window()));
        DeviceKernels kernels = DeviceKernels.of(bench.placement().device());
        attention = kernels.attention(spec, Tensors.typeOf(bench.placement().precision()))
                .orElseThrow(() -> new IllegalStateException(
                        "attention of " + preset + " has no implementation of its own on " + device + " in " + type));
        long width = (spec.heads() + 2L * spec.kvHeads()) * spec.headDim();
        try (TensorScope scope = new TensorScope()) {
            qkv = scope.release(bench.normal(1, 1, tokens, width));
            gradient = scope.release(bench.normal(1, 1, tokens, (long) spec.heads() * spec.headDim()));
            bounds = packed ? bounds(scope) : null;
        }
    }

    private SequenceAttention.Bounds bounds(TensorScope scope) {
        long[] starts = new long[PACKED + 1];
        Arrays.setAll(starts, i -> (long) tokens * i / PACKED);
        long[] lengths = new long[PACKED];
        Arrays.setAll(lengths, i -> starts[i + 1] - starts[i]);
        Tensor there = Tensors.ofLongs(bench.placement().device(), starts, starts.length)
                .to(ScalarType.Int);
        return new SequenceAttention.Bounds(scope.release(there), lengths, null);
    }

    /** Frees them. */
    @TearDown(Level.Trial)
    public void tearDown() {
        qkv.close();
        gradient.close();
        if (bounds != null) {
            bounds.starts().close();
        }
    }

    /** The forward pass alone. */
    @Benchmark
    public void forward(Blackhole sink) {
        try (TensorScope scope = new TensorScope()) {
            sink.consume(attention.forward(qkv, bounds, false));
            bench.finish();
        }
    }

    /** Forward, and backward to queries, keys and values. */
    @Benchmark
    public void forwardAndBackward(Blackhole sink) {
        try (TensorScope scope = new TensorScope()) {
            // The gradients may take its memory.
            Tensor own = qkv.clone();
            SequenceAttention.Mixed mixed = attention.forward(own, bounds, true);
            sink.consume(attention.backward(own, bounds, mixed, gradient));
            bench.finish();
        }
    }
}
