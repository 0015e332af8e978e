package dev.finetune4j.benchmarks;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import java.io.IOException;
import java.util.Objects;
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
 * One projection with LoRA of rank 16 around a frozen weight: forward as in a chat, and forward with backward to the input and
 * both factors as in training. {@link LinearBenchmark} with the same shape, dense, is the yardstick.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class LoraBenchmark {
    private static final String BLOCK = "model.layers.0.";

    @Param("cpu")
    private String device;

    @Param({"bf16", "fp32"})
    private String type;

    @Param({"dense", "nf4"})
    private String form;

    @Param({"1", "16", "128", "512"})
    private int tokens;

    /** The model with the projection in its first block. */
    @Param("layer")
    private String preset;

    /** In the preset {@code layer} these have the shapes 4096x4096, 11008x4096 and 4096x11008. */
    @Param({"self_attn.q_proj", "mlp.gate_proj", "mlp.down_proj"})
    private String module;

    private Workbench bench;
    private CausalLM base;
    private PeftAdapter adapter;
    private Linear linear;
    private Tensor input;
    private Tensor gradient;

    /** Makes the model, its adapter, the input and the gradient of the output. */
    @Setup(Level.Trial)
    public void setUp() throws IOException {
        bench = Workbench.of(device, type);
        base = RandomModel.of(preset).load(WeightForm.of(form).factory(), bench.placement());
        adapter = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
        linear = Objects.requireNonNull(adapter.attachTo(base).linears().get(BLOCK + module), module);
        try (TensorScope scope = new TensorScope()) {
            adapter.parameters().values().forEach(factor -> factor.set_requires_grad(true));
            input = scope.release(bench.normal(1, tokens, linear.inFeatures()));
            gradient = scope.release(bench.normal(1, tokens, linear.outFeatures()));
        }
    }

    /** Frees them. */
    @TearDown(Level.Trial)
    public void tearDown() {
        input.close();
        gradient.close();
        adapter.close();
        base.close();
    }

    /** The forward pass alone. */
    @Benchmark
    public void forward(Blackhole sink) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            sink.consume(linear.forward(input));
            bench.finish();
        }
    }

    /** Forward and backward; the gradients of the factors add up, as over the micro-batches of a step. */
    @Benchmark
    public void forwardAndBackward(Blackhole sink) {
        try (TensorScope scope = TensorScope.forStep()) {
            Tensor x = input.detach().set_requires_grad(true);
            Workbench.backward(linear.forward(x), gradient);
            sink.consume(x.grad());
            bench.finish();
        }
    }
}
