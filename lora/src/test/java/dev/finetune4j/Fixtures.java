package dev.finetune4j;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.stream.StreamSupport;
import org.bytedeco.pytorch.Tensor;

/** Reference files and the tiny chat model that the tests of this module share. */
public final class Fixtures {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Where the models of the tests are; {@code -Dfinetune4j.device=cuda} for a GPU. */
    private static final ComputeDevice DEVICE =
            System.getProperty("finetune4j.device", "cpu").equals("cuda") ? ComputeDevice.cuda(0) : ComputeDevice.cpu();

    private Fixtures() {}

    /** A file or folder of the reference numbers in the test resources. */
    public static Path reference(String path) {
        return resource("reference/" + path);
    }

    /** A file or folder of the test resources. */
    public static Path resource(String path) {
        try {
            return Path.of(Objects.requireNonNull(Fixtures.class.getResource("/" + path), path)
                    .toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    public static JsonNode json(Path file) {
        try {
            return JSON.readTree(file.toFile());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Loads a model of a folder in float32 on the device of the tests. */
    public static CausalLM model(Path folder, LinearFactory factory) {
        return ModelLoader.load(PretrainedFolder.open(folder), factory, new Placement(DEVICE, Precision.FP32));
    }

    /** A complete chat model folder: the reference Llama with the byte-level tokenizer that fits its vocabulary. */
    public static Path tinyChatModel(Path folder) {
        return tinyChatModel(folder, reference("models/llama"));
    }

    /** The same around another model of that vocabulary. */
    public static Path tinyChatModel(Path folder, Path model) {
        try {
            Files.createDirectories(folder);
            for (String name : List.of("config.json", "model.safetensors")) {
                Files.copy(model.resolve(name), folder.resolve(name));
            }
            for (String name : List.of("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")) {
                Files.copy(reference("tokenizers/bytelevel").resolve(name), folder.resolve(name));
            }
            return folder;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** An alpaca file with the given questions, all answered alike. */
    public static Path alpaca(Path file, String answer, String... questions) {
        StringBuilder rows = new StringBuilder("[");
        for (String question : questions) {
            rows.append(rows.length() > 1 ? "," : "")
                    .append("{\"instruction\":\"")
                    .append(question)
                    .append("\",\"input\":\"\",\"output\":\"")
                    .append(answer)
                    .append("\"}");
        }
        try {
            return Files.writeString(file, rows.append("]"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static float[] floats(SafetensorsFile file, String name) {
        try (Tensor tensor = file.read(name)) {
            return Tensors.toFloats(tensor);
        }
    }

    public static long[] longs(SafetensorsFile file, String name) {
        try (Tensor tensor = file.read(name)) {
            return Tensors.toLongs(tensor);
        }
    }

    /** The largest difference over the largest size of the expected values. */
    public static double relativeError(float[] expected, float[] actual) {
        if (expected.length != actual.length) {
            throw new AssertionError("expected " + expected.length + " values, got " + actual.length);
        }
        double difference = 0;
        double size = 0;
        for (int i = 0; i < expected.length; i++) {
            difference = Math.max(difference, Math.abs((double) expected[i] - actual[i]));
            size = Math.max(size, Math.abs((double) expected[i]));
        }
        return Double.isNaN(difference) || size == 0 ? difference : difference / size;
    }

    /** Labels moved by one: the label of a position is the id that the next position holds. */
    public static long[] shift(long[] labels, int rows, int length) {
        long[] shifted = new long[labels.length];
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < length; i++) {
                shifted[row * length + i] = i + 1 < length ? labels[row * length + i + 1] : -100;
            }
        }
        return shifted;
    }

    /** A file or folder of the reference numbers: the wide collection where it is, else the part of it in the resources. */
    public static Path wide(String path) {
        return Needs.findShared("fixtures/reference")
                .map(root -> root.resolve(path))
                .orElseGet(() -> reference(path));
    }

    /** The whole numbers of a JSON list. */
    public static int[] ints(JsonNode array) {
        return StreamSupport.stream(array.spliterator(), false)
                .mapToInt(JsonNode::intValue)
                .toArray();
    }
}
