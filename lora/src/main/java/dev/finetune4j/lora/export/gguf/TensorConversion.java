package dev.finetune4j.lora.export.gguf;

import dev.finetune4j.core.io.GgmlType;
import dev.finetune4j.core.io.GgufTensor;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.model.ModelConfig;
import dev.finetune4j.core.model.ModelConfig.BlockNorms;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * How the tensors of a model are called in a GGUF file, and what is made of their numbers, so that llama.cpp computes the same:
 * rows of queries and keys are put into the order in which its rotary embedding turns them, norms that count from one are written
 * as they are multiplied, and a scale of the scores that it does not have goes into what makes the queries.
 */
final class TensorConversion {
    private static final Pattern IN_BLOCK = Pattern.compile("model\\.layers\\.(\\d+)\\.(.+)");
    /** Experts and norms of single heads, which are one tensor there. */
    private static final Pattern IN_STACK = Pattern.compile("(.+\\.(?:experts|norms))\\.(\\d+)(\\.[^.]+)?");

    /** A vector there, where the linear has one row. */
    private static final String SHARE_OF_SHARED = "ffn_gate_inp_shexp";

    private static final double NO_DIFFERENCE = 1e-9;

    private static final Map<String, String> OUTSIDE =
            Map.of("model.embed_tokens", "token_embd", "model.norm", "output_norm", "lm_head", "output");

    private static final Map<String, String> WITHIN = Map.ofEntries(
            Map.entry("self_attn.q_proj", "attn_q"),
            Map.entry("self_attn.k_proj", "attn_k"),
            Map.entry("self_attn.v_proj", "attn_v"),
            Map.entry("self_attn.qkv_proj", "attn_qkv"),
            Map.entry("self_attn.o_proj", "attn_output"),
            Map.entry("self_attn.q_norm", "attn_q_norm"),
            Map.entry("self_attn.k_norm", "attn_k_norm"),
            Map.entry("self_attn.q_layernorm.norms", "attn_q_norm"),
            Map.entry("self_attn.k_layernorm.norms", "attn_k_norm"),
            Map.entry("mlp.gate_proj", "ffn_gate"),
            Map.entry("mlp.up_proj", "ffn_up"),
            Map.entry("mlp.gate_up_proj", "ffn_up"),
            Map.entry("mlp.down_proj", "ffn_down"),
            Map.entry("mlp.c_fc", "ffn_up"),
            Map.entry("mlp.c_proj", "ffn_down"),
            Map.entry("mlp.gate", "ffn_gate_inp"),
            Map.entry("mlp.experts.gate_proj", "ffn_gate_exps"),
            Map.entry("mlp.experts.up_proj", "ffn_up_exps"),
            Map.entry("mlp.experts.down_proj", "ffn_down_exps"),
            Map.entry("mlp.shared_expert.gate_proj", "ffn_gate_shexp"),
            Map.entry("mlp.shared_expert.up_proj", "ffn_up_shexp"),
            Map.entry("mlp.shared_expert.down_proj", "ffn_down_shexp"),
            Map.entry("mlp.shared_expert_gate", SHARE_OF_SHARED),
            Map.entry("block_sparse_moe.gate", "ffn_gate_inp"),
            Map.entry("block_sparse_moe.experts.w1", "ffn_gate_exps"),
            Map.entry("block_sparse_moe.experts.w3", "ffn_up_exps"),
            Map.entry("block_sparse_moe.experts.w2", "ffn_down_exps"));

    private final ModelConfig config;
    private final Architecture architecture;
    private final double queryFactor;

    TensorConversion(ModelConfig config, Architecture architecture) {
        this.config = config;
        this.architecture = architecture;
        double factor = config.attention().scale() / architecture.scoreScale(config);
        this.queryFactor = Math.abs(factor - 1) < NO_DIFFERENCE ? 1 : factor;
    }

    /** The number of the expert that a module belongs to, or of the head that it normalises alone; empty where it is neither. */
    static OptionalInt indexInStack(String path) {
        Matcher parts = IN_STACK.matcher(path);
        return parts.matches() ? OptionalInt.of(Integer.parseInt(parts.group(2))) : OptionalInt.empty();
    }

    /** The name of a module of Hugging Face's in the file, without {@code .weight}; of one in a stack, that of all. */
    String module(String path) {
        return named(IN_STACK.matcher(path).replaceFirst("$1$3"));
    }

    private String named(String path) {
        String outside = OUTSIDE.get(path);
        Matcher block = IN_BLOCK.matcher(path);
        if (outside == null && block.matches()) {
            String inside = block.group(2);
            String name = inside.endsWith("_layernorm") ? blockNorm(inside) : WITHIN.get(inside);
            outside = name == null ? null : "blk." + block.group(1) + "." + name;
        }
        if (outside == null) {
            throw new IllegalArgumentException("no name in GGUF is known for the module " + path);
        }
        return outside;
    }

    /** Families call the norms of a block by names that mean others elsewhere. */
    private @Nullable String blockNorm(String name) {
        BlockNorms norms = config.norms().block();
        if (name.equals(norms.beforeAttention())) {
            return "attn_norm";
        }
        if (name.equals(norms.afterAttention())) {
            return "post_attention_norm";
        }
        if (name.equals(norms.beforeMlp())) {
            return "ffn_norm";
        }
        return name.equals(norms.afterMlp()) ? "post_ffw_norm" : null;
    }

    /** A tensor of a model, float32, as it goes into the file. */
    GgufTensor convert(String name, LazyTensor values, GgmlType wanted) {
        int dot = name.lastIndexOf('.');
        String path = name.substring(0, dot);
        long[] shape = values.shape();
        boolean norm = path.endsWith("norm");
        String module = module(path);
        if (module.endsWith(SHARE_OF_SHARED)) {
            return new GgufTensor(module + name.substring(dot), GgmlType.F32, values.then(Tensor::flatten, shape[1]));
        }
        LazyTensor changed =
                norm ? values.then(weight -> normWeight(path, weight), shape) : values.then(rowsOf(path), shape);
        boolean exact =
                norm || shape.length == 1 || module.endsWith("ffn_gate_inp"); // so it is in llama.cpp's own files
        return new GgufTensor(module + name.substring(dot), exact ? GgmlType.F32 : fitting(wanted, shape), changed);
    }

    /**
     * The weights of one projection of all experts, or of the norms of all heads, float32, as they go into the file.
     *
     * @param name in the file
     * @param values in the order of experts or heads
     */
    static GgufTensor stack(String name, List<LazyTensor> values, GgmlType wanted) {
        long[] each = values.get(0).shape();
        return new GgufTensor(name, each.length == 1 ? GgmlType.F32 : fitting(wanted, each), values, true);
    }

    /** The wanted format, or half precision for rows that are not made of whole blocks. */
    static GgmlType fitting(GgmlType wanted, long[] shape) {
        return wanted.fitsRowsOf(shape[shape.length - 1]) ? wanted : GgmlType.F16;
    }

    private Tensor normWeight(String path, Tensor weight) {
        Tensor factor = config.norms().unitOffset() ? weight.add(new Scalar(1)) : weight;
        boolean query = path.endsWith("q_norm") && queryFactor != 1;
        return query ? factor.mul(new Scalar(queryFactor)) : factor;
    }

    /** What is done to the rows of a linear's weight, to its bias, and to the B of a low-rank addition to it. */
    UnaryOperator<Tensor> rowsOf(String path) {
        boolean query = path.endsWith("q_proj");
        boolean key = path.endsWith("k_proj");
        double factor = query && config.norms().heads() == ModelConfig.HeadNorms.NONE ? queryFactor : 1;
        boolean toNeighbours = architecture.rotatesNeighbours()
                && !config.layerTypes().get(0).rope().interleaved();
        int heads = query ? config.attention().heads() : config.attention().kvHeads();
        return rows -> {
            Tensor scaled = factor == 1 ? rows : rows.mul(new Scalar(factor));
            return toNeighbours && (query || key) ? neighbours(scaled, heads) : scaled;
        };
    }

    /** Rows (heads, 2, d/2, …) to (heads, d/2, 2, …): halves of a head, which turn together, become neighbours. */
    private static Tensor neighbours(Tensor rows, long heads) {
        long[] shape = rows.shape();
        long width = shape.length == 1 ? 1 : shape[1];
        return rows.reshape(heads, 2, shape[0] / heads / 2, width)
                .transpose(1, 2)
                .reshape(shape);
    }
}
