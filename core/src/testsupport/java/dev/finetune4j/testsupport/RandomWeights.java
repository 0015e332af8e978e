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
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Weights of a small decoder, the same at each run. The inputs of its linears have three widths, one for each way in which the
 * 4-bit kernels for few rows go: multiples of 256, of 64 (the output of attention) and of 32 (the last of the MLP).
 */
public final class RandomWeights implements WeightSource {
    private static final int HIDDEN = 256;
    private static final int INNER = 352;
    private static final int LAYERS = 3;
    private static final int HEADS = 8;
    private static final int KV_HEADS = 2;
    private static final int HEAD_SIZE = 24;
    private static final int VOCABULARY = 300;

    private final Map<String, long[]> shapes = new LinkedHashMap<>();

    private RandomWeights(boolean biases, boolean tied) {
        shapes.put("model.embed_tokens.weight", new long[] {VOCABULARY, HIDDEN});
        for (int i = 0; i < LAYERS; i++) {
            String layer = "model.layers." + i + ".";
            shapes.put(layer + "input_layernorm.weight", new long[] {HIDDEN});
            shapes.put(layer + "post_attention_layernorm.weight", new long[] {HIDDEN});
            input(layer + "self_attn.q_proj", HEADS * HEAD_SIZE, biases);
            input(layer + "self_attn.k_proj", KV_HEADS * HEAD_SIZE, biases);
            input(layer + "self_attn.v_proj", KV_HEADS * HEAD_SIZE, biases);
            shapes.put(layer + "self_attn.o_proj.weight", new long[] {HIDDEN, HEADS * HEAD_SIZE});
            shapes.put(layer + "mlp.gate_proj.weight", new long[] {INNER, HIDDEN});
            shapes.put(layer + "mlp.up_proj.weight", new long[] {INNER, HIDDEN});
            shapes.put(layer + "mlp.down_proj.weight", new long[] {HIDDEN, INNER});
        }
        shapes.put("model.norm.weight", new long[] {HIDDEN});
        if (!tied) {
            shapes.put("lm_head.weight", new long[] {VOCABULARY, HIDDEN});
        }
    }

    private void input(String name, long out, boolean bias) {
        shapes.put(name + ".weight", new long[] {out, HIDDEN});
        if (bias) {
            shapes.put(name + ".bias", new long[] {out});
        }
    }

    /** A Qwen2 with biases and a tied head, or a Llama without. */
    public static CausalLM model(Path folder, boolean qwen, LinearFactory factory, Placement placement) {
        try {
            Files.createDirectories(folder);
            Files.writeString(folder.resolve("config.json"), """
                    {"model_type": "%s", "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d,
                     "num_attention_heads": %d, "num_key_value_heads": %d, "head_dim": %d, "vocab_size": %d,
                     "rms_norm_eps": 1e-5, "max_position_embeddings": 2048, "tie_word_embeddings": %b,
                     "hidden_act": "silu"}
                    """.formatted(
                    qwen ? "qwen2" : "llama", HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, HEAD_SIZE, VOCABULARY, qwen));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        try (WeightSource weights = new RandomWeights(qwen, qwen)) {
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
        return (name.endsWith("norm.weight") ? values.add(Tensors.scalar(1)) : values).to(ScalarType.BFloat16);
    }

    @Override
    public void close() {
        // Nothing is open.
    }
}
