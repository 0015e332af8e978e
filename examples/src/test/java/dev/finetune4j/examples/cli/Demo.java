package dev.finetune4j.examples.cli;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.data.Dataset;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The demonstration with an adapter that was trained on it, made once for all tests of this process. They only read it. */
final class Demo {
    private Demo() {}

    /** The folder, with {@code model}, {@code data} and {@code adapter}. */
    static Path folder() {
        return Made.FOLDER;
    }

    private static final class Made {
        static final Path FOLDER = make();

        private static Path make() {
            try {
                Path folder = Files.createTempDirectory(Path.of("target"), "demo");
                new DemoFiles(folder, "张三", "某某公司").write();
                try (FineTunedModel tuned = FineTuner.builder()
                        .model(folder.resolve("model"))
                        .qlora(q -> q.rank(16).alpha(32))
                        .dataset(Dataset.named(folder.resolve("data/dataset_info.json"), "identity"))
                        .training(t -> t.epochs(3).batchSize(8).learningRate(1e-3))
                        .device(ComputeDevice.cpu())
                        .train()) {
                    tuned.save(folder.resolve("adapter"));
                }
                return folder;
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }
}
