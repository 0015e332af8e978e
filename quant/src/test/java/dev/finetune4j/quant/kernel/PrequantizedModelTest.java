package dev.finetune4j.quant.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Whole checkpoints with 4-bit weights, biases and skipped modules: the same model as the dense one they stand for. */
@EveryLevel
class PrequantizedModelTest {
    private static final Map<String, long[]> LINEARS = linears();
    private static final Set<String> SKIPPED =
            Set.of("model.layers.0.mlp.down_proj", "model.layers.1.self_attn.k_proj");

    @TempDir
    private Path folder;

    private TensorScope scope;
    private final SplittableRandom random = new SplittableRandom(17);

    @BeforeEach
    void open() {
        scope = new TensorScope();
    }

    @AfterEach
    void close() {
        scope.close();
    }

    private static Map<String, long[]> linears() {
        Map<String, long[]> linears = new LinkedHashMap<>();
        for (int i = 0; i < 2; i++) {
            String block = "model.layers." + i;
            linears.put(block + ".self_attn.q_proj", new long[] {32, 32});
            linears.put(block + ".self_attn.k_proj", new long[] {16, 32});
            linears.put(block + ".self_attn.v_proj", new long[] {16, 32});
            linears.put(block + ".self_attn.o_proj", new long[] {32, 32});
            linears.put(block + ".mlp.gate_proj", new long[] {48, 32});
            linears.put(block + ".mlp.up_proj", new long[] {48, 32});
            linears.put(block + ".mlp.down_proj", new long[] {32, 48});
        }
        linears.put("lm_head", new long[] {50, 32});
        return linears;
    }

    @ParameterizedTest
    @CsvSource({
        "NF4, 64, true,  Byte,     Float,    false, 1000000",
        "NF4, 64, true,  BFloat16, BFloat16, false, 4000",
        "FP4, 64, false, Float,    Half,     true,  1000000",
        "FP4, 512, true, Half,     Float,    true,  2000",
        "NF4, 128, false, Byte,    BFloat16, false, 1000000"
    })
    void isTheDenseModelOfTheSameNumbers(
            QuantType type, int block, boolean nested, ScalarType storage, ScalarType dtype, boolean head, long shard)
            throws IOException {
        Path packed = Files.createDirectories(folder.resolve("packed"));
        Path dense = Files.createDirectories(folder.resolve("dense"));
        write(new QuantSettings(type, block, nested), storage, dtype, head, shard, packed, dense);
        assertTrue(ModelFiles.open(packed).isFourBit());
        try (CausalLM model = load(packed, new QuantizedLinearFactory(QuantSettings.nf4()), Precision.FP32);
                CausalLM twin = load(dense, LinearFactory.dense(), Precision.FP32)) {
            model.linears().forEach((name, linear) -> {
                boolean expectDense = SKIPPED.contains(name) || (name.equals("lm_head") && !head);
                Class<? extends Linear> expected = expectDense ? DenseLinear.class : QuantizedLinear.class;
                assertInstanceOf(expected, linear, name);
            });
            float[] expected = logitsAndGradient(twin);
            assertArrayEquals(expected, logitsAndGradient(model), 1e-5f);
            // A second pass through the same weights gives the same.
            assertArrayEquals(expected, logitsAndGradient(model), 1e-5f);
        }
        try (CausalLM model = load(packed, new QuantizedLinearFactory(QuantSettings.nf4()), Precision.BF16);
                CausalLM twin = load(dense, LinearFactory.dense(), Precision.BF16)) {
            assertArrayEquals(logits(twin), logits(model), 2e-2f);
        }
    }

    @Test
    void aDenseLoadNamesTheRemedy() throws IOException {
        Path dense = Files.createDirectories(folder.resolve("dense"));
        write(QuantSettings.nf4(), ScalarType.Byte, ScalarType.Float, false, 1_000_000, folder, dense);
        String message = assertThrows(
                        ModelFileException.class, () -> load(folder, LinearFactory.dense(), Precision.FP32))
                .getMessage();
        assertTrue(message.contains("q_proj.weight") && message.contains("4-bit"), message);
    }

    @Test
    void nothingIsLeftOfAModelWithADamagedWeight() throws IOException {
        Path dense = Files.createDirectories(folder.resolve("dense"));
        Map<String, Tensor> stored =
                write(QuantSettings.nf4(), ScalarType.Byte, ScalarType.Float, false, 1_000_000, folder, dense);
        stored.put("model.layers.1.mlp.up_proj.weight.absmax", Tensors.ones(ComputeDevice.cpu(), ScalarType.Byte, 3));
        SafetensorsWriter.write(folder.resolve("model.safetensors"), stored);
        String message = assertThrows(
                        ModelFileException.class,
                        () -> load(folder, new QuantizedLinearFactory(QuantSettings.nf4()), Precision.FP32))
                .getMessage();
        assertTrue(message.contains("model.layers.1.mlp.up_proj.weight.absmax"), message);
    }

    private static CausalLM load(Path folder, LinearFactory factory, Precision precision) {
        return ModelLoader.load(PretrainedFolder.open(folder), factory, new Placement(ComputeDevice.cpu(), precision));
    }

    private float[] logits(CausalLM model) {
        Tensor tokens = model.tokens(new long[] {1, 7, 49, 3, 3, 20, 11, 0}, 2, 4);
        return Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(tokens))));
    }

    /** The logits, and how their sum changes with the embedding, which is behind every linear. */
    private float[] logitsAndGradient(CausalLM model) {
        Tensor embedding = model.parameters().get("model.embed_tokens.weight");
        embedding.set_requires_grad(true);
        Tensor tokens = model.tokens(new long[] {1, 7, 49, 3, 3, 20, 11, 0}, 2, 4);
        Tensor logits = model.logits(model.hidden(ModelInput.padded(tokens)));
        logits.tanh().sum().backward();
        float[] out = Tensors.toFloats(logits);
        float[] gradient = Tensors.toFloats(embedding.grad());
        assertTrue(Tensors.toFloats(embedding.grad().abs().sum())[0] > 0, "no gradient");
        embedding.mutable_grad().zero_();
        embedding.set_requires_grad(false);
        float[] both = Arrays.copyOf(out, out.length + gradient.length);
        System.arraycopy(gradient, 0, both, out.length, gradient.length);
        return both;
    }

    /** Writes the packed checkpoint, and the dense one of the numbers that the codes stand for; returns the first. */
    private Map<String, Tensor> write(
            QuantSettings settings,
            ScalarType storage,
            ScalarType dtype,
            boolean packHead,
            long shardBytes,
            Path packed,
            Path dense)
            throws IOException {
        Map<String, Tensor> codes = new LinkedHashMap<>();
        Map<String, Tensor> numbers = new LinkedHashMap<>();
        others(dtype).forEach((name, tensor) -> {
            codes.put(name, tensor);
            numbers.put(name, tensor);
        });
        LINEARS.forEach((name, shape) -> {
            String weight = name + ".weight";
            Tensor original = random(shape).to(dtype);
            if (SKIPPED.contains(name) || (name.equals("lm_head") && !packHead)) {
                codes.put(weight, original);
                numbers.put(weight, original);
                return;
            }
            try (QuantizedTensor made = QuantizedTensor.quantize(original, settings)) {
                made.toCheckpoint(weight)
                        .forEach((key, tensor) -> codes.put(
                                key,
                                key.equals(weight)
                                        ? tensor.clone().view(-1).view(storage).view(-1, 1)
                                        : tensor.clone()));
                numbers.put(weight, made.dequantize(ScalarType.Float));
            }
        });
        Files.writeString(packed.resolve("config.json"), config(settings, storage, packHead));
        Files.writeString(dense.resolve("config.json"), config(null, storage, packHead));
        SafetensorsWriter.writeSharded(packed, lazy(codes), Map.of("format", "pt"), shardBytes);
        SafetensorsWriter.writeSharded(dense, lazy(numbers), Map.of("format", "pt"), shardBytes);
        assertEquals(shardBytes < 100_000, Files.exists(packed.resolve("model.safetensors.index.json")));
        return codes;
    }

    private Map<String, Tensor> others(ScalarType dtype) {
        Map<String, Tensor> others = new LinkedHashMap<>();
        others.put("model.embed_tokens.weight", random(50, 32).to(dtype));
        others.put("model.norm.weight", random(32).to(dtype));
        for (int i = 0; i < 2; i++) {
            others.put(
                    "model.layers." + i + ".input_layernorm.weight", random(32).to(dtype));
            others.put(
                    "model.layers." + i + ".post_attention_layernorm.weight",
                    random(32).to(dtype));
        }
        LINEARS.forEach((name, shape) -> {
            if (name.contains("self_attn")) {
                others.put(name + ".bias", random(shape[0]).to(dtype));
            }
        });
        return others;
    }

    private Tensor random(long... shape) {
        return Tensors.uniform(ComputeDevice.cpu(), random, 0.5, shape);
    }

    private static Map<String, LazyTensor> lazy(Map<String, Tensor> tensors) {
        Map<String, LazyTensor> lazy = new LinkedHashMap<>();
        tensors.forEach((name, tensor) -> lazy.put(name, LazyTensor.of(tensor)));
        return lazy;
    }

    private static String config(QuantSettings settings, ScalarType storage, boolean packHead) {
        String form = "";
        if (settings != null) {
            List<String> skipped = new ArrayList<>(SKIPPED);
            if (!packHead) {
                skipped.add("lm_head");
            }
            String dtype = Map.of(
                            ScalarType.Byte, "uint8",
                            ScalarType.BFloat16, "bfloat16",
                            ScalarType.Half, "float16",
                            ScalarType.Float, "float32")
                    .get(storage);
            form = ", 'quantization_config': {'quant_method': 'bitsandbytes', 'load_in_4bit': true,"
                    + " 'load_in_8bit': false, 'bnb_4bit_quant_type': '"
                    + settings.type().label()
                    + "', 'bnb_4bit_use_double_quant': " + settings.doubleQuantization()
                    + ", 'bnb_4bit_quant_storage': '" + dtype + "', 'llm_int8_skip_modules': ['"
                    + String.join("', '", skipped) + "']}";
        }
        return ("{'model_type': 'llama', 'hidden_size': 32, 'num_hidden_layers': 2, 'num_attention_heads': 4,"
                        + " 'num_key_value_heads': 2, 'intermediate_size': 48, 'vocab_size': 50, 'rms_norm_eps': 1e-5,"
                        + " 'max_position_embeddings': 64, 'attention_bias': true, 'tie_word_embeddings': false" + form
                        + "}")
                .replace('\'', '"');
    }
}
