package dev.finetune4j.lora.adapter.layer;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.WeightSource;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/** What fresh adapters are made from. Closing it closes the checkpoint, if anybody asked for it. */
public final class InitContext implements AutoCloseable {
    private final InitSources sources;
    private final ComputeDevice device;
    private final SplittableRandom random;
    private @Nullable WeightSource originals;

    /** @param device where the adapter lives */
    public InitContext(InitSources sources, ComputeDevice device) {
        this.sources = sources;
        this.device = device;
        this.random = new SplittableRandom(sources.seed());
    }

    /** The numbers depend on its seed alone. */
    public SplittableRandom random() {
        return random;
    }

    public ComputeDevice device() {
        return device;
    }

    /** The weights before they were quantized, opened when they are asked for first; null when there are none. */
    @Nullable
    public WeightSource originals() {
        if (originals == null && sources.originals() != null) {
            originals = sources.originals().get();
        }
        return originals;
    }

    @Override
    public void close() {
        if (originals != null) {
            originals.close();
        }
    }
}
