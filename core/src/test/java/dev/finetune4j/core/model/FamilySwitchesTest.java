package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every switch of a family has a part in the numbers: with another value the logits are others, or the weights do not fit. */
class FamilySwitchesTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path folder;

    /** The lists {@code wrong.json} of the fixtures: one object for each wrong value, of keys of config.json. */
    static List<Arguments> wrongValues() throws IOException {
        List<Arguments> all = new ArrayList<>();
        for (String name : FamilyParityTest.cases()) {
            Path file = TestData.resource("model/" + name).resolve("wrong.json");
            if (Files.exists(file)) {
                for (JsonNode wrong : JSON.readTree(file.toFile())) {
                    all.add(Arguments.of(name, wrong));
                }
            }
        }
        return all;
    }

    @ParameterizedTest
    @MethodSource("wrongValues")
    void aWrongValueIsSeen(String name, ObjectNode wrong) throws IOException {
        Path right = TestData.resource("model/" + name);
        ObjectNode config =
                (ObjectNode) JSON.readTree(right.resolve("config.json").toFile());
        config.setAll(wrong);
        Files.copy(right.resolve("model.safetensors"), folder.resolve("model.safetensors"));
        JSON.writeValue(folder.resolve("config.json").toFile(), config);
        assertTrue(differs(right), name + " with " + wrong);
    }

    private boolean differs(Path right) {
        try (CausalLM model =
                        ModelLoader.load(PretrainedFolder.open(folder), LinearFactory.dense(), Placement.cpuFp32());
                SafetensorsFile golden = SafetensorsFile.open(right.resolve("golden.safetensors"));
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor logits = model.logits(model.hidden(ModelInput.padded(golden.read("input_ids"))));
            float[] expected = Tensors.toFloats(golden.read("logits"));
            float[] found = Tensors.toFloats(logits);
            double largest = 0;
            for (int i = 0; i < expected.length; i++) {
                largest = Math.max(largest, Math.abs(expected[i] - found[i]));
            }
            // Ten times what parity allows.
            return largest > 1e-3;
        } catch (ModelFileException e) {
            return true;
        }
    }
}
