package dev.finetune4j.core.model;

import dev.finetune4j.core.io.ModelDirectory;
import dev.finetune4j.core.nn.Attention;
import dev.finetune4j.core.nn.DecoderBlock;
import dev.finetune4j.core.nn.GatedMlp;
import dev.finetune4j.core.nn.RmsNorm;
import dev.finetune4j.core.nn.RotaryEmbedding;
import java.util.ArrayList;
import java.util.List;

/**
 * Llama and the models that share its code in transformers, such as Yi
 * (<a href="https://arxiv.org/abs/2302.13971">Touvron et al. 2023</a>).
 */
final class LlamaFamily implements ModelFamily {
    @Override
    public List<String> modelTypes() {
        return List.of("llama");
    }

    @Override
    public ModelConfig readConfig(ModelDirectory directory) {
        ConfigReader reader = new ConfigReader(directory.folder().resolve("config.json"), directory.config());
        reader.requireText("hidden_act", "silu");
        int hidden = reader.size("hidden_size");
        int layers = reader.size("num_hidden_layers");
        int heads = reader.size("num_attention_heads");
        int kvHeads = reader.size("num_key_value_heads", heads);
        int headDim = reader.size("head_dim", Math.max(1, hidden / heads));
        int intermediate = reader.size("intermediate_size");
        int vocabulary = reader.size("vocab_size");
        int positions = reader.size("max_position_embeddings", 2048);
        double epsilon = reader.number("rms_norm_eps", 1e-6);
        double theta = reader.ropeTheta();
        boolean tied = reader.flag("tie_word_embeddings", false);
        boolean attentionBias = reader.flag("attention_bias", false);
        boolean mlpBias = reader.flag("mlp_bias", false);
        if (heads % kvHeads != 0) {
            reader.problem(
                    "\"num_key_value_heads\" (" + kvHeads + ") must divide \"num_attention_heads\" (" + heads + ")");
        }
        if (headDim % 2 != 0) {
            reader.problem("\"head_dim\" must be even, but is " + headDim);
        }
        reader.finish();
        return new ModelConfig(
                "llama",
                hidden,
                layers,
                heads,
                kvHeads,
                headDim,
                intermediate,
                vocabulary,
                positions,
                epsilon,
                theta,
                tied,
                attentionBias,
                mlpBias);
    }

    @Override
    public ModelLayout layout(ModelConfig config) {
        ModelLayout layout = ModelLayout.empty();
        long hidden = config.hiddenSize();
        long queries = (long) config.heads() * config.headDim();
        long keys = (long) config.kvHeads() * config.headDim();
        layout.tensor("model.embed_tokens.weight", config.vocabSize(), hidden);
        for (int i = 0; i < config.layers(); i++) {
            String block = "model.layers." + i;
            layout.tensor(block + ".input_layernorm.weight", hidden);
            layout.linear(block + ".self_attn.q_proj", hidden, queries, config.attentionBias());
            layout.linear(block + ".self_attn.k_proj", hidden, keys, config.attentionBias());
            layout.linear(block + ".self_attn.v_proj", hidden, keys, config.attentionBias());
            layout.linear(block + ".self_attn.o_proj", queries, hidden, config.attentionBias());
            layout.tensor(block + ".post_attention_layernorm.weight", hidden);
            layout.linear(block + ".mlp.gate_proj", hidden, config.intermediateSize(), config.mlpBias());
            layout.linear(block + ".mlp.up_proj", hidden, config.intermediateSize(), config.mlpBias());
            layout.linear(block + ".mlp.down_proj", config.intermediateSize(), hidden, config.mlpBias());
            layout.ignored().add(block + ".self_attn.rotary_emb.inv_freq");
        }
        layout.tensor("model.norm.weight", hidden);
        if (config.tiedHead()) {
            layout.ignored().add("lm_head.weight");
        } else {
            layout.outputHead("lm_head", hidden, config.vocabSize());
        }
        return layout;
    }

    @Override
    public CausalLM build(ModelConfig config, ModelParts parts) {
        RotaryEmbedding rotary = new RotaryEmbedding(
                config.headDim(), config.ropeTheta(), parts.placement().device());
        var embedding = parts.tensor("model.embed_tokens.weight");
        List<DecoderBlock> blocks = new ArrayList<>();
        for (int i = 0; i < config.layers(); i++) {
            blocks.add(block("model.layers." + i, config, parts));
        }
        RmsNorm norm = new RmsNorm(parts.tensor("model.norm.weight"), config.rmsNormEpsilon());
        return config.tiedHead()
                ? CausalLM.withTiedHead(config, parts, embedding, rotary, blocks, norm)
                : CausalLM.withHead(config, parts, embedding, rotary, blocks, norm, parts.linear("lm_head"));
    }

    private static DecoderBlock block(String name, ModelConfig config, ModelParts parts) {
        Attention attention = new Attention(
                name + ".self_attn",
                config.heads(),
                config.kvHeads(),
                config.headDim(),
                parts.linear(name + ".self_attn.q_proj"),
                parts.linear(name + ".self_attn.k_proj"),
                parts.linear(name + ".self_attn.v_proj"),
                parts.linear(name + ".self_attn.o_proj"));
        GatedMlp mlp = new GatedMlp(
                name + ".mlp",
                parts.linear(name + ".mlp.gate_proj"),
                parts.linear(name + ".mlp.up_proj"),
                parts.linear(name + ".mlp.down_proj"));
        return new DecoderBlock(
                name,
                new RmsNorm(parts.tensor(name + ".input_layernorm.weight"), config.rmsNormEpsilon()),
                attention,
                new RmsNorm(parts.tensor(name + ".post_attention_layernorm.weight"), config.rmsNormEpsilon()),
                mlp);
    }
}
