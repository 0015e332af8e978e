package dev.finetune4j.core.decode;

import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.tensor.Lifetime;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import org.jspecify.annotations.Nullable;

/**
 * Decoders whose text has ended. What they have captured serves the next text of the same model, so that it begins without a
 * capture. Those of the last few texts are kept; one is closed with its model. Thread-safe.
 */
final class IdleDecoders {
    private static final int MAX_IDLE = 4;

    /** The last one first. */
    private static final Deque<CudaGraphDecoder> IDLE = new ArrayDeque<>();

    private IdleDecoders() {}

    /** One for single sequences of the model, which is the caller's from now on; null when there is none. */
    static synchronized @Nullable CudaGraphDecoder take(CausalLM model) {
        for (Iterator<CudaGraphDecoder> all = IDLE.iterator(); all.hasNext(); ) {
            CudaGraphDecoder decoder = all.next();
            if (decoder.isClosed()) {
                all.remove();
            } else if (decoder.model == model) {
                all.remove();
                detach(decoder);
                return decoder;
            }
        }
        return null;
    }

    /** Keeps a decoder that nobody uses any more. */
    static void give(CudaGraphDecoder decoder) {
        for (Lifetime lifetime : decoder.model.lifetimes()) {
            if (!lifetime.attach(decoder)) {
                detach(decoder);
                decoder.close();
                return;
            }
        }
        CudaGraphDecoder oldest = keep(decoder);
        if (oldest != null) {
            detach(oldest);
            oldest.close();
        }
    }

    private static void detach(CudaGraphDecoder decoder) {
        decoder.model.lifetimes().forEach(lifetime -> lifetime.detach(decoder));
    }

    private static synchronized @Nullable CudaGraphDecoder keep(CudaGraphDecoder decoder) {
        IDLE.removeIf(CudaGraphDecoder::isClosed);
        IDLE.addFirst(decoder);
        return IDLE.size() > MAX_IDLE ? IDLE.removeLast() : null;
    }
}
