package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.kernel.FusedGemv;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.nn.DenseEmbedding;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.RopeScaling;
import dev.finetune4j.core.nn.RopeSpec;
import dev.finetune4j.core.tensor.Lifetime;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The parts of a model in the order of a step. Borrows the model's tensors.
 *
 * @param embedding shape (V, D)
 * @param blocks the layers
 * @param norm weight of the last norm, shape (D)
 * @param head the projection to the vocabulary
 */
record DecodePlan(Tensor embedding, List<Block> blocks, Tensor norm, FusedGemv head) {
    private static final int VECTOR_WIDTH = 8;
    private static final int MAX_HEADS_PER_KEY = 8;
    private static final int MAX_HEAD_SIZE = 256;

    /**
     * One layer.
     *
     * @param attentionNorm weight of the norm before attention, shape (D)
     * @param mlpNorm weight of the norm before the feed-forward part, shape (D)
     */
    record Block(
            Tensor attentionNorm,
            FusedGemv inputs,
            FusedGemv output,
            Tensor mlpNorm,
            FusedGemv gateAndUp,
            FusedGemv down) {}

    /** The plan of a model, or why there is none. */
    record Support(@Nullable DecodePlan plan, String reason) {}

    /** The plan for a GPU. */
    static Support of(CausalLM model) {
        return of(model, ComputeDevice.Kind.CUDA);
    }

    /** The plan for a kind of device. */
    static Support of(CausalLM model, ComputeDevice.Kind kind) {
        try (Lifetime.Use use = model.use()) {
            Optional<String> reason = unsupportedReason(model, kind);
            return reason.isPresent() ? new Support(null, reason.get()) : new Support(assemble(model), "");
        } catch (UnsupportedPartException e) {
            return new Support(null, e.part);
        }
    }

    /** Says which part has no decode kernel. */
    private static final class UnsupportedPartException extends RuntimeException {
        private static final long serialVersionUID = 1;

        private final String part;

        UnsupportedPartException(String part) {
            super(part, null, false, false);
            this.part = part;
        }
    }

    /** What a step reads, in the order in which a decoder begins to use it. */
    static List<Lifetime> used(Lifetime decoder, KvCache cache, CausalLM model) {
        List<Lifetime> used = new ArrayList<>(List.of(decoder, cache.lifetime()));
        used.addAll(model.lifetimes());
        return List.copyOf(used);
    }

    private static Optional<String> unsupportedReason(CausalLM model, ComputeDevice.Kind kind) {
        ModelConfig config = model.config();
        ScalarType type = Tensors.typeOf(model.placement().precision());
        if (model.placement().device().kind() != kind) {
            return Optional.of("the model is not on a " + (kind == ComputeDevice.Kind.CUDA ? "CUDA GPU" : "CPU"));
        }
        if (type != ScalarType.BFloat16 && type != ScalarType.Float) {
            return Optional.of("it computes in " + type);
        }
        if (model.hasVirtualTokens()) {
            return Optional.of("it has virtual tokens");
        }
        if (!(model.embedding() instanceof DenseEmbedding embedding)
                || embedding.scale() != 1
                || Tensors.typeOf(embedding.weight()) != type
                || !embedding.weight().is_contiguous()) {
            return Optional.of("its embedding is scaled, adapted or of another type");
        }
        return unsupportedAttention(config).or(() -> unsupportedRest(config));
    }

    private static Optional<String> unsupportedAttention(ModelConfig config) {
        int size = config.attention().headDim();
        if (config.attention().softCap() != 0 || config.norms().qkNorm()) {
            return Optional.of("its attention has bounded scores or norms on heads");
        }
        if (size % VECTOR_WIDTH != 0 || size > MAX_HEAD_SIZE) {
            return Optional.of("its heads have " + size + " channels");
        }
        if (config.attention().heads() / config.attention().kvHeads() > MAX_HEADS_PER_KEY) {
            return Optional.of("too many query heads share a key head");
        }
        if (config.layerTypes().stream().distinct().count() != 1
                || config.layerTypes().get(0).window() != 0) {
            return Optional.of("its layers differ or see a window only");
        }
        RopeSpec rope = config.layerTypes().get(0).rope();
        boolean fixed =
                !(rope.scaling() instanceof RopeScaling.Dynamic) && !(rope.scaling() instanceof RopeScaling.LongRope);
        return fixed && rope.channels() == size
                ? Optional.empty()
                : Optional.of("its rotary angles change with the length or leave channels out");
    }

    private static Optional<String> unsupportedRest(ModelConfig config) {
        if (config.norms().unitOffset() || config.norms().postNorms() || config.hiddenSize() % VECTOR_WIDTH != 0) {
            return Optional.of("its norms are of another form");
        }
        if (config.activation() != Activation.SILU
                || config.projections().fused()
                || config.finalLogitSoftcapping() != 0) {
            return Optional.of("its feed-forward part, fused projections or soft-capped logits are not supported");
        }
        return Optional.empty();
    }

    private static DecodePlan assemble(CausalLM model) {
        ScalarType type = Tensors.typeOf(model.placement().precision());
        Map<String, Tensor> parameters = model.parameters();
        List<Block> blocks = new ArrayList<>();
        for (int i = 0; i < model.config().layers(); i++) {
            String block = "model.layers." + i;
            String attention = block + ".self_attn.";
            blocks.add(new Block(
                    norm(parameters, block + ".input_layernorm", type),
                    products(model, type, attention + "q_proj", attention + "k_proj", attention + "v_proj"),
                    products(model, type, attention + "o_proj"),
                    norm(parameters, block + ".post_attention_layernorm", type),
                    products(model, type, block + ".mlp.gate_proj", block + ".mlp.up_proj"),
                    products(model, type, block + ".mlp.down_proj")));
        }
        FusedGemv head = fused(List.of(model.head()), type);
        if (head == null) {
            throw new UnsupportedPartException("lm_head has no GEMV kernel");
        }
        DenseEmbedding embedding = (DenseEmbedding) model.embedding();
        return new DecodePlan(embedding.weight(), blocks, norm(parameters, "model.norm", type), head);
    }

    private static Tensor norm(Map<String, Tensor> parameters, String name, ScalarType type) {
        Tensor weight = parameters.get(name + ".weight");
        if (weight == null || Tensors.typeOf(weight) != type) {
            throw new UnsupportedPartException(name + " is of another type than the activations");
        }
        return weight;
    }

    private static FusedGemv products(CausalLM model, ScalarType type, String... names) {
        List<Linear> linears = Arrays.stream(names)
                .map(name -> Objects.requireNonNull(model.linears().get(name), name))
                .toList();
        FusedGemv products = fused(linears, type);
        if (products == null) {
            throw new UnsupportedPartException(String.join(", ", names) + " have no common GEMV kernel");
        }
        return products;
    }

    private static @Nullable FusedGemv fused(List<Linear> linears, ScalarType type) {
        return FusedGemv.of(
                linears.stream().map(linear -> linear.gemvWeight(type)).toList(), type);
    }

    /** The most numbers of a row that the narrow products of one group take. */
    int widestRank() {
        int rank = head.rank();
        for (Block block : blocks) {
            rank = Math.max(rank, Math.max(block.inputs().rank(), block.output().rank()));
            rank = Math.max(
                    rank, Math.max(block.gateAndUp().rank(), block.down().rank()));
        }
        return rank;
    }
}
