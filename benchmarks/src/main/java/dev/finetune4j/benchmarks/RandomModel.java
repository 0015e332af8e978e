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
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import org.bytedeco.pytorch.GeneratorOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Llama-type models of published shapes with random weights, made on the device where they are to run. */
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
    HOST("host", 128, 352, 32, 4, 2, 512);

    final String label;
    final int hidden;
    final int inner;
    final int layers;
    final int heads;
    final int kvHeads;
    final int vocabulary;

    RandomModel(String label, int hidden, int inner, int layers, int heads, int kvHeads, int vocabulary) {
        this.label = label;
        this.hidden = hidden;
        this.inner = inner;
        this.layers = layers;
        this.heads = heads;
        this.kvHeads = kvHeads;
        this.vocabulary = vocabulary;
    }

    static RandomModel of(String label) {
        for (RandomModel model : values()) {
            if (model.label.equals(label)) {
                return model;
            }
        }
        throw new IllegalArgumentException("there is no preset " + label);
    }

    private int headSize() {
        return hidden / heads;
    }

    /** Floating-point operations per token of a forward and a backward pass that reaches the inputs only. */
    double modelFlops(int sequence) {
        double linear = linearWeights();
        double attention = layers * 4.0 * heads * headSize() * sequence / 2;
        return 4 * (linear + (double) vocabulary * hidden) + 3.5 * attention;
    }

    /** Weights of all linears but the head. */
    double linearWeights() {
        return layers * (2.0 * hidden * hidden + 2.0 * hidden * kvHeads * headSize() + 3.0 * hidden * inner);
    }

    CausalLM load(LinearFactory factory, Placement placement) throws IOException {
        return with(directory -> {
            try (WeightSource weights = new Weights(this, placement.device())) {
                return ModelLoader.load(directory, weights, factory, placement);
            }
        });
    }

    /** Lends a folder that holds the config.json of this shape. */
    <T> T with(Function<PretrainedFolder, T> use) throws IOException {
        Path folder = Files.createTempDirectory("random-model");
        Path config = folder.resolve("config.json");
        Files.writeString(config, """
                {"model_type": "llama", "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d,
                 "num_attention_heads": %d, "num_key_value_heads": %d, "vocab_size": %d, "rms_norm_eps": 1e-5,
                 "max_position_embeddings": 8192, "tie_word_embeddings": false, "hidden_act": "silu"}
                """.formatted(hidden, inner, layers, heads, kvHeads, vocabulary));
        try {
            return use.apply(PretrainedFolder.open(folder));
        } finally {
            Files.delete(config);
            Files.delete(folder);
        }
    }

    /**
     * Weights that come into being when they are read: normal with deviation 0.02, norms at one. A CPU draws them slowly, so
     * that there some are drawn once and repeated.
     */
    private static final class Weights implements WeightSource {
        private static final double DEVIATION = 0.02;
        /** A prime, so that no two rows of a weight are alike. */
        private static final long DRAWN = 1_000_003;

        private final ComputeDevice device;
        private final Tensor drawn;
        private final Map<String, long[]> shapes = new LinkedHashMap<>();

        Weights(RandomModel model, ComputeDevice device) {
            this.device = device;
            try (TensorScope scope = new TensorScope()) {
                drawn = scope.release(Tensors.ones(ComputeDevice.cpu(), ScalarType.BFloat16, DRAWN)
                        .normal_(0, DEVIATION, new GeneratorOptional()));
            }
            long keys = (long) model.kvHeads * model.headSize();
            shapes.put("model.embed_tokens.weight", new long[] {model.vocabulary, model.hidden});
            for (int i = 0; i < model.layers; i++) {
                String layer = "model.layers." + i + ".";
                shapes.put(layer + "input_layernorm.weight", new long[] {model.hidden});
                shapes.put(layer + "self_attn.q_proj.weight", new long[] {model.hidden, model.hidden});
                shapes.put(layer + "self_attn.k_proj.weight", new long[] {keys, model.hidden});
                shapes.put(layer + "self_attn.v_proj.weight", new long[] {keys, model.hidden});
                shapes.put(layer + "self_attn.o_proj.weight", new long[] {model.hidden, model.hidden});
                shapes.put(layer + "post_attention_layernorm.weight", new long[] {model.hidden});
                shapes.put(layer + "mlp.gate_proj.weight", new long[] {model.inner, model.hidden});
                shapes.put(layer + "mlp.up_proj.weight", new long[] {model.inner, model.hidden});
                shapes.put(layer + "mlp.down_proj.weight", new long[] {model.hidden, model.inner});
            }
            shapes.put("model.norm.weight", new long[] {model.hidden});
            shapes.put("lm_head.weight", new long[] {model.vocabulary, model.hidden});
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
                return Tensors.ones(device, ScalarType.BFloat16, shape);
            }
            if (device.kind() == ComputeDevice.Kind.CUDA) {
                return Tensors.ones(device, ScalarType.BFloat16, shape).normal_(0, DEVIATION, new GeneratorOptional());
            }
            Tensor tensor = Tensors.empty(device, ScalarType.BFloat16, shape);
            repeat(tensor);
            return tensor;
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
