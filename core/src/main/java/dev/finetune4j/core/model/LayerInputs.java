package dev.finetune4j.core.model;

import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.PackedSequences;
import dev.finetune4j.core.nn.RopeSpec;
import dev.finetune4j.core.nn.RotaryEmbedding;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.HashMap;
import java.util.Map;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** What the layers of one pass share, made once for each kind of layer. Confined to the thread of the pass. */
final class LayerInputs {
    private final ModelConfig config;
    private final Placement placement;
    private final Map<RopeSpec, RotaryEmbedding> rotaries;
    private final AttentionMaskSpec mask;
    private final long[] lengths;
    private final @Nullable PackedSequences packed;
    private final boolean untilBackward;
    private final Map<LayerType, Attention.Context> made = new HashMap<>();

    /**
     * @param mask of rows that are one sequence each
     * @param lengths of the sequence in each row, or of those in all of them; one may end before the row does or go on behind it
     * @param packed the sequences of a packed row, which lie there until the backward pass is through; null for one sequence
     * @param untilBackward whether its tensors are needed until the backward pass has run, because blocks compute again there
     */
    LayerInputs(
            ModelConfig config,
            Placement placement,
            Map<RopeSpec, RotaryEmbedding> rotaries,
            AttentionMaskSpec mask,
            long[] lengths,
            @Nullable PackedSequences packed,
            boolean untilBackward) {
        this.config = config;
        this.placement = placement;
        this.rotaries = rotaries;
        this.mask = mask;
        this.lengths = lengths;
        this.packed = packed;
        this.untilBackward = untilBackward;
    }

    /** That of a layer, counted from 0. */
    Attention.Context of(int layer) {
        return made.computeIfAbsent(
                config.layerTypes().get(layer), kind -> untilBackward ? makeForStep(kind) : make(kind));
    }

    private Attention.Context makeForStep(LayerType kind) {
        try (TensorScope scope = new TensorScope()) {
            Attention.Context context = make(kind);
            scope.keepForStep(context.angles().cos());
            scope.keepForStep(context.angles().sin());
            if (context.mask() != null) {
                scope.keepForStep(context.mask());
            }
            return context;
        }
    }

    private Attention.Context make(LayerType kind) {
        ScalarType type = Tensors.typeOf(placement.precision());
        RotaryEmbedding rotary = rotaries.get(kind.rope());
        if (rotary == null) {
            throw new AssertionError("no rotary embedding for " + kind);
        }
        boolean known = mask.past() == 0 && Attention.knowsWindows(placement.device(), type, config.attention());
        if (packed == null) {
            return new Attention.Context(
                    rotary.angles(mask.past(), mask.count(), lengths, type),
                    known ? null : mask.mask(placement.device(), kind.window()),
                    null,
                    kind.window());
        }
        // What a window hides is the same in each sequence.
        return new Attention.Context(
                rotary.angles(packed, type),
                known ? null : new AttentionMaskSpec(0, packed.longest()).mask(placement.device(), kind.window()),
                packed,
                kind.window());
    }
}
