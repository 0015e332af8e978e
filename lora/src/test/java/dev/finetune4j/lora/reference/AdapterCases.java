package dev.finetune4j.lora.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.lora.export.ChatFiles;
import dev.finetune4j.lora.export.HuggingFaceWriter;
import dev.finetune4j.lora.export.MergeOptions;
import dev.finetune4j.lora.export.MergedModelExporter;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;

/** Adapters against peft: {@code adapters/*}. */
final class AdapterCases {
    private static final Pattern ENCODER_BIAS = Pattern.compile("prompt_encoder\\.\\w+\\.(\\d+)\\.bias");

    private AdapterCases() {}

    static List<ReferenceCase> of(ReferenceFolder reference) {
        List<ReferenceCase> cases = new ArrayList<>();
        for (Path folder : reference.folders("adapters")) {
            Subject subject = new Subject(reference, folder);
            cases.add(subject.newCase("logits", AdapterCases::logits));
            cases.add(subject.newCase("loss", AdapterCases::loss));
            cases.add(subject.newCase("gradients", AdapterCases::gradients));
            if (Files.exists(subject.merged())) {
                cases.add(subject.newCase("merged logits", AdapterCases::mergedLogits));
            }
        }
        return cases;
    }

    /** The base that the configuration of an adapter names, else the one that fits its name. */
    static Path base(ReferenceFolder reference, Path adapter, String caseName) {
        JsonNode config = TestData.json(adapter.resolve("adapter_config.json"));
        return reference.base(config.path("base_model_name_or_path").asText(""), caseName);
    }

    /** An adapter's folder, and what all of its cases open. */
    private record Subject(ReferenceFolder reference, Path folder) {
        Path golden() {
            return folder.resolve("golden.safetensors");
        }

        Path gradients() {
            return folder.resolve("golden_grads.safetensors");
        }

        Path merged() {
            return folder.resolve("golden_merged.safetensors");
        }

        ReferenceCase newCase(String what, AdapterCheck check) {
            List<Path> files = List.of(
                    folder.resolve("adapter_config.json"),
                    folder.resolve("adapter_model.safetensors"),
                    golden(),
                    gradients(),
                    merged());
            String name = ReferenceFolder.name(folder) + " " + what;
            return new ReferenceCase("adapters", name, files, near -> {
                try (CausalLM base = ReferenceFolder.load(base());
                        PeftAdapter adapter = AdapterFiles.load(folder, base);
                        ReferenceBatch batch = ReferenceBatch.open(golden(), base())) {
                    check.run(near, this, base, adapter, batch);
                }
            });
        }

        private Path base() {
            return AdapterCases.base(reference, folder, ReferenceFolder.name(folder));
        }

        /** Copies the base, and adds the tokenizer that a model to export has. */
        Path completeBase(Path copy) throws IOException {
            for (Path file : ReferenceFolder.checkpoint(base())) {
                if (Files.exists(file)) {
                    Files.copy(file, copy.resolve(file.getFileName()));
                }
            }
            Files.writeString(copy.resolve("tokenizer.json"), "{}");
            return copy;
        }
    }

    @FunctionalInterface
    private interface AdapterCheck {
        void run(Closeness near, Subject subject, CausalLM base, PeftAdapter adapter, ReferenceBatch batch)
                throws IOException;
    }

    private static void logits(
            Closeness near, Subject subject, CausalLM base, PeftAdapter adapter, ReferenceBatch batch) {
        batch.compareLogits(near, "logits", subject.golden(), adapter.attachTo(base), ModelCases.LOGITS);
    }

    private static void mergedLogits(
            Closeness near, Subject subject, CausalLM base, PeftAdapter adapter, ReferenceBatch batch)
            throws IOException {
        Path temporary = Files.createTempDirectory("merged");
        try {
            Path source = subject.completeBase(Files.createDirectory(temporary.resolve("base")));
            Path folder = temporary.resolve("merged");
            try (Tokenizer tokenizer = Tokenizer.load(TestData.resource("text/bytelevel"))) {
                ChatFiles files = new ChatFiles(
                        PretrainedFolder.open(source), new ChatEncoder(tokenizer, ChatTemplate.named("default")));
                MergedModelExporter.write(
                        files,
                        JsonNodeFactory.instance.objectNode(),
                        adapter,
                        folder,
                        new HuggingFaceWriter(Precision.FP32),
                        new MergeOptions(true, List.of("Hello")));
            }
            try (CausalLM merged = ReferenceFolder.load(folder)) {
                batch.compareLogits(near, "merged logits", subject.merged(), merged, ModelCases.LOGITS);
            }
        } finally {
            delete(temporary);
        }
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> paths = Files.walk(folder)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }

    private static void loss(
            Closeness near, Subject subject, CausalLM base, PeftAdapter adapter, ReferenceBatch batch) {
        try (SafetensorsFile golden = SafetensorsFile.open(subject.golden())) {
            double expected = TensorData.floats(golden, "loss")[0];
            double actual = batch.loss(adapter.attachTo(base));
            near.absolute("loss", subject.folder().toString(), expected, actual, ModelCases.LOSS);
        }
    }

    private static void gradients(
            Closeness near, Subject subject, CausalLM base, PeftAdapter adapter, ReferenceBatch batch) {
        Map<String, Tensor> parameters = adapter.parameters();
        parameters.values().forEach(tensor -> tensor.set_requires_grad(true));
        batch.backward(adapter.attachTo(base));
        Map<String, float[]> expected = expectedGradients(subject.gradients());
        if (expected.keySet().stream()
                .anyMatch(name -> ENCODER_BIAS.matcher(name).matches())) {
            compareEncoder(near, expected, parameters);
            return;
        }
        assertEquals(expected.keySet(), new TreeMap<>(parameters).keySet(), "trained tensors");
        parameters.forEach((name, tensor) -> near.relative(
                "gradients", name, expected.get(name), ReferenceBatch.gradient(tensor), ModelCases.GRADIENTS));
    }

    /** The gradients by the names that their tensors have in a file; the reference has the names of peft's modules. */
    private static Map<String, float[]> expectedGradients(Path file) {
        Map<String, float[]> gradients = new TreeMap<>();
        try (SafetensorsFile golden = SafetensorsFile.open(file)) {
            for (String name : golden.names()) {
                String stored = name.replace(".default", "")
                        .replace(".modules_to_save", "")
                        .replace("lora_magnitude_vector.weight", "lora_magnitude_vector");
                gradients.put(stored, TensorData.floats(golden, name));
            }
        }
        return gradients;
    }

    /**
     * A stored adapter holds what its encoder gave, not the encoder. The encoder's last bias is added to every row, so
     * its gradient is the sum of those of the rows.
     */
    private static void compareEncoder(Closeness near, Map<String, float[]> expected, Map<String, Tensor> parameters) {
        assertEquals(1, parameters.size(), () -> "one table of virtual tokens, but " + parameters.keySet());
        float[] rows = ReferenceBatch.gradient(parameters.values().iterator().next());
        String last = "";
        int place = -1;
        for (String name : expected.keySet()) {
            Matcher bias = ENCODER_BIAS.matcher(name);
            if (bias.matches() && Integer.parseInt(bias.group(1)) > place) {
                place = Integer.parseInt(bias.group(1));
                last = name;
            }
        }
        float[] bias = expected.get(last);
        double[] sums = new double[bias.length];
        for (int i = 0; i < rows.length; i++) {
            sums[i % bias.length] += rows[i];
        }
        float[] actual = new float[bias.length];
        for (int i = 0; i < actual.length; i++) {
            actual[i] = (float) sums[i];
        }
        near.relative("gradients", last, bias, actual, ModelCases.GRADIENTS);
    }
}
