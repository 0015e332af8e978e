package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.Adapter;
import dev.finetune4j.GgufType;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Models with experts, and adapters on them, as GGUF files, judged by llama.cpp; see {@link GgufJudge} for what it takes. */
class GgufExpertsJudgeTest {
    private static final double LORA = 1e-5;
    private static final Logger LOG = LoggerFactory.getLogger(GgufExpertsJudgeTest.class);

    @TempDir
    Path temporary;

    private static Path fixture(String name) {
        Path folder = Path.of("../core/src/test/resources/model", name);
        Needs.that(Files.isDirectory(folder), "the module core is not beside this one");
        return folder;
    }

    /** A fixture with another configuration. */
    private Path model(String name, Consumer<ObjectNode> change) throws IOException {
        Path folder = GgufModels.withPlaceholders(fixture(name), temporary.resolve("model-" + name));
        ObjectNode config = (ObjectNode) TestData.json(folder.resolve("config.json"));
        change.accept(config);
        Files.writeString(folder.resolve("config.json"), config.toString());
        return folder;
    }

    private static LanguageModel load(Path model) {
        return LanguageModel.loader(model)
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .load();
    }

    /** With a shared expert in each layer, whose weights are one layer's again and again. */
    @ParameterizedTest
    @CsvSource({"F32, false, 1.5e-5", "F32, true, 1.5e-5", "F16, false, 2.5e-2"})
    void sharedExperts(GgufType type, boolean tied, double allowed) throws IOException {
        Path model = model("qwen2_moe_shared", config -> {
            config.putArray("mlp_only_layers");
            config.put("use_sliding_window", false).put("tie_word_embeddings", tied);
        });
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (TensorScope scope = new TensorScope();
                SafetensorsFile file =
                        SafetensorsFile.open(fixture("qwen2_moe_shared").resolve("model.safetensors"))) {
            for (String name : file.names()) {
                if (!name.startsWith("model.layers.1.") && !(tied && name.equals("lm_head.weight"))) {
                    tensors.put(name, file.read(name));
                }
                if (name.startsWith("model.layers.0.")) {
                    tensors.put(name.replace("layers.0.", "layers.1."), file.read(name));
                }
            }
            SafetensorsWriter.write(model.resolve("model.safetensors"), tensors);
        }
        againstOurs(model, type, allowed);
    }

    /** Without biases, which llama.cpp does not ask for here. */
    @Test
    void sharedExpertsWithoutBiases() throws IOException {
        Path model = model("qwen2_moe_shared", config -> {
            config.putArray("mlp_only_layers");
            config.put("num_hidden_layers", 1).put("use_sliding_window", false).put("qkv_bias", false);
        });
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        try (TensorScope scope = new TensorScope();
                SafetensorsFile file =
                        SafetensorsFile.open(fixture("qwen2_moe_shared").resolve("model.safetensors"))) {
            file.names().stream()
                    .filter(name -> !name.matches("model\\.layers\\.[12]\\..*|.*\\.bias"))
                    .forEach(name -> tensors.put(name, file.read(name)));
            SafetensorsWriter.write(model.resolve("model.safetensors"), tensors);
        }
        againstOurs(model, GgufType.F32, GgufJudgeTest.WIDE);
    }

    /** Rows of whole blocks, so that the stacks are of that type. What is allowed is what rounding leaves here, and a fifth. */
    @Test
    void stacksOfBlocks() throws IOException {
        Path folder = Files.createDirectories(temporary.resolve("blocks"));
        Files.writeString(folder.resolve("config.json"), """
                {"model_type": "qwen3_moe", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
                 "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 64,
                 "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "num_experts": 4,
                 "num_experts_per_tok": 4, "moe_intermediate_size": 32, "norm_topk_prob": true, "tie_word_embeddings": true}
                """);
        GgufModels.addPlaceholders(folder, 64);
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        SplittableRandom random = new SplittableRandom(2);
        try (TensorScope scope = new TensorScope()) {
            String block = "model.layers.0.";
            uniform(tensors, random, "model.embed_tokens", 64, 64);
            uniform(tensors, random, "model.norm", 64);
            uniform(tensors, random, block + "input_layernorm", 64);
            uniform(tensors, random, block + "post_attention_layernorm", 64);
            uniform(tensors, random, block + "self_attn.q_norm", 32);
            uniform(tensors, random, block + "self_attn.k_norm", 32);
            uniform(tensors, random, block + "self_attn.q_proj", 64, 64);
            uniform(tensors, random, block + "self_attn.k_proj", 32, 64);
            uniform(tensors, random, block + "self_attn.v_proj", 32, 64);
            uniform(tensors, random, block + "self_attn.o_proj", 64, 64);
            uniform(tensors, random, block + "mlp.gate", 4, 64);
            for (int i = 0; i < 4; i++) {
                uniform(tensors, random, block + "mlp.experts." + i + ".gate_proj", 32, 64);
                uniform(tensors, random, block + "mlp.experts." + i + ".up_proj", 32, 64);
                uniform(tensors, random, block + "mlp.experts." + i + ".down_proj", 64, 32);
            }
            SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors);
        }
        againstOurs(folder, GgufType.F32, GgufJudgeTest.WIDE);
        againstOurs(folder, GgufType.Q8_0, 2.3e-2);
    }

    private static void uniform(Map<String, Tensor> tensors, SplittableRandom random, String path, long... shape) {
        tensors.put(path + ".weight", Tensors.uniform(ComputeDevice.cpu(), random, 0.4, shape));
    }

    /** Shares that are divided by their sum are as they are where a token passes all experts. */
    @Test
    void sharesOfAllExpertsAreNotDivided() throws IOException {
        Path model = model(
                "qwen3_moe_plain", config -> config.put("norm_topk_prob", false).put("num_experts_per_tok", 6));
        againstOurs(model, GgufType.F32, GgufJudgeTest.WIDE);
    }

    private void againstOurs(Path model, GgufType type, double allowed) throws IOException {
        GgufJudge judge = GgufJudge.find(temporary);
        int[] row = IntStream.range(0, 40).map(i -> (i * 37 + 11) % 64).toArray();
        float[] logits;
        int vocabulary;
        try (CausalLM ours = ReferenceFolder.load(model);
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            long[] ids = IntStream.of(row).asLongStream().toArray();
            logits = Tensors.toFloats(ours.logits(ours.hidden(ModelInput.padded(ours.tokens(ids, 1, ids.length)))));
            vocabulary = ours.config().vocabSize();
        }
        Path file = temporary.resolve("model.gguf");
        try (LanguageModel loaded = load(model)) {
            loaded.export(file, ModelFormat.gguf(type));
        }
        GgufGolden golden = new GgufGolden(
                new int[][] {row}, IntStream.range(0, row.length).toArray(), new float[][] {logits}, vocabulary);
        double difference =
                golden.difference(judge.ask(List.of(golden.question(file))).get(0));
        LOG.info("{} {}: differs from ours by {}, allowed {}", model.getFileName(), type, difference, allowed);
        assertTrue(difference <= allowed, () -> "log-probabilities differ by " + difference + ", allowed " + allowed);
    }

    /**
     * Factors of all experts that PEFT wrote for {@code target_parameters}: merged, against its numbers, and as a file of its own. Those
     * of Mixtral have a window, beyond which llama.cpp sees; without it the file of the adapter is held against the merged one alone.
     */
    @ParameterizedTest
    @CsvSource({"experts, qwen3_moe_plain", "experts_down, mixtral_window"})
    void targetParameters(String adapter, String base) throws IOException {
        Path folder = TestData.resource("adapter-variants").resolve(adapter);
        boolean windowed = base.endsWith("window");
        GgufGolden golden = windowed ? null : GgufGolden.of(folder, Integer.MAX_VALUE);
        both(model(base, config -> config.remove("sliding_window")), folder, golden, 0);
    }

    /** Factors of some of the experts, of different ranks, as they are where each expert has linears of its own. */
    @ParameterizedTest
    @CsvSource({"qwen3_moe_plain, mlp, gate_proj, down_proj, 0", "mixtral_window, block_sparse_moe, w3, w2, 7"})
    void linearsOfExperts(String base, String part, String in, String out, int window) throws IOException {
        Path folder = Files.createDirectories(temporary.resolve("adapter"));
        Files.writeString(folder.resolve("adapter_config.json"), """
                {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 6, "rank_pattern": {"%s": 3},
                 "target_modules": "model\\\\.layers\\\\.0\\\\.%s\\\\.experts\\\\.(1\\\\.%s|[24]\\\\.%s)"}
                """.formatted("experts.2." + out, part, in, out));
        SplittableRandom random = new SplittableRandom(1);
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            factors(tensors, part + ".experts.1." + in, 2, 16, 8, random);
            factors(tensors, part + ".experts.2." + out, 3, 8, 16, random);
            factors(tensors, part + ".experts.4." + out, 2, 8, 16, random);
            SafetensorsWriter.write(folder.resolve("adapter_model.safetensors"), tensors);
        }
        both(model(base, config -> {}), folder, null, window);
    }

    private static void factors(
            Map<String, Tensor> tensors, String module, int rank, int in, int out, SplittableRandom random) {
        String path = "base_model.model.model.layers.0." + module;
        tensors.put(path + ".lora_A.weight", Tensors.uniform(ComputeDevice.cpu(), random, 0.5, rank, in));
        tensors.put(path + ".lora_B.weight", Tensors.uniform(ComputeDevice.cpu(), random, 0.5, out, rank));
    }

    private void both(Path model, Path folder, @Nullable GgufGolden expected, int window) throws IOException {
        GgufJudge judge = GgufJudge.find(temporary);
        Path merged = temporary.resolve("merged.gguf");
        Path alone = temporary.resolve("alone.gguf");
        Path lora = temporary.resolve("lora.gguf");
        ModelFormat.Gguf format = ModelFormat.gguf(GgufType.F32).contextLength(window == 0 ? 64 : window);
        try (LanguageModel loaded = load(model);
                Adapter adapter = loaded.loadAdapter(folder)) {
            adapter.export(merged, format);
            loaded.export(alone, format);
            adapter.saveGguf(lora, GgufType.F32);
        }
        int[] row = IntStream.range(0, window == 0 ? 40 : window)
                .map(i -> (i * 37 + 11) % 64)
                .toArray();
        GgufGolden asked = expected != null
                ? expected
                : new GgufGolden(new int[][] {row}, new int[0], new float[][] {new float[0]}, 64);
        JsonNode answers = judge.ask(List.of(
                asked.question(merged), asked.question(alone).put("lora", lora.toString()), asked.question(alone)));
        if (expected != null) {
            double difference = expected.difference(answers.get(0));
            double allowed = GgufJudgeTest.WIDE;
            LOG.info("{} merged: differs by {}, allowed {}", folder.getFileName(), difference, allowed);
            assertTrue(
                    difference <= allowed, () -> "log-probabilities differ by " + difference + ", allowed " + allowed);
        }
        double apart = GgufGolden.largest(answers.get(0), answers.get(1));
        double effect = GgufGolden.largest(answers.get(0), answers.get(2));
        LOG.info("{} as a file of its own: differs from merged by {}, the base by {}", folder, apart, effect);
        assertTrue(apart <= LORA, () -> "adapter and merged model differ by " + apart + ", allowed " + LORA);
        assertTrue(effect > 100 * LORA, () -> "the adapter changes " + effect + " only");
    }
}
