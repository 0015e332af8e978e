package dev.finetune4j.benchmarks;

import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.NextTokenLoss;
import dev.finetune4j.core.nn.Targets;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.SplittableRandom;
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

/** Cross entropy with the projection to the vocabulary, in chunks and back to the hidden states, as a training step runs it. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class LossBenchmark {
    @Param("cpu")
    private String device;

    @Param({"bf16", "fp32"})
    private String type;

    /** The model whose width and vocabulary these are. */
    @Param("0.5b-32k")
    private String preset;

    @Param({"256", "1024"})
    private int tokens;

    private Workbench bench;
    private Linear head;
    private Tensor hidden;
    private Targets targets;
    private Tensor scale;
    private long[] labels;

    /** Makes the head, the hidden states and the labels. */
    @Setup(Level.Trial)
    public void setUp() {
        bench = Workbench.of(device, type);
        RandomModel shape = RandomModel.of(preset);
        labels = new SplittableRandom(1).longs(tokens, 0, shape.vocabulary).toArray();
        try (TensorScope scope = new TensorScope()) {
            head = WeightForm.DENSE.linear(bench.normal(0.02, shape.vocabulary, shape.hidden));
            hidden = scope.release(bench.normal(1, 1, tokens, shape.hidden));
            scale = scope.release(Tensors.ofFloats(bench.placement().device(), new float[] {1f / tokens}, 1));
            targets = Targets.of(bench.placement().device(), labels, 1);
        }
    }

    /** Frees them. */
    @TearDown(Level.Trial)
    public void tearDown() {
        head.close();
        hidden.close();
        scale.close();
        targets.close();
    }

    /** Loss and gradient of the hidden states. */
    @Benchmark
    public void forwardAndBackward(Blackhole sink) {
        try (TensorScope scope = TensorScope.forStep()) {
            sink.consume(NextTokenLoss.lossAndBackward(hidden, head::forward, 0, targets, scale));
            bench.finish();
        }
    }

    /** The loss alone, as an exam asks for it. */
    @Benchmark
    public void forward(Blackhole sink) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            sink.consume(NextTokenLoss.sum(hidden, head::forward, labels));
        }
    }
}
