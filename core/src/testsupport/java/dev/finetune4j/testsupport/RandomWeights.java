package dev.finetune4j.testsupport;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.Dtype;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Weights of small decoders, the same at each run. The inputs of their linears have widths for each way in which the 4-bit kernels
 * for few rows go: multiples of 256, of 64, of 32 and of 8 only.
 */
public final class RandomWeights implements WeightSource {
    private static final int LAYERS = 3;
    private static final int HEAD_SIZE = 24;
    private static final int VOCABULARY = 300;
    private static final int EXPERTS = 12;
    private static final int EXPERT_SIZE = 64;
    private static final int SHARED_SIZE = 192;

    /**
     * Decoders that differ in what a step needs of them.
     *
     * <p>The windows are shorter than the texts of tests, and the frequencies of the rotary embedding change within them.
     */
    public enum Family {
        LLAMA("llama", 256, 352, 8, 2, "\"hidden_act\": \"silu\""),
        QWEN2("qwen2", 256, 352, 8, 2, "\"hidden_act\": \"silu\""),
        QWEN3("qwen3", 256, 352, 8, 2, "\"attention_bias\": true"),
        GEMMA("gemma", 264, 360, 4, 1, "\"hidden_act\": \"gelu_pytorch_tanh\""),
        GEMMA2("gemma2", 256, 352, 8, 4, """
                "sliding_window": 5, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0,
                "query_pre_attn_scalar": 24"""),
        GEMMA3("gemma3_text", 256, 352, 8, 2, """
                "sliding_window": 5, "sliding_window_pattern": 2, "rope_local_base_freq": 100,
                "query_pre_attn_scalar": 24"""),
        PHI3("phi3", 256, 352, 8, 8, """
                "partial_rotary_factor": 0.5, "original_max_position_embeddings": 16, "pad_token_id": 0,
                "rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1.5, 2, 2],
                                 "long_factor": [1, 1.5, 2, 3, 4, 8]}"""),
        MISTRAL("mistral", 256, 352, 18, 2, "\"sliding_window\": 5"),
        SMOLLM3("smollm3", 256, 352, 8, 2, """
                "no_rope_layers": [1, 0, 1], "use_sliding_window": true, "sliding_window": 5"""),
        GRANITE("granite", 256, 352, 8, 2, """
                "embedding_multiplier": 3.0, "residual_multiplier": 0.22, "attention_multiplier": 0.15, "logits_scaling": 6.0"""),
        OLMO2("olmo2", 256, 352, 8, 2, "\"attention_bias\": false"),
        GLM4("glm4", 256, 352, 8, 2, "\"partial_rotary_factor\": 0.5"),
        COHERE("cohere", 256, 352, 8, 2, "\"use_qk_norm\": true, \"logit_scale\": 0.25"),
        STABLELM("stablelm", 256, 352, 8, 2, """
                "use_qkv_bias": true, "qk_layernorm": true, "partial_rotary_factor": 0.5"""),
        STABLELM_PARALLEL("stablelm", 256, 352, 8, 2, """
                "use_parallel_residual": true, "partial_rotary_factor": 0.25, "layer_norm_eps": 1e-5"""),
        STARCODER2("starcoder2", 264, 360, 8, 2, "\"sliding_window\": 5, \"norm_epsilon\": 1e-5"),
        QWEN3_MOE("qwen3_moe", 256, 352, 8, 2, """
                "num_experts": 12, "num_experts_per_tok": 3, "moe_intermediate_size": 64, "norm_topk_prob": true,
                "mlp_only_layers": [1]"""),
        QWEN2_MOE("qwen2_moe", 256, 352, 8, 2, """
                "num_experts": 12, "num_experts_per_tok": 3, "moe_intermediate_size": 64,
                "shared_expert_intermediate_size": 192"""),
        DYNAMIC("llama", 264, 352, 8, 8, """
                "attention_bias": true, "mlp_bias": true, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}""");

        private final String type;
        private final int hidden;
        private final int inner;
        private final int heads;
        private final int kvHeads;
        private final String more;

        Family(String type, int hidden, int inner, int heads, int kvHeads, String more) {
            this.type = type;
            this.hidden = hidden;
            this.inner = inner;
            this.heads = heads;
            this.kvHeads = kvHeads;
            this.more = more;
        }

        private boolean qkvBias() {
            return switch (this) {
                case QWEN2, QWEN3, DYNAMIC, GLM4, QWEN2_MOE, STABLELM, STARCODER2 -> true;
                default -> false;
            };
        }

        private boolean outputBias() {
            return this == QWEN3 || this == DYNAMIC || this == STARCODER2;
        }

        private boolean mlpBias() {
            return this == DYNAMIC || this == STARCODER2;
        }

        private boolean normBias() {
            return this == STARCODER2 || type.equals("stablelm");
        }

        private boolean headNorms() {
            return this == QWEN3 || this == GEMMA3 || this == QWEN3_MOE;
        }

        private List<String> norms() {
            return switch (this) {
                case GEMMA2, GEMMA3 ->
                    List.of(
                            "input_layernorm",
                            "post_attention_layernorm",
                            "pre_feedforward_layernorm",
                            "post_feedforward_layernorm");
                case GLM4 ->
                    List.of(
                            "input_layernorm",
                            "post_self_attn_layernorm",
                            "post_attention_layernorm",
                            "post_mlp_layernorm");
                case COHERE, STABLELM_PARALLEL -> List.of("input_layernorm");
                case OLMO2 -> List.of("post_attention_layernorm", "post_feedforward_layernorm");
                default -> List.of("input_layernorm", "post_attention_layernorm");
            };
        }

        private boolean sparse(int layer) {
            return this == QWEN2_MOE || (this == QWEN3_MOE && layer != 1);
        }

        private boolean fusedGateUp() {
            return this == PHI3 || this == GLM4;
        }

        private boolean tied() {
            return this == QWEN2 || this == STARCODER2 || type.startsWith("gemma");
        }

        /** Dynamic frequencies change behind the positions that the model was made for. */
        private int positions() {
            return this == DYNAMIC ? 16 : 2048;
        }

        private String config() {
            return """
                    {"model_type": "%s", "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d,
                     "num_attention_heads": %d, "num_key_value_heads": %d, "head_dim": %d, "vocab_size": %d,
                     "rms_norm_eps": 1e-5, "max_position_embeddings": %d, "tie_word_embeddings": %b, %s}
                    """.formatted(
                    type, hidden, inner, LAYERS, heads, kvHeads, HEAD_SIZE, VOCABULARY, positions(), tied(), more);
        }
    }

    private final Map<String, long[]> shapes = new LinkedHashMap<>();

    private RandomWeights(Family family) {
        tensor("model.embed_tokens", VOCABULARY, family.hidden);
        for (int i = 0; i < LAYERS; i++) {
            layer("model.layers." + i + ".", family, family.sparse(i));
        }
        norm("model.norm", family);
        if (!family.tied()) {
            tensor("lm_head", VOCABULARY, family.hidden);
        }
    }

    private void norm(String name, Family family) {
        tensor(name, family.hidden);
        if (family.normBias()) {
            shapes.put(name + ".bias", new long[] {family.hidden});
        }
    }

    private void experts(String part, Family family) {
        tensor(part + "gate", EXPERTS, family.hidden);
        for (int i = 0; i < EXPERTS; i++) {
            mlp(part + "experts." + i + ".", family.hidden, EXPERT_SIZE, false);
        }
        if (family == Family.QWEN2_MOE) {
            mlp(part + "shared_expert.", family.hidden, SHARED_SIZE, false);
            tensor(part + "shared_expert_gate", 1, family.hidden);
        }
    }

    private void mlp(String part, int hidden, int inner, boolean bias) {
        linear(part + "gate_proj", inner, hidden, bias);
        linear(part + "up_proj", inner, hidden, bias);
        linear(part + "down_proj", hidden, inner, bias);
    }

    private void layer(String layer, Family family, boolean sparse) {
        long queries = (long) family.heads * HEAD_SIZE;
        long keys = (long) family.kvHeads * HEAD_SIZE;
        family.norms().forEach(norm -> norm(layer + norm, family));
        if (family == Family.OLMO2) {
            tensor(layer + "self_attn.q_norm", queries);
            tensor(layer + "self_attn.k_norm", keys);
        }
        if (family == Family.COHERE) {
            tensor(layer + "self_attn.q_norm", family.heads, HEAD_SIZE);
            tensor(layer + "self_attn.k_norm", family.kvHeads, HEAD_SIZE);
        }
        if (family == Family.STABLELM) {
            normsOfHeads(layer + "self_attn.q_layernorm", family.heads);
            normsOfHeads(layer + "self_attn.k_layernorm", family.kvHeads);
        }
        if (family.headNorms()) {
            tensor(layer + "self_attn.q_norm", HEAD_SIZE);
            tensor(layer + "self_attn.k_norm", HEAD_SIZE);
        }
        if (family == Family.PHI3) {
            tensor(layer + "self_attn.qkv_proj", queries + 2 * keys, family.hidden);
        } else {
            linear(layer + "self_attn.q_proj", queries, family.hidden, family.qkvBias());
            linear(layer + "self_attn.k_proj", keys, family.hidden, family.qkvBias());
            linear(layer + "self_attn.v_proj", keys, family.hidden, family.qkvBias());
        }
        if (sparse) {
            experts(layer + "mlp.", family);
        } else if (family.fusedGateUp()) {
            tensor(layer + "mlp.gate_up_proj", 2L * family.inner, family.hidden);
            linear(layer + "mlp.down_proj", family.hidden, family.inner, family.mlpBias());
        } else if (family == Family.STARCODER2) {
            linear(layer + "mlp.c_fc", family.inner, family.hidden, family.mlpBias());
            linear(layer + "mlp.c_proj", family.hidden, family.inner, family.mlpBias());
        } else {
            mlp(layer + "mlp.", family.hidden, family.inner, family.mlpBias());
        }
        linear(layer + "self_attn.o_proj", family.hidden, queries, family.outputBias());
    }

    private void normsOfHeads(String name, int heads) {
        for (int head = 0; head < heads; head++) {
            tensor(name + ".norms." + head, HEAD_SIZE);
        }
    }

    private void linear(String name, long out, long in, boolean bias) {
        tensor(name, out, in);
        if (bias) {
            shapes.put(name + ".bias", new long[] {out});
        }
    }

    private void tensor(String module, long... shape) {
        shapes.put(module + ".weight", shape);
    }

    /** A Qwen2 with biases and a tied head, or a Llama without. */
    public static CausalLM model(Path folder, boolean qwen, LinearFactory factory, Placement placement) {
        return model(folder, qwen ? Family.QWEN2 : Family.LLAMA, factory, placement);
    }

    /** A model of a family; the folder gets its configuration. */
    public static CausalLM model(Path folder, Family family, LinearFactory factory, Placement placement) {
        try {
            Files.createDirectories(folder);
            Files.writeString(folder.resolve("config.json"), family.config());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        try (WeightSource weights = new RandomWeights(family)) {
            return ModelLoader.load(PretrainedFolder.open(folder), weights, factory, placement);
        }
    }

    @Override
    public Set<String> names() {
        return shapes.keySet();
    }

    @Override
    public TensorInfo info(String name) {
        long[] shape = Objects.requireNonNull(shapes.get(name), name);
        long elements = 1;
        for (long extent : shape) {
            elements *= extent;
        }
        return new TensorInfo(name, Dtype.BF16, shape, 0, 2 * elements);
    }

    @Override
    public Tensor read(String name) {
        long[] shape = Objects.requireNonNull(shapes.get(name), name);
        SplittableRandom random = new SplittableRandom(name.hashCode());
        Tensor values = Tensors.normal(ComputeDevice.cpu(), random, 0.2, shape);
        boolean norm = name.endsWith("norm.weight") || name.contains("layernorm.norms.");
        return (norm ? values.add(Tensors.scalar(1)) : values).to(ScalarType.BFloat16);
    }

    @Override
    public void close() {
        // Nothing is open.
    }
}
