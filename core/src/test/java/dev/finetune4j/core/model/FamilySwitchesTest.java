package dev.finetune4j.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.WrongValues.Outcome;
import dev.finetune4j.core.model.WrongValues.Wrong;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every key that a family reads has a part in the numbers: with another value the logits are others, or the model is refused. */
class FamilySwitchesTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path folder;

    static List<Wrong> wrongValues() {
        return WrongValues.all();
    }

    @ParameterizedTest
    @MethodSource("wrongValues")
    void aWrongValueIsSeen(Wrong wrong) throws IOException {
        Path right = WrongValues.folder(wrong.fixture());
        ObjectNode config =
                (ObjectNode) JSON.readTree(right.resolve("config.json").toFile());
        wrong.applyTo(config);
        Files.copy(right.resolve("model.safetensors"), folder.resolve("model.safetensors"));
        JSON.writeValue(folder.resolve("config.json").toFile(), config);
        try {
            double difference = difference(right);
            // Ten times what parity allows.
            assertTrue(difference > 1e-3, () -> "logits differ by " + difference);
            assertTrue(wrong.outcome() != Outcome.REFUSED, "it was not refused");
        } catch (ModelFileException e) {
            assertTrue(wrong.outcome() != Outcome.DIFFERS, () -> "it was refused: " + e.getMessage());
            assertTrue(e.getMessage().contains("config.json"), () -> "another reason: " + e.getMessage());
        }
    }

    private double difference(Path right) {
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
            return largest;
        }
    }

    /** All types that are read, and InternLM2, which is read as a Llama. */
    static Stream<String> types() {
        return Stream.concat(ModelFamily.ALL.stream().map(ModelFamily::modelType), Stream.of("internlm2"));
    }

    @ParameterizedTest
    @MethodSource("types")
    void everyKeyThatAFamilyReadsHasAWrongValue(String type) {
        List<String> fixtures = WrongValues.fixtures().getOrDefault(type, List.of());
        Set<String> wrong = WrongValues.all().stream()
                .filter(value -> fixtures.contains(value.fixture()))
                .map(value -> WrongValues.common(value.key()))
                .collect(Collectors.toCollection(TreeSet::new));
        assertTrue(!wrong.isEmpty(), "there is no fixture of this type with a wrong.json");
        Set<String> unseen = WrongValues.read(type);
        unseen.removeAll(wrong);
        assertEquals(
                Set.of(),
                unseen,
                "keys that it reads and of which no wrong.json of " + fixtures + " has another value; the reason why a"
                        + " key has no part in the numbers belongs into WrongValues");
    }

    @Test
    void thePageOfFamiliesListsTheseKeys() {
        String page = TestData.text(Path.of("../docs/families.md"));
        String rows = types().map(FamilySwitchesTest::row).collect(Collectors.joining("\n"));
        assertTrue(page.contains(rows), () -> "the table of docs/families.md must be\n" + rows);
    }

    /** A type with its keys: those with which it computes otherwise, and those with which it is refused. */
    private static String row(String type) {
        return "| " + type + " | " + keys(type, Outcome.DIFFERS) + " | " + keys(type, Outcome.REFUSED) + " |";
    }

    private static String keys(String type, Outcome outcome) {
        return WrongValues.fixtures().getOrDefault(type, List.of()).stream()
                .flatMap(fixture -> WrongValues.written(fixture).stream())
                .filter(wrong -> wrong.outcome() == outcome)
                .map(wrong -> WrongValues.common(wrong.key()))
                .filter(key -> !key.equals("model_type"))
                .distinct()
                .sorted()
                .collect(Collectors.joining(", "));
    }
}
