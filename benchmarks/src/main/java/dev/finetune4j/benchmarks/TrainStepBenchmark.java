package dev.finetune4j.benchmarks;

import java.io.IOException;
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
 * A whole training step through the {@code Trainer}: forward, backward, clipping, optimizer, report. The base is dense or in 4
 * bits, LoRA of rank 16 sits on all its linears.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 3, time = 2)
@Fork(1)
public class TrainStepBenchmark {
    @Param("cpu")
    private String device;

    @Param({"bf16", "fp32"})
    private String type;

    @Param({"dense", "nf4"})
    private String form;

    @Param("0.5b-32k")
    private String preset;

    @Param("1")
    private int batch;

    @Param("256")
    private int tokens;

    /** {@code none}: each block keeps what its backward pass needs; {@code full}: each computes again. */
    @Param("none")
    private String checkpointing;

    private SteppedTraining training;

    /** Makes the model and goes to the first step. */
    @Setup(Level.Trial)
    public void setUp() throws IOException {
        training = new SteppedTraining(
                RandomModel.of(preset),
                WeightForm.of(form),
                Workbench.of(device, type).placement(),
                new SteppedTraining.Size(batch, tokens),
                switch (checkpointing) {
                    case "none" -> false;
                    case "full" -> true;
                    default ->
                        throw new IllegalArgumentException(
                                "the parameter checkpointing is none or full, not " + checkpointing);
                });
    }

    /** Ends the training and frees the model. */
    @TearDown(Level.Trial)
    public void tearDown() throws InterruptedException {
        training.close();
    }

    /** One step. */
    @Benchmark
    public double step() throws InterruptedException {
        return training.step();
    }
}
