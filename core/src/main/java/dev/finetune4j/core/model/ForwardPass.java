package dev.finetune4j.core.model;

import dev.finetune4j.core.ActivationCheckpointing;
import dev.finetune4j.core.autograd.Recompute;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.Dropout;
import dev.finetune4j.core.nn.EmbeddingNoise;
import dev.finetune4j.core.nn.KeptMix;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.KvStore;
import dev.finetune4j.core.nn.PackedSequences;
import dev.finetune4j.core.nn.ResidualStream;
import dev.finetune4j.core.nn.RouterBalance;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Runs the embedding, the blocks and the last norm of a decoder over its inputs: padded, packed or behind a cache, with virtual tokens or
 * without. Immutable; whoever calls it holds a use of the model.
 */
final class ForwardPass {
    private final DecoderWeights weights;
    private final ModelView view;
    private final ScalarType type;

    ForwardPass(DecoderWeights weights, ModelView view) {
        this.weights = weights;
        this.view = view;
        this.type = Tensors.typeOf(weights.placement().precision());
    }

    /** As {@link CausalLM#hidden} says, (B, T, D), in the tensor scope that is open. */
    Tensor hidden(ModelInput input, @Nullable RouterBalance balance) {
        if (input instanceof ModelInput.Cached cached) {
            return behind(cached);
        }
        return input instanceof ModelInput.Packed packed
                ? packed(packed, balance)
                : padded((ModelInput.Padded) input, balance);
    }

    /** Puts the virtual tokens, if there are some, into a cache that is empty. */
    void begin(KvCache cache) {
        VirtualTokens virtualTokens = view.virtualTokens();
        if (virtualTokens instanceof VirtualTokens.Prompt prompt) {
            Tensor x = Tensors.as(prompt.embeddings(), type).unsqueeze(0); // (1, n, D)
            long[] length = {cache.lengthWith(prompt.count())};
            run(x, new AttentionMaskSpec(0, prompt.count()), length, null, cache::layer, null);
        } else if (virtualTokens instanceof VirtualTokens.Prefix prefix) {
            VirtualTokens.Layers layers = prefix.layers();
            for (int i = 0; i < weights.config().layers(); i++) {
                KvStore.KeysAndValues first = layers.layer(i);
                cache.layer(i).update(Tensors.as(first.keys(), type), Tensors.as(first.values(), type));
            }
        }
        if (virtualTokens != null) {
            cache.advance(virtualTokens.count());
            cache.fix(virtualTokens instanceof VirtualTokens.Prompt);
        }
    }

    private Tensor behind(ModelInput.Cached input) {
        KvCache cache = input.cache();
        long count = input.tokens().size(1);
        try (Lifetime.Use use = cache.lifetime().use()) {
            cache.requireGoesOn(count);
            Tensor result = run(
                    embed(input.tokens(), null),
                    new AttentionMaskSpec(cache.positions(), count),
                    new long[] {cache.lengthWith(count)},
                    null,
                    cache::layer,
                    null);
            cache.advance(count);
            return result;
        }
    }

    private Tensor packed(ModelInput.Packed input, @Nullable RouterBalance balance) {
        if (view.virtualTokens() != null) {
            throw new IllegalArgumentException("virtual tokens stand before one sequence; packed rows have several."
                    + " Train this method without packing");
        }
        Tensor tokens = input.tokens();
        return run(
                embed(tokens, input.sequences()),
                new AttentionMaskSpec(0, tokens.size(1)),
                new long[] {tokens.size(1)},
                input.sequences(),
                null,
                balance);
    }

    private Tensor padded(ModelInput.Padded input, @Nullable RouterBalance balance) {
        long count = input.tokens().size(1);
        long virtual = view.virtualPositions();
        long[] own = input.lengths() == null ? new long[] {count} : input.lengths();
        long[] lengths = Arrays.stream(own).map(length -> virtual + length).toArray();
        Tensor x = embed(input.tokens(), null);
        if (view.virtualTokens() instanceof VirtualTokens.Prompt prompt) {
            Tensor all = VirtualPositions.before(x, prompt);
            AttentionMaskSpec mask = new AttentionMaskSpec(0, prompt.count() + count);
            Tensor result = run(all, mask, lengths, null, null, balance);
            // Contiguous, as the losses and the projections that flatten it expect.
            return result.narrow(1, prompt.count(), count).contiguous();
        }
        if (view.virtualTokens() instanceof VirtualTokens.Prefix prefix) {
            VirtualTokens.Layers layers = prefix.layers();
            AttentionMaskSpec mask = new AttentionMaskSpec(prefix.count(), count);
            return run(x, mask, lengths, null, i -> VirtualPositions.before(layers.layer(i)), balance);
        }
        return run(x, new AttentionMaskSpec(0, count), lengths, null, null, balance);
    }

    private Tensor embed(Tensor tokens, @Nullable PackedSequences sequences) {
        EmbeddingNoise noise = view.noise();
        Tensor x = Tensors.as(weights.embedding().forward(tokens), type); // (B, T, D)
        return noise == null ? x : noise.apply(x, sequences);
    }

    /** What a layer has before the positions of a pass. */
    @FunctionalInterface
    private interface Past {
        KvStore layer(int index);
    }

    private Tensor run(
            Tensor x,
            AttentionMaskSpec mask,
            long[] lengths,
            @Nullable PackedSequences sequences,
            @Nullable Past past,
            @Nullable RouterBalance balance) {
        ActivationCheckpointing activations = view.activations();
        List<DecoderBlock> blocks = weights.blocks();
        boolean again = past == null && activations.every() > 0 && GradMode.is_enabled();
        LayerInputs contexts = new LayerInputs(
                weights.config(), weights.placement(), weights.rotaries(), mask, lengths, sequences, again);
        Dropout.Draw draw = Dropout.current();
        ResidualStream stream = new ResidualStream(x);
        for (int i = 0; i < blocks.size(); i++) {
            Attention.Context context = contexts.of(i).with(balance);
            DecoderBlock block = blocks.get(i);
            boolean recomputed = again && activations.recomputes(i);
            if (recomputed && i + 1 == blocks.size()) {
                stream = new ResidualStream(block.forwardOfLast(stream.value(), context));
            } else if (recomputed) {
                Attention.Context own = activations.keepsAttention() ? context.keeping(new KeptMix()) : context;
                stream = new ResidualStream(Recompute.apply(
                        stream.value(),
                        input -> block.forward(input, own, null),
                        input -> Dropout.again(draw, () -> block.forwardForGradient(input, own))));
            } else {
                block.forward(stream, context, past == null ? null : past.layer(i));
            }
        }
        Tensor normed = weights.norm().module().forward(stream.value());
        // The logits are linear in it, and it is narrower than they are.
        double scaling = weights.config().logitsScaling();
        return scaling == 1 ? normed : normed.div(new Scalar(scaling));
    }
}
