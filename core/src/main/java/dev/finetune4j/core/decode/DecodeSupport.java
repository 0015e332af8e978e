package dev.finetune4j.core.decode;

import dev.finetune4j.core.kernel.AttentionSpec;
import dev.finetune4j.core.kernel.DecodeKernels;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.FusedGemv;
import dev.finetune4j.core.kernel.NormSpec;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.DenseEmbedding;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.Named;
import dev.finetune4j.core.nn.ProjectionGroup;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.RopeScaling;
import dev.finetune4j.core.nn.RopeSpec;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The step of a model, or why there is none: what the model and its blocks say of themselves, against what the kernels say of
 * themselves.
 *
 * @param step null when something is not supported
 * @param reason what, as the end of a sentence; empty with a step
 */
record DecodeSupport(@Nullable DecodeStep step, String reason) {
    private static DecodeSupport none(String reason) {
        return new DecodeSupport(null, reason);
    }

    /**
     * What a set of kernels makes of a model on its device.
     *
     * @param wanted the set
     * @param elsewhere the reason when the model's device has another one, or none
     */
    static DecodeSupport of(CausalLM model, Class<? extends DecodeKernels> wanted, String elsewhere) {
        ScalarType type = Tensors.typeOf(model.placement().precision());
        if (!DeviceKernels.supports(type)) {
            return none("it computes in " + type);
        }
        return DeviceKernels.of(model.placement().device())
                .decode(type)
                .filter(wanted::isInstance)
                .map(kernels -> of(model, kernels))
                .orElseGet(() -> none(elsewhere));
    }

    private static DecodeSupport of(CausalLM model, DecodeKernels kernels) {
        try (Lifetime.Use use = model.use()) {
            return new DecodeSupport(new DecodeStep(kernels, new Assembly(kernels).parts(model)), "");
        } catch (UnsupportedPartException e) {
            return none(e.reason);
        }
    }

    /** Says which part has no decode kernel. */
    private static final class UnsupportedPartException extends RuntimeException {
        private static final long serialVersionUID = 1;

        private final String reason;

        UnsupportedPartException(String reason) {
            super(reason, null, false, false);
            this.reason = reason;
        }
    }

    /** Puts a step together, part by part, as each part describes itself. */
    private record Assembly(DecodeKernels kernels) {
        DecodeStep.Parts parts(CausalLM model) {
            require(!model.hasVirtualTokens(), "it has virtual tokens");
            require(model.config().finalLogitSoftcapping() == 0, "its logits are soft-capped");
            Tensor embedding = embedding(model);
            RopeSpec rope = rope(model.config());
            List<DecodeStep.Layer> layers = new ArrayList<>();
            for (int i = 0; i < model.blocks().size(); i++) {
                int window = model.config().layerTypes().get(i).window();
                layers.add(layer(model.blocks().get(i), window));
            }
            FusedGemv head = gemv(List.of(new Named<>("lm_head", model.head())));
            return new DecodeStep.Parts(embedding, rope, List.copyOf(layers), norm(model.norm()), head);
        }

        private Tensor embedding(CausalLM model) {
            if (model.embedding() instanceof DenseEmbedding embedding
                    && embedding.scale() == 1
                    && Tensors.typeOf(embedding.weight()) == kernels.type()
                    && embedding.weight().is_contiguous()) {
                return embedding.weight();
            }
            throw new UnsupportedPartException("its embedding is scaled, adapted or of another type");
        }

        /** The one rotary embedding of all layers, by tables that hold for every length. */
        private RopeSpec rope(ModelConfig config) {
            RopeSpec rope = config.layerTypes().get(0).rope();
            require(
                    config.layerTypes().stream().allMatch(type -> type.rope().equals(rope)),
                    "its layers differ in their rotary embedding");
            boolean fixed = !(rope.scaling() instanceof RopeScaling.Dynamic)
                    && !(rope.scaling() instanceof RopeScaling.LongRope);
            require(
                    fixed && rope.channels() == config.attention().headDim(),
                    "its rotary angles change with the length or leave channels out");
            return rope;
        }

        private DecodeStep.Layer layer(DecoderBlock block, int window) {
            require(
                    block.attentionNorms().after() == null && block.mlpNorms().after() == null,
                    "its blocks have norms behind their halves");
            require(block.attention().norms() == null, "its attention has norms on heads");
            FusedGemv gateAndUp = gemv(block.mlp().gateAndUp());
            require(
                    gateAndUp.supports(block.mlp().activation()),
                    "its feed-forward part computes " + block.mlp().activation());
            return new DecodeStep.Layer(
                    norm(block.attentionNorms().before()),
                    gemv(block.attention().inputs()),
                    supported(block.attention().spec(window)),
                    gemv(List.of(block.attention().output())),
                    norm(block.mlpNorms().before()),
                    gateAndUp,
                    gemv(block.mlp().down()));
        }

        private AttentionSpec supported(AttentionSpec attention) {
            refuse(kernels.unsupportedReason(attention));
            return attention;
        }

        private NormSpec norm(Named<RmsNorm> norm) {
            NormSpec spec = norm.module().spec();
            refuse(kernels.unsupportedReason(spec).map(reason -> reason + " (" + norm.name() + ")"));
            return spec;
        }

        private FusedGemv gemv(ProjectionGroup group) {
            require(!group.isStacked(), "its projections are fused");
            return gemv(group.linears());
        }

        private FusedGemv gemv(List<Named<Linear>> linears) {
            ScalarType type = kernels.type();
            FusedGemv products = FusedGemv.of(linears.stream()
                    .map(linear -> linear.module().gemvWeight(type))
                    .collect(Collectors.toCollection(ArrayList::new)));
            if (products == null) {
                String names = linears.stream().map(Named::name).collect(Collectors.joining(", "));
                throw new UnsupportedPartException(names + " have no common GEMV kernel");
            }
            return products;
        }

        private static void require(boolean supported, String reason) {
            if (!supported) {
                throw new UnsupportedPartException(reason);
            }
        }

        private static void refuse(Optional<String> reason) {
            reason.ifPresent(text -> require(false, text));
        }
    }
}
