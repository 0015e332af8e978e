package dev.finetune4j.benchmarks;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.Dtype;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import org.bytedeco.pytorch.Generator;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch_cuda;

/**
 * Models of published shapes with random weights, made on the device where they are to run: Llama-type ones of several sizes, and
 * one of each other family.
 */
enum RandomModel {
    /** The shape of Yi-1.5-6B. */
    SIX_B("6b", 4096, 11008, 32, 32, 4, 64000),
    ONE_AND_A_HALF_B("1.5b", 2048, 8192, 20, 32, 8, 64000),
    HALF_B("0.5b", 896, 4864, 24, 14, 2, 151936),
    /** The same with a vocabulary of the usual size. */
    HALF_B_32K("0.5b-32k", 896, 4864, 24, 14, 2, 32000),
    /** One block of the 6B shape with hardly a vocabulary. */
    LAYER("layer", 4096, 11008, 1, 32, 4, 512),
    TINY("tiny", 128, 352, 2, 4, 2, 512),
    /** As many operations as the 6B shape but hardly any arithmetic: what the host alone costs. */
    HOST("host", 128, 352, 32, 4, 2, 512),
    /** Biases on queries, keys and values. */
    QWEN2_5_7B("qwen2.5-7b", 3584, 18944, 28, 28, 4, 152064, 128, """
            "model_type": "qwen2", "tie_word_embeddings": false"""),
    /** Norms on the heads of queries and keys; a tied head. */
    QWEN3_4B("qwen3-4b", 2560, 9728, 36, 32, 8, 151936, 128, """
            "model_type": "qwen3", "tie_word_embeddings": true"""),
    /** The same, norms behind each half of a block, and a window in five of six layers. */
    GEMMA3_4B("gemma3-4b", 2560, 10240, 34, 8, 4, 262208, 256, """
            "model_type": "gemma3_text", "sliding_window": 1024, "query_pre_attn_scalar": 256"""),
    /** Soft-capped scores and logits, norms behind each half of a block. */
    GEMMA2_2B("gemma2-2b", 2304, 9216, 26, 8, 4, 256000, 256, """
            "model_type": "gemma2", "sliding_window": 4096, "query_pre_attn_scalar": 256"""),
    /** Fused projections, heads of 96 channels, a window one below the usual length. */
    PHI3_MINI("phi3-mini", 3072, 8192, 32, 32, 32, 32064, 96, """
            "model_type": "phi3", "sliding_window": 2047, "pad_token_id": 0, "tie_word_embeddings": false"""),
    MISTRAL_7B("mistral-7b", 4096, 14336, 32, 32, 8, 32768, 128, """
            "model_type": "mistral", "sliding_window": null, "tie_word_embeddings": false"""),
    /** Norms behind the halves of a block only, and of all heads together. */
    OLMO2_7B("olmo2-7b", 4096, 11008, 32, 32, 32, 100352, 128, """
            "model_type": "olmo2", "tie_word_embeddings": false"""),
    /** Neighbouring channels turn in half of a head; norms around the halves of a block. */
    GLM4_9B("glm4-9b", 4096, 13696, 40, 32, 2, 151552, 128, """
            "model_type": "glm4", "partial_rotary_factor": 0.5, "attention_bias": false, "tie_word_embeddings": false"""),
    /** Parallel halves, layer norms, and a window in three of four layers. */
    COMMAND_R7B("command-r7b", 4096, 14336, 32, 32, 8, 256000, 128, """
            "model_type": "cohere2", "sliding_window": 4096, "logit_scale": 0.25, "tie_word_embeddings": true"""),
    /** No rotation in every fourth layer; a tied head. */
    SMOLLM3_3B("smollm3-3b", 2048, 11008, 36, 16, 4, 128256, 128, """
            "model_type": "smollm3", "no_rope_layer_interval": 4, "tie_word_embeddings": true"""),
    /** Factors on embedding, halves, scores and logits; a tied head. */
    GRANITE_8B("granite-8b", 4096, 12800, 40, 32, 8, 49155, 128, """
            "model_type": "granite", "embedding_multiplier": 12.0, "residual_multiplier": 0.22,
            "attention_multiplier": 0.0078125, "logits_scaling": 16.0, "tie_word_embeddings": true"""),
    /** 128 experts, of which a token passes eight, together as wide as the inner size. */
    QWEN3_30B_A3B("qwen3-30b-a3b", 2048, 6144, 48, 32, 4, 151936, 128, """
            "model_type": "qwen3_moe", "tie_word_embeddings": false, "num_experts": 128, "num_experts_per_tok": 8,
            "moe_intermediate_size": 768, "norm_topk_prob": true"""),
    /** Four blocks of the same. */
    QWEN3_MOE_SMALL("qwen3-moe-small", 2048, 6144, 4, 32, 4, 32000, 128, """
            "model_type": "qwen3_moe", "tie_word_embeddings": false, "num_experts": 128, "num_experts_per_tok": 8,
            "moe_intermediate_size": 768, "norm_topk_prob": true"""),
    /** Experts that a CPU holds. */
    QWEN3_MOE_TINY("qwen3-moe-tiny", 1024, 3072, 6, 16, 4, 32000, 64, """
            "model_type": "qwen3_moe", "tie_word_embeddings": false, "num_experts": 64, "num_experts_per_tok": 8,
            "moe_intermediate_size": 384, "norm_topk_prob": true""");

    final String label;
    final int hidden;
    final int inner;
    final int layers;
    final int heads;
    final int kvHeads;
    final int vocabulary;
    final int headSize;
    private final String family;

    RandomModel(String label, int hidden, int inner, int layers, int heads, int kvHeads, int vocabulary) {
        this(label, hidden, inner, layers, heads, kvHeads, vocabulary, hidden / heads, """
                "model_type": "llama", "tie_word_embeddings": false, "hidden_act": "silu\"""");
    }

    /** @param family keys of config.json that only such models have */
    RandomModel(
            String label,
            int hidden,
            int inner,
            int layers,
            int heads,
            int kvHeads,
            int vocabulary,
            int headSize,
            String family) {
        this.label = label;
        this.hidden = hidden;
        this.inner = inner;
        this.layers = layers;
        this.heads = heads;
        this.kvHeads = kvHeads;
        this.vocabulary = vocabulary;
        this.headSize = headSize;
        this.family = family;
    }

    static RandomModel of(String label) {
        for (RandomModel model : values()) {
            if (model.label.equals(label)) {
                return model;
            }
        }
        throw new IllegalArgumentException("there is no preset " + label);
    }

    /** Floating-point operations per token of a forward and a backward pass that reaches the inputs only. */
    double modelFlops(int sequence) {
        double attention = 4.0 * heads * headSize * seenInAllLayers(sequence);
        return 4 * (linearWeights() + (double) vocabulary * hidden) + 3.5 * attention;
    }

    private double seenInAllLayers(int sequence) {
        try {
            return with(folder -> folder.config().layerTypes().stream()
                    .mapToDouble(layer -> seen(layer.window(), sequence))
                    .sum());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** How many positions a token sees on average. */
    private static double seen(int window, int sequence) {
        double most = window == 0 ? sequence : Math.min(window, sequence);
        return most - most * most / (2 * sequence);
    }

    /** Weights of all linears but the head. */
    double linearWeights() {
        double rows = heads * headSize;
        return layers * (2.0 * hidden * rows + 2.0 * hidden * kvHeads * headSize + 3.0 * hidden * inner);
    }

    CausalLM load(LinearFactory factory, Placement placement) throws IOException {
        return with(directory -> {
            try (WeightSource weights = new Weights(shapes(directory), placement.device(), norm())) {
                return ModelLoader.load(directory, weights, factory, placement);
            }
        });
    }

    /** Shapes of the tensors by name. */
    private static Map<String, long[]> shapes(PretrainedFolder folder) {
        try (TensorScope scope = new TensorScope();
                CausalLM model = ModelLoader.meta(folder)) {
            Map<String, long[]> shapes = new LinkedHashMap<>();
            model.parameters().forEach((name, tensor) -> shapes.put(name, tensor.shape()));
            return shapes;
        }
    }

    /** The weights of norms that only divide: those of Gemma count from one. */
    private double norm() {
        return family.contains("gemma") ? 0 : 1;
    }

    /** Lends a folder that holds the config.json of this shape. */
    <T> T with(Function<PretrainedFolder, T> use) throws IOException {
        Path folder = Files.createTempDirectory("random-model");
        Path config = folder.resolve("config.json");
        Files.writeString(config, """
                {"hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": %d,
                 "num_key_value_heads": %d, "head_dim": %d, "vocab_size": %d, "rms_norm_eps": 1e-5,
                 "max_position_embeddings": 8192, %s}
                """.formatted(hidden, inner, layers, heads, kvHeads, headSize, vocabulary, family));
        try {
            return use.apply(PretrainedFolder.open(folder));
        } finally {
            Files.delete(config);
            Files.delete(folder);
        }
    }

    /**
     * Weights that come into being when they are read: normal with deviation 0.02, biases at zero. A CPU draws them slowly, so
     * that there some are drawn once and repeated.
     */
    private static final class Weights implements WeightSource {
        private static final double DEVIATION = 0.02;
        /** A prime, so that no two rows of a weight are alike. */
        private static final long DRAWN = 1_000_003;

        private final Map<String, long[]> shapes;
        private final ComputeDevice device;
        private final double norm;
        private final Tensor drawn;

        /** @param norm what the weights of norms are filled with */
        Weights(Map<String, long[]> shapes, ComputeDevice device, double norm) {
            this.shapes = shapes;
            this.device = device;
            this.norm = norm;
            try (TensorScope scope = new TensorScope()) {
                drawn = scope.release(Tensors.ones(ComputeDevice.cpu(), ScalarType.BFloat16, DRAWN)
                        .normal_(0, DEVIATION, new GeneratorOptional(torch.make_generator_cpu(1))));
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
            if (shape.length == 1) {
                double value = name.endsWith(".bias") ? 0 : norm;
                return Tensors.ones(device, ScalarType.BFloat16, shape).mul_(new Scalar(value));
            }
            if (device.kind() == ComputeDevice.Kind.CUDA) {
                return normal(name, shape);
            }
            Tensor tensor = Tensors.empty(device, ScalarType.BFloat16, shape);
            repeat(tensor);
            return tensor;
        }

        /** The same for a name in every process and on every GPU of a kind. */
        private Tensor normal(String name, long... shape) {
            try (TensorScope scope = new TensorScope()) {
                Generator generator = torch_cuda.make_generator_cuda((byte) device.index());
                generator.set_current_seed(name.hashCode());
                Tensor empty = Tensors.empty(device, ScalarType.BFloat16, shape);
                return scope.keep(empty.normal_(0, DEVIATION, new GeneratorOptional(generator)));
            }
        }

        private void repeat(Tensor tensor) {
            try (TensorScope scope = new TensorScope()) {
                Tensor flat = tensor.view(-1);
                long count = flat.numel();
                for (long start = 0; start < count; start += DRAWN) {
                    long some = Math.min(DRAWN, count - start);
                    flat.narrow(0, start, some).copy_(drawn.narrow(0, 0, some));
                }
            }
        }

        @Override
        public void close() {
            drawn.close();
        }
    }
}
