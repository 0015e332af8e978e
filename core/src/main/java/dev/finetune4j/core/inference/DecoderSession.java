package dev.finetune4j.core.inference;

import dev.finetune4j.core.decode.TokenDecoder;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Feeds single tokens and short pieces by a decoder and longer pieces by the model's own forward pass, on the same cache. */
final class DecoderSession implements InferenceSession {
    private final Lifetime lifetime = Lifetime.confined(
            "the inference session is closed",
            "an inference session serves one thread at a time; use one for each sequence");
    private final InferenceSession plain;
    private final KvCache cache;
    private final Supplier<TokenDecoder> decoders;
    private @Nullable TokenDecoder decoder;

    /**
     * @param plain takes longer pieces, and closes the cache
     * @param cache that of {@code plain}
     * @param decoders makes the decoder on the same cache when the first tokens come
     */
    DecoderSession(InferenceSession plain, KvCache cache, Supplier<TokenDecoder> decoders) {
        this.plain = plain;
        this.cache = cache;
        this.decoders = decoders;
    }

    @Override
    public KvCache memory() {
        if (decoder != null) {
            decoder.settle();
        }
        return plain.memory();
    }

    @Override
    public long length() {
        return plain.length();
    }

    @Override
    public void truncate(long newLength) {
        plain.truncate(newLength);
    }

    @Override
    public long alikeIn(long tokens) {
        return plain.alikeIn(tokens);
    }

    @Override
    public long prepare(long tokens) {
        if (decoder != null) {
            // It may be a step ahead, on keys that are forgotten now.
            decoder.settle();
        }
        return plain.prepare(tokens);
    }

    @Override
    public boolean goesOnTo(long tokens) {
        return plain.goesOnTo(tokens);
    }

    @Override
    public float[] feed(int[] ids) {
        try (Lifetime.Use use = lifetime.use()) {
            return fed(ids);
        }
    }

    @Override
    public int feedArgmax(int[] ids) {
        try (Lifetime.Use use = lifetime.use()) {
            if (ids.length > 1 || !isTurnedAlone()) {
                return Sampler.argmax(fed(ids));
            }
            TokenDecoder single = decoder();
            return single.argmaxAfter(ids[0]).orElseGet(() -> Sampler.argmax(Tensors.toFloats(single.logits())));
        }
    }

    private float[] fed(int[] ids) {
        if (ids.length == 1 && isTurnedAlone()) {
            return Tensors.toFloats(decoder().feed(ids[0]));
        }
        if (ids.length == 1 || ids.length > decoder().maxPiece()) {
            return plain.feed(ids);
        }
        try (TensorScope scope = new TensorScope()) {
            return Tensors.toFloats(decoder().feedPiece(ids));
        }
    }

    /** Whether a decoder, which knows of no text that comes in pieces, would turn the next token as the ordinary pass does. */
    private boolean isTurnedAlone() {
        return cache.isTurnedAlone();
    }

    @Override
    public void idle() {
        try (Lifetime.Use use = lifetime.use()) {
            if (decoder != null) {
                decoder.release();
                decoder = null;
            }
        }
    }

    private TokenDecoder decoder() {
        if (decoder == null) {
            decoder = decoders.get();
        }
        return decoder;
    }

    @Override
    public void close() {
        lifetime.close(() -> {
            if (decoder != null) {
                decoder.release();
            }
            plain.close();
        });
    }
}
