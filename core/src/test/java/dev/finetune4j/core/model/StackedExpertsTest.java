package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Checkpoints in which the weights of a layer's experts are one tensor, as transformers 5.18 writes them with {@code
 * save_original_format=False}, and whenever it has read them so. The files of the fixtures are rewritten in that form.
 */
class StackedExpertsTest {
    private static final Pattern EXPERT = Pattern.compile("(.+\\.experts)\\.(\\d+)\\.(.+)\\.weight");
    private static final String GATE_AND_UP = ".gate_up_proj";

    @TempDir
    Path temporary;

    private static Path fixture(String name) {
        return TestData.resource("model/" + name);
    }

    /** The tensors of a fixture with those of experts as stacks; the sparse part of Mixtral has the name {@code part}. */
    private static Map<String, Tensor> stacked(SafetensorsFile file, String part) {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        Map<String, Map<Integer, Map<String, Tensor>>> experts = new LinkedHashMap<>();
        for (String name : file.names()) {
            Matcher expert = EXPERT.matcher(name);
            if (expert.matches()) {
                experts.computeIfAbsent(expert.group(1), none -> new TreeMap<>())
                        .computeIfAbsent(Integer.valueOf(expert.group(2)), none -> new LinkedHashMap<>())
                        .put(expert.group(3), file.read(name));
            } else {
                tensors.put(name.replace("block_sparse_moe", part), file.read(name));
            }
        }
        experts.forEach((module, all) -> {
            List<Tensor> inputs = new ArrayList<>();
            List<Tensor> outputs = new ArrayList<>();
            for (Map<String, Tensor> one : all.values()) {
                boolean numbered = one.containsKey("w1");
                inputs.add(torch.cat(new TensorVector(
                        one.get(numbered ? "w1" : "gate_proj"), one.get(numbered ? "w3" : "up_proj"))));
                outputs.add(one.get(numbered ? "w2" : "down_proj"));
            }
            String path = module.replace("block_sparse_moe", part);
            tensors.put(path + GATE_AND_UP, torch.stack(new TensorVector(inputs.toArray(new Tensor[0]))));
            tensors.put(path + ".down_proj", torch.stack(new TensorVector(outputs.toArray(new Tensor[0]))));
        });
        return tensors;
    }

    /** A fixture in that form, each tensor in a file of its own where it is sharded. */
    private Path rewritten(String name, String part, boolean sharded, UnaryOperator<String> names) throws IOException {
        Path folder = Files.createDirectories(temporary.resolve(name));
        Files.copy(fixture(name).resolve("config.json"), folder.resolve("config.json"));
        try (TensorScope scope = new TensorScope();
                SafetensorsFile file = SafetensorsFile.open(fixture(name).resolve("model.safetensors"))) {
            Map<String, LazyTensor> tensors = new LinkedHashMap<>();
            stacked(file, part).forEach((path, tensor) -> tensors.put(names.apply(path), LazyTensor.of(tensor)));
            SafetensorsWriter.writeSharded(folder, tensors, Map.of(), sharded ? 1 : Long.MAX_VALUE);
        }
        return folder;
    }

    private static float[] logits(Path folder, String fixture) {
        try (CausalLM model =
                        ModelLoader.load(PretrainedFolder.open(folder), LinearFactory.dense(), Placement.cpuFp32());
                SafetensorsFile golden = SafetensorsFile.open(fixture(fixture).resolve("golden.safetensors"));
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(golden.read("input_ids")))));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "qwen3_moe_plain, mlp, false, model.",
        "qwen3_moe_plain, mlp, true, ''",
        "qwen3_moe_mixed, mlp, true, model.",
        "qwen2_moe_shared, mlp, false, model.",
        "mixtral_window, mlp, true, model.",
        "mixtral_window, block_sparse_moe, false, ''"
    })
    void computeTheSame(String name, String part, boolean sharded, String prefix) throws IOException {
        Path folder = rewritten(name, part, sharded, path -> path.replaceFirst("^model\\.", prefix));
        assertArrayEquals(logits(fixture(name), name), logits(folder, name));
    }

    @Test
    void haveThePublishedNames() throws IOException {
        Path folder = rewritten("mixtral_window", "mlp", true, path -> path);
        ModelFiles files = ModelFiles.open(folder);
        try (WeightSource weights = files.weights();
                TensorScope scope = new TensorScope();
                SafetensorsFile own =
                        SafetensorsFile.open(fixture("mixtral_window").resolve("model.safetensors"))) {
            assertEquals(own.names(), weights.names());
            for (String name : own.names()) {
                assertArrayEquals(own.info(name).shape(), weights.info(name).shape(), name);
                assertArrayEquals(TensorData.bytes(own.read(name)), TensorData.bytes(weights.read(name)), name);
                assertEquals(own.info(name).bytes(), weights.info(name).bytes(), name);
            }
            assertEquals(own.names(), files.weightFiles().keySet());
            String first = "model.layers.1.block_sparse_moe.experts.0.w1.weight";
            assertEquals(files.weightFiles().get(first), files.weightFiles().get(first.replace(".0.w1", ".5.w3")));
            assertFalse(
                    files.weightFiles().get(first).equals(files.weightFiles().get(first.replace("w1", "w2"))));
            assertTrue(weights.areEqual(first, first));
            assertFalse(weights.areEqual(first, first.replace("w1", "w3")));
        }
    }

    /** What is wrong with the numbers of config.json is said of the experts that do not fit. */
    @Test
    void ofAnotherNumberAreNamed() throws IOException {
        Path folder = rewritten("qwen3_moe_plain", "mlp", false, path -> path);
        Path config = folder.resolve("config.json");
        Files.writeString(config, Files.readString(config).replace("\"num_experts\": 6", "\"num_experts\": 5"));
        ModelFileException refused = assertThrows(ModelFileException.class, () -> logits(folder, "qwen3_moe_plain"));
        assertTrue(
                refused.getMessage().contains("model.layers.0.mlp.experts.5.gate_proj.weight"), refused.getMessage());
    }

    @Test
    void rowsAreReadWithoutTheOthers() throws IOException {
        Path folder = rewritten("qwen3_moe_plain", "mlp", false, path -> path);
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("model.safetensors"));
                TensorScope scope = new TensorScope()) {
            String stack = "model.layers.0.mlp.experts.down_proj"; // (6, 16, 8)
            Tensor all = file.read(stack).reshape(6 * 16, 8);
            assertArrayEquals(TensorData.bytes(all.narrow(0, 90, 6)), TensorData.bytes(file.readRows(stack, 90, 6)));
            assertThrows(IllegalArgumentException.class, () -> file.readRows(stack, 91, 6));
        }
    }
}
