package dev.finetune4j.core.model;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The numbers that define a decoder, as values: what differs between families is a value here, never a test on a model's
 * name. Names follow Hugging Face's config.json.
 *
 * @param modelType {@code model_type} of config.json
 * @param hiddenSize width of the residual stream, D
 * @param intermediateSize inner width of the feed-forward part
 * @param vocabSize rows of the embedding, V
 * @param maxPositions longest sequence that the model was made for, in tokens
 * @param attention heads and scores
 * @param layerTypes what differs from layer to layer, one for each layer ({@code layer_types})
 * @param activation of the feed-forward part
 * @param norms form of the norms
 * @param projections which linears there are and which of them have biases
 * @param embeddingScale factor on the embedding's rows
 * @param finalLogitSoftcapping logit soft-capping: {@code cap · tanh(logits / cap)}; 0 for none
 * @param residualMultiplier factor on what each half of a block adds to the residual stream
 * @param logitsScaling divisor of the logits
 */
public record ModelConfig(
        String modelType,
        int hiddenSize,
        int intermediateSize,
        int vocabSize,
        int maxPositions,
        Attention.Shape attention,
        List<LayerType> layerTypes,
        Activation activation,
        Norms norms,
        Projections projections,
        double embeddingScale,
        double finalLogitSoftcapping,
        double residualMultiplier,
        double logitsScaling) {
    /**
     * What may differ between layers.
     *
     * @param rope rotary frequencies
     * @param window how many positions a token sees, itself included; 0 for all
     * @param experts of its feed-forward part; null where that is dense
     */
    public record LayerType(
            RopeSpec rope, int window, @Nullable Experts experts) {
        /** A layer with a dense feed-forward part. */
        public LayerType(RopeSpec rope, int window) {
            this(rope, window, null);
        }
    }

    /**
     * The experts of a sparse feed-forward part.
     *
     * @param count how many there are
     * @param active how many a token passes
     * @param innerSize inner width of each
     * @param normalised whether the shares of a token's experts sum to one ({@code norm_topk_prob})
     * @param sharedSize inner width of the one that all tokens pass besides; 0 for none
     * @param lossFactor of the router's load-balancing loss ({@code router_aux_loss_coef}); 0 where it is not trained with it
     * @param names of the modules
     */
    public record Experts(
            int count,
            int active,
            int innerSize,
            boolean normalised,
            int sharedSize,
            double lossFactor,
            ExpertNames names) {}

    /**
     * The module names of experts.
     *
     * @param part of the feed-forward part within a block
     * @param gate within an expert
     * @param up within an expert
     * @param down within an expert
     */
    public record ExpertNames(String part, String gate, String up, String down) {
        /** Those of Qwen and most others. */
        public static final ExpertNames PROJECTIONS = new ExpertNames("mlp", "gate_proj", "up_proj", "down_proj");

        /** Those of Mixtral. */
        public static final ExpertNames NUMBERED = new ExpertNames("block_sparse_moe", "w1", "w3", "w2");
    }

    /**
     * The norms of a decoder.
     *
     * @param epsilon added to the mean square
     * @param unitOffset whether the factor is one plus the weight (unit offset)
     * @param centered whether they are layer norms
     * @param bias whether those of the residual stream have biases, as only layer norms can; those of heads have none
     * @param block those around the halves of a block
     * @param heads those of queries and keys
     */
    public record Norms(
            double epsilon, boolean unitOffset, boolean centered, boolean bias, BlockNorms block, HeadNorms heads) {}

    /**
     * Where a block has norms, by their names within it; null where there is none.
     *
     * @param beforeAttention of what goes into the first half
     * @param afterAttention of what comes out of it, before it is added
     * @param beforeMlp of what goes into the second half
     * @param afterMlp of what comes out of it, before it is added
     * @param parallel whether both halves take what the norm before the first one gives
     */
    public record BlockNorms(
            @Nullable String beforeAttention,
            @Nullable String afterAttention,
            @Nullable String beforeMlp,
            @Nullable String afterMlp,
            boolean parallel) {
        /** Halves one after the other. */
        public BlockNorms(
                @Nullable String beforeAttention,
                @Nullable String afterAttention,
                @Nullable String beforeMlp,
                @Nullable String afterMlp) {
            this(beforeAttention, afterAttention, beforeMlp, afterMlp, false);
        }

        /** Llama's and most others'. */
        public static final BlockNorms BEFORE =
                new BlockNorms("input_layernorm", null, "post_attention_layernorm", null);

        /** Parallel halves, which one norm serves. */
        public static final BlockNorms SHARED = new BlockNorms("input_layernorm", null, null, null, true);

        /** Sandwich norms as Gemma names them. */
        public static final BlockNorms AROUND = new BlockNorms(
                "input_layernorm",
                "post_attention_layernorm",
                "pre_feedforward_layernorm",
                "post_feedforward_layernorm");

        /** The names in the order of computation. */
        List<String> names() {
            return Stream.of(beforeAttention, afterAttention, beforeMlp, afterMlp)
                    .flatMap(Stream::ofNullable)
                    .toList();
        }
    }

    /** How queries and keys are normalised before they are turned. */
    public enum HeadNorms {
        /** They are not. */
        NONE,
        /** Each head alone, with a weight that all share. */
        EACH_HEAD,
        /** Each head alone, with a weight of its own. */
        OWN_WEIGHTS,
        /** The same, by a module of its own each. */
        OWN_MODULES,
        /** All heads together, with a number for each of their channels. */
        ALL_HEADS
    }

    /**
     * The linears of a decoder.
     *
     * @param fusedQkv whether queries, keys and values share one weight
     * @param mlp those of a dense feed-forward part
     * @param qkvBias whether the projections to queries, keys and values have biases
     * @param outputBias whether attention's output projection has one
     * @param mlpBias whether the feed-forward projections have biases
     * @param tiedHead whether the vocabulary projection shares the embedding's weight
     */
    public record Projections(
            boolean fusedQkv, Mlp mlp, boolean qkvBias, boolean outputBias, boolean mlpBias, boolean tiedHead) {}

    /**
     * The linears of a dense feed-forward part, by their names within it.
     *
     * @param gated whether it is {@code output(act(gate) · up)}, not {@code output(act(input))}
     * @param inputs of the input: gate and up, one that is both, or the only one without a gate
     * @param output of the result
     */
    public record Mlp(boolean gated, List<String> inputs, String output) {
        /** Llama's and most others'. */
        public static final Mlp GATE_AND_UP = new Mlp(true, List.of("gate_proj", "up_proj"), "down_proj");

        /** Gate and up share one weight. */
        public static final Mlp FUSED = new Mlp(true, List.of("gate_up_proj"), "down_proj");

        public Mlp {
            inputs = List.copyOf(inputs);
            if (inputs.isEmpty() || inputs.size() > (gated ? 2 : 1)) {
                throw new IllegalArgumentException(inputs + " are not the inputs of a feed-forward part");
            }
        }

        /** Whether gate and up share one weight. */
        public boolean isFused() {
            return gated && inputs.size() == 1;
        }
    }

    public ModelConfig {
        layerTypes = List.copyOf(layerTypes);
        if (hiddenSize < 1 || layerTypes.isEmpty() || intermediateSize < 1 || vocabSize < 1 || maxPositions < 1) {
            throw new IllegalArgumentException("every size of a model must be at least 1");
        }
        if (attention.kvHeads() < 1 || attention.heads() % attention.kvHeads() != 0) {
            throw new IllegalArgumentException("num_key_value_heads (" + attention.kvHeads()
                    + ") must divide num_attention_heads (" + attention.heads() + ")");
        }
        if (attention.headDim() < 2 || attention.headDim() % 2 != 0) {
            throw new IllegalArgumentException("head_dim must be even and at least 2, but is " + attention.headDim());
        }
    }

    /** The same model with a vocabulary projection that shares the embedding's weight, or one with its own. */
    ModelConfig withTiedHead(boolean tied) {
        Projections changed = new Projections(
                projections.fusedQkv,
                projections.mlp,
                projections.qkvBias,
                projections.outputBias,
                projections.mlpBias,
                tied);
        return new ModelConfig(
                modelType,
                hiddenSize,
                intermediateSize,
                vocabSize,
                maxPositions,
                attention,
                layerTypes,
                activation,
                norms,
                changed,
                embeddingScale,
                finalLogitSoftcapping,
                residualMultiplier,
                logitsScaling);
    }

    /** A model with a few of the blocks, one of each type and at least two, and a vocabulary of at most so many tokens. */
    ModelConfig miniature(int vocabulary) {
        List<LayerType> types = layerTypes.stream().distinct().toList();
        return new ModelConfig(
                modelType,
                hiddenSize,
                intermediateSize,
                Math.min(vocabulary, vocabSize),
                maxPositions,
                attention,
                types.size() > 1 ? types : List.of(types.get(0), types.get(0)),
                activation,
                norms,
                projections,
                embeddingScale,
                finalLogitSoftcapping,
                residualMultiplier,
                logitsScaling);
    }

    /** Number of decoder blocks. */
    public int layers() {
        return layerTypes.size();
    }
}
