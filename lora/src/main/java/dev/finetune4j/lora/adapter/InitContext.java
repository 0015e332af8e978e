package dev.finetune4j.lora.adapter;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.WeightSource;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/** What fresh adapters are made from. Closing it closes the checkpoint, if anybody asked for it. */
final class InitContext implements AutoCloseable {
    private final PeftAdapter.Sources sources;
    private final ComputeDevice device;
    private final SplittableRandom random;
    private @Nullable WeightSource originals;

    /** @param device where the adapter lives */
    InitContext(PeftAdapter.Sources sources, ComputeDevice device) {
        this.sources = sources;
        this.device = device;
        this.random = new SplittableRandom(sources.seed());
    }

    /** The numbers depend on its seed alone. */
    SplittableRandom random() {
        return random;
    }

    ComputeDevice device() {
        return device;
    }

    /** The weights before they were quantized, opened when they are asked for first; null when there are none. */
    @Nullable
    WeightSource originals() {
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
