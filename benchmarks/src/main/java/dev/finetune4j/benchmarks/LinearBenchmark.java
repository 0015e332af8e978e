package dev.finetune4j.benchmarks;

import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.Precision;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantizedLinear;
import dev.finetune4j.quant.QuantizedTensor;
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

/** One projection, dense and in 4 bits, forward and backward: what quantization costs in time. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class LinearBenchmark {
    /** The form of the weight. */
    public enum Form {
        DENSE,
        NF4
    }

    @Param
    private Form form;

    @Param({"FP32", "BF16"})
    private Precision precision;

    @Param({"1", "128"})
    private int tokens;

    @Param({"1024"})
    private int width;

    private Linear linear;
    private Tensor input;
    private Tensor gradient;

    /** Makes the weight and the input. */
    @Setup(Level.Trial)
    public void setUp() {
        TorchRuntime.start();
        SplittableRandom random = new SplittableRandom(1);
        ComputeDevice cpu = ComputeDevice.cpu();
        try (TensorScope scope = new TensorScope()) {
            Tensor weight = Tensors.as(Tensors.uniform(cpu, random, 0.05, width, width), precision.scalarType());
            linear = form == Form.DENSE
                    ? new DenseLinear(scope.release(weight), null)
                    : new QuantizedLinear(QuantizedTensor.quantize(weight, QuantSettings.nf4()), null);
            Tensor x = Tensors.as(Tensors.uniform(cpu, random, 1, tokens, width), precision.scalarType());
            input = scope.release(x.detach());
            gradient = scope.release(x.clone());
        }
    }

    /** Frees both. */
    @TearDown(Level.Trial)
    public void tearDown() {
        linear.close();
        input.close();
        gradient.close();
    }

    /** The forward pass alone. */
    @Benchmark
    public void forward() {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            linear.forward(input);
        }
    }

    /** Forward, and backward to the input. */
    @Benchmark
    public void forwardAndBackward() {
        try (TensorScope scope = new TensorScope()) {
            Tensor x = input.detach().set_requires_grad(true);
            linear.forward(x)
                    .backward(
                            gradient,
                            new org.bytedeco.pytorch.BoolOptional(),
                            false,
                            new org.bytedeco.pytorch.TensorArrayRefOptional());
        }
    }
}
