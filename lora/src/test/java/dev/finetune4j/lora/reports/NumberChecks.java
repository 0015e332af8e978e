package dev.finetune4j.lora.reports;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.Fixtures;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.inference.TokenGenerator;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.io.SafetensorsFile;
import dev.finetune4j.core.model.CausalLM;
import dev.finetune4j.core.model.ModelInput;
import dev.finetune4j.core.nn.KvCache;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import dev.finetune4j.testsupport.TensorData;
import dev.finetune4j.testsupport.TestData;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/** Logits and generated tokens against those of transformers and peft. */
final class NumberChecks {
    private static final double TOLERANCE = 1e-4;

    private NumberChecks() {}

    /** Of the model in the folder, or of the base with the adapter in it. */
    static void logits(ReportFolder report, Path folder) {
        if (!report.isAdapter() && reinitialised(folder)) {
            return;
        }
        if (!report.isAdapter()) {
            try (CausalLM model = Fixtures.model(folder, LinearFactory.dense())) {
                compare(report.expected(), model);
            }
            return;
        }
        try (CausalLM base = Fixtures.model(report.base(), LinearFactory.dense());
                PeftAdapter adapter = AdapterFiles.load(folder, base)) {
            compare(report.expected(), adapter.attachTo(base));
        }
    }

    /**
     * Whether transformers found no weights under the names that it wanted and drew them at random, so that the numbers stated
     * are nobody's; then the input must be refused in one line, or read as the same file with a tied head.
     */
    private static boolean reinitialised(Path folder) {
        if (!Files.exists(folder.resolve("model.safetensors"))) {
            return false; // shards with an index
        }
        Set<String> names;
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("model.safetensors"))) {
            names = file.tensors().keySet();
        }
        if (names.stream().noneMatch(name -> name.endsWith("embed_tokens.weight"))) {
            return false;
        }
        if (names.stream().noneMatch(Set.of("model.embed_tokens.weight", "embed_tokens.weight")::contains)) {
            ModelFileException refusal =
                    assertThrows(ModelFileException.class, () -> Fixtures.model(folder, LinearFactory.dense()));
            assertEquals(
                    1,
                    refusal.getMessage()
                            .lines()
                            .filter(line -> line.contains("  - "))
                            .count(),
                    refusal.getMessage());
            assertTrue(refusal.getMessage().contains("tensor names begin with"), refusal.getMessage());
            return true;
        }
        ModelFiles directory = ModelFiles.open(folder);
        if (names.contains("lm_head.weight")
                || directory.config().path("tie_word_embeddings").asBoolean(true)) {
            return false;
        }
        try (CausalLM model = Fixtures.model(folder, LinearFactory.dense());
                TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor hidden = model.hidden(ModelInput.padded(model.tokens(new long[] {1, 2, 3}, 1, 3)));
            Tensor table = model.parameters().get("model.embed_tokens.weight");
            assertEquals(
                    0,
                    TensorData.relativeError(
                            Tensors.toFloats(hidden.matmul(table.t())), Tensors.toFloats(model.logits(hidden))),
                    1e-5);
        }
        return true;
    }

    private static void compare(JsonNode expected, CausalLM model) {
        int[] ids = TestData.ints(expected.path("ids"));
        float[] logits = logits(model, ids);
        int lastRow = logits.length - logits.length / ids.length;
        JsonNode stated = expected.path("last_logits");
        float[] first = new float[stated.size()];
        for (int i = 0; i < first.length; i++) {
            first[i] = stated.get(i).floatValue();
        }
        assertTrue(first.length > 0, "expected.json states no logits");
        double error = TensorData.relativeError(first, Arrays.copyOfRange(logits, lastRow, lastRow + first.length));
        assertTrue(error <= TOLERANCE, () -> "logits differ by " + error + ", allowed " + TOLERANCE);
        double sum = 0;
        double size = 0;
        for (float logit : logits) {
            sum += logit;
            size += Math.abs(logit);
        }
        assertEquals(expected.path("sum").doubleValue(), sum, TOLERANCE * size, "sum of all logits");
    }

    private static float[] logits(CausalLM model, int[] ids) {
        long[] row = Arrays.stream(ids).asLongStream().toArray();
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            return Tensors.toFloats(model.logits(model.hidden(ModelInput.padded(model.tokens(row, 1, row.length)))));
        }
    }

    /** The ids that follow a prompt when the most probable one is taken each time, and the text of them. */
    static void greedy(ReportFolder report, Path folder) {
        int[] prompt = TestData.ints(report.expected().path("prompt"));
        int[] greedy = TestData.ints(report.expected().path("greedy"));
        int[] expected = Arrays.copyOfRange(greedy, prompt.length, greedy.length);
        assertTrue(expected.length > 0, "expected.json states no generated ids");
        try (CausalLM model = Fixtures.model(folder, LinearFactory.dense());
                KvCache cache = model.newCache();
                Tokenizer tokenizer = Tokenizer.load(folder)) {
            GenerationSettings settings =
                    GenerationSettings.builder().maxNewTokens(expected.length).build();
            int[] ids = new TokenGenerator(model, Set.of())
                    .generate(prompt, cache, settings, id -> {})
                    .ids();
            assertArrayEquals(expected, ids);
            if (report.expected().has("text")) {
                assertEquals(report.expected().path("text").asText(), tokenizer.decode(ids, true));
            }
            requireStop(tokenizer, folder);
        }
    }

    /** The end tokens that config and tokenizer name are among those at which a chat stops. */
    private static void requireStop(Tokenizer tokenizer, Path folder) {
        Set<Integer> named = ModelFiles.open(folder).eosTokenIds();
        ChatTemplate template = ChatTemplate.ofCheckpoint(tokenizer).orElseGet(() -> ChatTemplate.named("default"));
        Set<Integer> stops = new ChatEncoder(tokenizer, template, named).stopIds();
        assertTrue(stops.containsAll(named), () -> "stop ids " + stops + " without some of " + named);
        tokenizer.eosToken().ifPresent(token -> {
            int id = tokenizer.idOf(token).orElse(-1);
            assertTrue(stops.contains(id), () -> "stop ids " + stops + " without " + token);
        });
    }
}
