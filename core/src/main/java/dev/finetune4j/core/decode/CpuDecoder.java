package dev.finetune4j.core.decode;

import dev.finetune4j.core.kernel.CpuDecodeKernels;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Threads;
import java.util.Optional;

/**
 * Decodes one token of a sequence at a time on the CPU, with a dozen calls of kernels of our own for each layer, which read
 * every weight once and work on memory that stays where it is.
 *
 * <p>It shares the cache with {@link CausalLM#hidden}, which takes up prompts. The models that {@link CudaGraphDecoder} supports
 * on a GPU are those that this one supports; {@link #unsupportedReason} says what is in the way of others.
 *
 * <p>It may be used by one thread at a time. It borrows model and cache; once one of them is closed, it refuses to go on.
 */
public final class CpuDecoder extends StepDecoder {
    /**
     * @param model borrowed
     * @param cache of the model, with one sequence; borrowed
     * @throws IllegalArgumentException when the model is not supported
     */
    public CpuDecoder(CausalLM model, KvCache cache) {
        super(model, cache, step(model), 1);
    }

    private static DecodeStep step(CausalLM model) {
        DecodeSupport support = support(model);
        if (support.step() == null) {
            throw new IllegalArgumentException("the model cannot be decoded by the kernels of the CPU: "
                    + support.reason() + "; use CausalLM.hidden");
        }
        return support.step();
    }

    private static DecodeSupport support(CausalLM model) {
        return DecodeSupport.of(
                model,
                CpuDecodeKernels.class,
                "the model is not on a CPU with kernels: this build has none, or they are switched off");
    }

    /** What keeps a model from being decoded this way, as the end of a sentence; empty when nothing does. */
    public static Optional<String> unsupportedReason(CausalLM model) {
        DecodeSupport support = support(model);
        return support.step() != null ? Optional.empty() : Optional.of(support.reason());
    }

    @Override
    void execute() {
        try (Threads.Share share = Threads.share(model.placement().threads())) {
            run();
        }
    }
}
