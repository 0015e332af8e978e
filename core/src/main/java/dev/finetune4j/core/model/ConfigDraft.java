package dev.finetune4j.core.model;

import dev.finetune4j.core.kernel.Activation;
import dev.finetune4j.core.model.ModelConfig.BlockNorms;
import dev.finetune4j.core.model.ModelConfig.HeadNorms;
import dev.finetune4j.core.model.ModelConfig.LayerType;
import dev.finetune4j.core.model.ModelConfig.Mlp;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.RopeSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;

/**
 * A {@link ModelConfig} in the making: the sizes that every decoder's config.json has, and the plain form of everything
 * else until a family says what is different.
 */
final class ConfigDraft {
    private static final String KV_HEADS = "num_key_value_heads";

    final ConfigReader reader;
    final int hidden;
    final int layers;
    final int heads;
    int kvHeads;
    int headDim;
    int window;
    double queryScalar;
    double attentionScale;
    double attnLogitSoftcapping;
    double finalLogitSoftcapping;
    double embeddingScale = 1;
    double residualMultiplier = 1;
    double logitsScaling = 1;
    boolean fusedQkv;
    Mlp mlp = Mlp.GATE_AND_UP;
    /** The part of a head's channels that turns when the file says nothing; 0 where models of the family turn all. */
    double partialRope;

    boolean interleavedRope;
    /** As Phi-3's files say it: "yarn" is LongRoPE, and there is a number of original positions when they give none. */
    boolean phi3Rope;

    boolean qkvBias;
    boolean outputBias;
    boolean mlpBias;
    boolean tiedHead;
    boolean unitOffset;
    boolean centeredNorms;
    boolean normBias;
    String epsilonKey = "rms_norm_eps";
    BlockNorms blockNorms = BlockNorms.BEFORE;
    HeadNorms headNorms = HeadNorms.NONE;
    boolean exactGelu = true;
    String activationKey = "hidden_act";
    String activationDefault = "silu";
    double epsilonDefault = 1e-6;
    double ropeThetaDefault = 10_000;
    int positionsDefault = 2048;

    ConfigDraft(ConfigReader reader) {
        this.reader = reader;
        this.hidden = reader.size("hidden_size");
        this.layers = reader.size("num_hidden_layers");
        this.heads = reader.size("num_attention_heads");
        this.kvHeads = reader.size(KV_HEADS, heads);
        this.headDim = reader.size("head_dim", Math.max(1, hidden / heads));
        this.tiedHead = reader.flag("tie_word_embeddings", false);
    }

    /** How many key heads there are where the file does not say so; null in it means as many as there are query heads. */
    void kvHeads(int whenAbsent) {
        kvHeads = reader.size(KV_HEADS, reader.isNull(KV_HEADS) ? heads : whenAbsent);
    }

    /** The position limit, which some kinds of rotary scaling need before {@link #finish}. */
    int positions() {
        return reader.size("max_position_embeddings", positionsDefault);
    }

    /** The same rotary embedding and window in every layer. */
    ModelConfig finish() {
        RopeSpec rope = new RopeReader(this).read(ropeThetaDefault);
        return finish(layer -> new LayerType(rope, window));
    }

    /** Checks what was read and throws if anything was wrong. */
    ModelConfig finish(IntFunction<LayerType> kind) {
        if (heads % kvHeads != 0) {
            reader.problem(
                    "\"num_key_value_heads\" (" + kvHeads + ") must divide \"num_attention_heads\" (" + heads + ")");
        }
        if ((long) heads * headDim > SizeLimits.HEADS_WIDTH) {
            reader.problem("\"num_attention_heads\" (" + heads + ") times \"head_dim\" (" + headDim
                    + ") is more than the limit of " + SizeLimits.HEADS_WIDTH);
        }
        if (headDim % 2 != 0) {
            reader.problem("\"head_dim\" must be even, but is " + headDim);
        }
        reader.passOverDropout("attention_dropout");
        if (!reader.flag("is_causal", true)) {
            reader.problem("\"is_causal\" is false, but only causal attention is supported");
        }
        double scale = attentionScale > 0 ? attentionScale : 1 / Math.sqrt(queryScalar > 0 ? queryScalar : headDim);
        int intermediate = reader.size("intermediate_size");
        int vocabulary = reader.size("vocab_size");
        double epsilon = reader.epsilon(epsilonKey, epsilonDefault);
        Activation activation = reader.activation(activationKey, activationDefault);
        if (activation == Activation.GELU && !exactGelu) {
            activation = Activation.GELU_TANH;
        }
        int positions = positions();
        List<LayerType> kinds = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            kinds.add(kind.apply(i));
        }
        LayerTypes.requireAgreement(reader, kinds, positions);
        reader.finish();
        return new ModelConfig(
                reader.text("model_type", ""),
                hidden,
                intermediate,
                vocabulary,
                positions,
                new Attention.Shape(heads, kvHeads, headDim, scale, attnLogitSoftcapping),
                kinds,
                activation,
                new ModelConfig.Norms(epsilon, unitOffset, centeredNorms, normBias, blockNorms, headNorms),
                new ModelConfig.Projections(fusedQkv, mlp, qkvBias, outputBias, mlpBias, tiedHead),
                embeddingScale,
                finalLogitSoftcapping,
                residualMultiplier,
                logitsScaling);
    }
}
