package dev.finetune4j.lora.export;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.Fixtures;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.MergeSettings;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.io.LazyTensor;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelLoader;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Merging without loading, and what is found when the merged model is compared with base and adapter. */
class MergeCheckTest {
    private static final Path ADAPTER = Fixtures.reference("adapters/lora");

    @TempDir
    Path folder;

    @Test
    void theFigureIsInTheCardAndInTheRecord() throws IOException {
        Path base = Fixtures.tinyChatModel(folder.resolve("base"));
        Files.writeString(base.resolve("README.md"), "---\nlicense: mit\n---\n# Base\n");
        Path merged = folder.resolve("merged");
        LanguageModel.merge(base, ADAPTER, merged, ModelFormat.huggingFace(Precision.FP32), MergeSettings.defaults());
        String card = Files.readString(merged.resolve("README.md"));
        assertTrue(card.startsWith("---\nlicense: mit\n---\n# Base\n"), card);
        JsonNode figure = TestData.json(merged.resolve("finetune4j.json")).path("merge");
        int tokens = figure.path("tokens").intValue();
        assertEquals(4, figure.path("prompts").intValue());
        assertEquals(tokens, figure.path("same_choice").intValue());
        assertTrue(figure.path("largest_difference").doubleValue() < 1e-5, figure.toString());
        assertTrue(card.contains("same likeliest token | " + tokens + " of " + tokens), card);
    }

    @Test
    void aMergedModelThatComputesOtherwiseIsNotWritten() throws IOException {
        Path base = Fixtures.tinyChatModel(folder.resolve("base"));
        Path merged = folder.resolve("merged");
        LanguageModel.merge(
                base,
                ADAPTER,
                merged,
                ModelFormat.huggingFace(Precision.BF16),
                MergeSettings.defaults().prompts(List.of()));
        assertFalse(Files.exists(merged.resolve("README.md")), "a card without a comparison");
        PretrainedFolder opened = PretrainedFolder.open(base);
        try (Tokenizer tokenizer = Tokenizer.load(base);
                CausalLM shapes = ModelLoader.meta(opened);
                PeftAdapter adapter = AdapterFiles.load(ADAPTER, shapes)) {
            ChatEncoder encoder = new ChatEncoder(
                    tokenizer, ChatTemplate.ofCheckpoint(tokenizer).orElseThrow());
            MergeCheck strict = new MergeCheck(opened, adapter, encoder, List.of("Hello"), 1e-6);
            FineTune4jException refused = assertThrows(FineTune4jException.class, () -> strict.run(merged));
            assertTrue(refused.getMessage().contains("nothing was written"), refused.getMessage());
            // The base alone, said to be the merged model.
            Path other = folder.resolve("other");
            ChatFiles files = new ChatFiles(opened, encoder);
            JsonNode record = TestData.json(merged.resolve("finetune4j.json"));
            try (CausalLM plain = Fixtures.model(base, LinearFactory.dense())) {
                ModelContent content = ModelContent.of(plain, files, record, Precision.FP32);
                ModelContent checked = new ModelContent(content.tensors(), false, files, record, strict);
                assertThrows(
                        FineTune4jException.class, () -> new HuggingFaceWriter(Precision.FP32).write(checked, other));
            }
            assertFalse(Files.exists(other.resolve("model.safetensors")), "the folder looks whole");
        }
    }

    /** Each tensor is in the file that it had, under whatever names shards go. */
    @Test
    void theFilesOfTheBaseAreKept() throws IOException {
        Path base = Fixtures.tinyChatModel(folder.resolve("base"));
        Path weights = base.resolve("model.safetensors");
        Map<String, LazyTensor> tensors = new LinkedHashMap<>();
        try (SafetensorsFile file = SafetensorsFile.open(weights)) {
            for (String name : file.names()) {
                TensorInfo info = file.info(name);
                tensors.put(name, LazyTensor.of(ScalarType.Float, info.shape(), () -> file.read(name)));
            }
            Files.move(weights, folder.resolve("single.safetensors"));
            SafetensorsWriter.writeSharded(base, tensors, Map.of("format", "pt"), 100_000);
        }
        JsonNode index = TestData.json(base.resolve("model.safetensors.index.json"));
        for (Precision precision : List.of(Precision.FP32, Precision.BF16)) {
            Path merged = folder.resolve("merged" + precision);
            LanguageModel.merge(base, ADAPTER, merged, ModelFormat.huggingFace(precision), MergeSettings.defaults());
            JsonNode own = TestData.json(merged.resolve("model.safetensors.index.json"));
            Set<String> files = new TreeSet<>();
            own.path("weight_map").forEach(file -> files.add(file.textValue()));
            assertTrue(files.size() > 2, files + " are too few to tell");
            assertEquals(index.path("weight_map"), own.path("weight_map"));
            for (String file : files) {
                assertTrue(Files.isRegularFile(merged.resolve(file)), file);
            }
        }
    }

    @Test
    void fourBitsAreMergedIntoOnlyWhenAllowed() {
        Path base = Fixtures.tinyChatModel(folder.resolve("base"), Fixtures.reference("bnb/llama_nf4_double"));
        Path merged = folder.resolve("merged");
        ModelFormat format = ModelFormat.huggingFace(Precision.FP32);
        SettingsException refused = assertThrows(
                SettingsException.class,
                () -> LanguageModel.merge(base, ADAPTER, merged, format, MergeSettings.defaults()));
        assertTrue(refused.getMessage().contains("allowFourBit()"), refused.getMessage());
        assertFalse(Files.exists(merged), "something was written");
        LanguageModel.merge(
                base, ADAPTER, merged, format, MergeSettings.defaults().allowFourBit());
        JsonNode figure = TestData.json(merged.resolve("finetune4j.json")).path("merge");
        assertTrue(figure.path("largest_difference").doubleValue() < 1e-4, figure.toString());
    }
}
