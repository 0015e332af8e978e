package dev.finetune4j;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import dev.finetune4j.testsupport.TestGpu;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Reference files and the tiny chat model that the tests of this module share. */
public final class Fixtures {
    /** Where the models of the tests are; {@code -Dfinetune4j.device=cuda} for a GPU. */
    private static final ComputeDevice DEVICE =
            System.getProperty("finetune4j.device", "cpu").equals("cuda") ? TestGpu.device() : ComputeDevice.cpu();

    private Fixtures() {}

    /** Where the models of the tests are. */
    public static ComputeDevice device() {
        return DEVICE;
    }

    /** Where one of two ranks is: on a GPU of its own where the tests are on GPUs and there are two, otherwise on the CPU. */
    public static ComputeDevice device(int rank) {
        boolean gpus = DEVICE.kind() == ComputeDevice.Kind.CUDA && TorchRuntime.cudaDevices() > 1;
        return gpus ? ComputeDevice.cuda(rank) : ComputeDevice.cpu();
    }

    /** A file or folder of the reference numbers in the test resources. */
    public static Path reference(String path) {
        return TestData.resource("reference/" + path);
    }

    /** A tiny model of a family: the reference Llama, or one of those that the modules share. */
    public static Path tinyModel(String family) {
        return family.equals("llama") ? reference("models/llama") : TestData.resource("model/" + family + "_v4");
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
                Files.copy(TestData.resource("text/bytelevel").resolve(name), folder.resolve(name));
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
}
