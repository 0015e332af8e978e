package dev.finetune4j.benchmarks;

import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.inference.InferenceSession;
import dev.finetune4j.core.inference.Sampler;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import java.io.IOException;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
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

/**
 * One more token of a text, as a chat generates it: the model's pass over one token, the logits to Java, the choice of the
 * likeliest. The text begins again at the prompt after as many new tokens as the prompt has.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 2)
@Fork(1)
public class DecodeBenchmark {
    @Param("cpu")
    private String device;

    @Param({"bf16", "fp32"})
    private String type;

    @Param({"dense", "nf4"})
    private String form;

    @Param("0.5b-32k")
    private String preset;

    /** Whether LoRA of rank 16 sits on all linears. */
    @Param("false")
    private boolean adapter;

    /** Tokens before the first new one. */
    @Param("64")
    private int prompt;

    private CausalLM base;
    private PeftAdapter lora;
    private InferenceSession text;
    private Sampler sampler;
    private int[] ids;

    /** Makes the model and takes up the prompt. */
    @Setup(Level.Trial)
    public void setUp() throws IOException {
        RandomModel shape = RandomModel.of(preset);
        Workbench bench = Workbench.of(device, type);
        base = shape.load(WeightForm.of(form).factory(), bench.placement());
        lora = AdapterKinds.create(base, LoraSettings.defaults(), InitSources.seed(1));
        text = InferenceSession.of(adapter ? lora.attachTo(base) : base);
        sampler = new Sampler(GenerationSettings.greedy());
        ids = new SplittableRandom(7).ints(2L * prompt, 0, shape.vocabulary).toArray();
        text.feed(Arrays.copyOf(ids, prompt));
    }

    /** Frees all. */
    @TearDown(Level.Trial)
    public void tearDown() {
        text.close();
        lora.close();
        base.close();
    }

    /** One token. */
    @Benchmark
    public int token() {
        int length = (int) text.length();
        if (length + 1 == ids.length) {
            text.truncate(prompt);
            length = prompt;
        }
        float[] logits = text.feed(new int[] {ids[length]});
        int chosen = sampler.next(logits, ids, length + 1);
        ids[length + 1] = chosen;
        return chosen;
    }
}
