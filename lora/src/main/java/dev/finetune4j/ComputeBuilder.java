package dev.finetune4j;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.message.SetOnce;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.lora.parallel.DataParallel;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Collects what is chosen of where and how it is computed, and builds the {@link FineTuning.Compute}. Not thread-safe. */
final class ComputeBuilder {
    private final SetOnce once;
    private final List<String> problems = new ArrayList<>();
    private @Nullable ComputeDevice device;
    private @Nullable Precision precision;
    private @Nullable DataParallel parallel;
    private @Nullable ActivationCheckpointing activationCheckpointing;
    private int threads;
    private boolean keepsDequantized;
    private boolean ignoresMemoryPlan;

    /** @param once the builder's calls so far */
    ComputeBuilder(SetOnce once) {
        this.once = once;
    }

    void device(ComputeDevice chosen) {
        device = once.set("device", chosen);
    }

    void precision(Precision chosen) {
        precision = once.set("precision", chosen);
    }

    void dataParallel(DataParallel processes) {
        parallel = once.set("dataParallel", processes);
    }

    void activationCheckpointing(ActivationCheckpointing policy) {
        activationCheckpointing = once.set("activationCheckpointing", policy);
    }

    void threads(int number) {
        threads = once.set("threads", number);
        if (number < 1) {
            problems.add("threads must be at least 1, but was " + number);
        }
    }

    void keepDequantized() {
        keepsDequantized = true;
    }

    void ignoreMemoryPlan() {
        ignoresMemoryPlan = true;
    }

    /** Computes as an earlier training did, on its device unless another was chosen. */
    void repeat(RunRecord.Compute then) {
        precision(then.precision());
        threads(then.threads());
        activationCheckpointing(then.activationCheckpointing());
        if (device == null) {
            device(then.device());
        }
    }

    boolean isDeviceChosen() {
        return device != null;
    }

    boolean isPrecisionChosen() {
        return precision != null;
    }

    boolean keepsDequantized() {
        return keepsDequantized;
    }

    /**
     * How it is computed.
     *
     * @param loaded where the base is, if it is loaded already; else null
     * @param found takes what cannot work
     */
    FineTuning.Compute build(@Nullable Placement loaded, SettingsProblems found) {
        found.addAll(problems);
        return new FineTuning.Compute(
                loaded == null ? device : loaded.device(),
                loaded == null ? precision : loaded.precision(),
                threads,
                activationCheckpointing,
                keepsDequantized,
                new MemoryCheck(ignoresMemoryPlan),
                parallel);
    }
}
