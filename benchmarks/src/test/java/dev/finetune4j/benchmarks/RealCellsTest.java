package dev.finetune4j.benchmarks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.io.SafetensorsWriter;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Every cell runs through the public API on a model of one block; nothing is timed. */
class RealCellsTest {
    private static final int VOCABULARY = 1600;
    private static final int HIDDEN = 64;

    @TempDir
    static Path folder;

    @BeforeAll
    static void writeModelAndRows() throws IOException {
        Files.writeString(folder.resolve("config.json"), """
                {"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1,
                 "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 1600, "rms_norm_eps": 1e-5,
                 "max_position_embeddings": 512, "tie_word_embeddings": true, "hidden_act": "silu"}
                """);
        for (String name : List.of("tokenizer.json", "tokenizer_config.json")) {
            try (InputStream file = RealCells.class.getResourceAsStream("tokenizer/" + name)) {
                Files.copy(Objects.requireNonNull(file), folder.resolve(name));
            }
        }
        try (TensorScope scope = new TensorScope()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            tensors.put("model.embed_tokens.weight", random(VOCABULARY));
            for (String linear : List.of("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate")) {
                tensors.put("model.layers.0." + linear + "_proj.weight", random(HIDDEN));
            }
            tensors.put("model.layers.0.mlp.up_proj.weight", random(HIDDEN));
            tensors.put("model.layers.0.mlp.down_proj.weight", random(HIDDEN));
            for (String norm : List.of("layers.0.input_layernorm", "layers.0.post_attention_layernorm", "norm")) {
                tensors.put("model." + norm + ".weight", Tensors.ones(ComputeDevice.cpu(), ScalarType.Float, HIDDEN));
            }
            SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors);
        }
        Files.writeString(folder.resolve("rows.json"), """
                [{"instruction": "Who are you?", "output": "A test."}, {"instruction": "你好", "output": "你好!"},
                 {"instruction": "One?", "output": "Two, three and four."}, {"instruction": "A", "output": "B"}]
                """);
    }

    private static Tensor random(int rows) {
        return Tensors.normal(ComputeDevice.cpu(), new SplittableRandom(rows), 0.05, rows, HIDDEN);
    }

    @Test
    void rowsAreTimedByEpoch() throws IOException {
        List<JsonNode> lines = cell("rows:2x0", "--epochs", "2");
        assertEquals(3, lines.size());
        for (int i = 0; i < 2; i++) {
            assertEquals(i + 1, lines.get(i).get("epoch").asInt());
            assertEquals(2, lines.get(i).get("steps").asInt());
            assertTrue(lines.get(i).get("tokens_per_s").asDouble() > 0);
            assertEquals(Math.log(VOCABULARY), lines.get(i).get("loss").asDouble(), 1);
        }
        assertTrue(lines.get(2).get("plan_gib").asDouble() > 0);
    }

    @Test
    void theSecondTrainingOfAProcessHasTheLossesOfTheFirst() throws IOException {
        JsonNode line = cell("first-steps", "--steps", "2").get(0);
        assertEquals(2, line.get("steps").asInt());
        assertEquals(line.get("loss").asDouble(), line.get("second_loss").asDouble());
    }

    @Test
    void aSoakSaysWhatGrew() throws IOException {
        JsonNode line = cell("soak", "--steps", "8").get(0);
        assertEquals(3, line.get("from_step").asInt());
        assertEquals(8, line.get("to_step").asInt());
        assertTrue(line.get("resident_mib").asInt() > 0);
    }

    @Test
    void answersAndTrainingsBesideChatsAreCounted() throws IOException {
        List<JsonNode> answers = cell("answers");
        assertTrue(answers.get(0).has("s_load"));
        assertEquals(3, answers.get(3).get("answer").asInt());
        assertTrue(answers.get(3).get("tokens").asInt() > 0);
        JsonNode together = cell("together", "--steps", "1", "--seconds", "1", "--chats", "1")
                .get(0);
        assertTrue(together.get("trainings").asInt() > 0, together.toString());
        assertEquals(0, together.get("failures").size(), together.toString());
        assertEquals(0, together.get("largest_loss_difference").asDouble());
    }

    @Test
    void streamsAreServedWithAdaptersAndWithout() throws IOException {
        String[] args = {
            "--model",
            folder.toString(),
            "--device",
            "cpu",
            "--template",
            "chatml",
            "--streams",
            "3",
            "--adapters",
            "0,2",
            "--context",
            "60",
            "--new",
            "4",
            "--rounds",
            "1"
        };
        List<JsonNode> lines = lines(() -> ServeCells.main(args));
        assertEquals(2, lines.size());
        for (JsonNode line : lines) {
            assertEquals(3, line.get("streams").asInt());
            assertTrue(line.get("whole_tokens_per_s").asDouble() > 0);
        }
        assertEquals(2, lines.get(1).get("adapters").asInt());
    }

    @Test
    void batchesInFloat32HaveTheLogProbabilitiesOfAnswersAlone() throws IOException {
        String[] args = {
            "--model", folder.toString(), "--device", "cpu", "--template", "chatml", "--streams", "3", "--new", "4"
        };
        List<JsonNode> lines = lines(() -> NoiseCells.main(args));
        assertEquals(4, lines.size());
        assertEquals("fp32", lines.get(0).get("precision").asText());
        assertTrue(lines.get(0).get("most").asDouble() < 1e-4, lines::toString);
        assertEquals(0, lines.get(0).get("leaving").asInt());
        assertEquals("bfloat16 alone", lines.get(3).get("beside").asText());
        assertEquals(3, lines.get(3).get("answers").asInt());
    }

    @Test
    void preferencesAreMeasuredAtFixedLengthsAndThroughTheBuilder() throws IOException {
        String[] fixed = {
            "--preset",
            "tiny",
            "--pairs",
            "2",
            "--prompt",
            "12",
            "--answer",
            "5",
            "--steps",
            "2",
            "--warmup",
            "1",
            "--layouts",
            "shared,padded",
            "--device",
            "cpu"
        };
        List<JsonNode> lines = lines(() -> PreferenceCells.main(fixed));
        assertEquals(2, lines.size());
        for (JsonNode line : lines) {
            assertEquals(2 * 2 * 17, line.get("tokens_per_step").asInt());
            assertTrue(line.get("tokens_per_s").asDouble() > 0);
            assertEquals(Math.log(2), line.get("loss_first").asDouble(), 1e-3);
        }
        Path pairs = Files.writeString(folder.resolve("pairs.json"), """
                [{"prompt": "Who are you?", "chosen": "I am Zoe.", "rejected": "I am Max."},
                 {"prompt": "Your name?", "chosen": "Zoe.", "rejected": "Max, of course."}]
                """);
        String[] builder = {
            "--model",
            folder.toString(),
            "--data",
            pairs.toString(),
            "--epochs",
            "2",
            "--template",
            "chatml",
            "--device",
            "cpu"
        };
        assertEquals(3, lines(() -> PreferenceCells.main(builder)).size(), "two epochs and the whole");
    }

    private static List<JsonNode> cell(String name, String... more) throws IOException {
        List<String> args = new ArrayList<>(List.of("--cell", name, "--model", folder.toString(), "--device", "cpu"));
        args.addAll(List.of("--data", folder.resolve("rows.json").toString(), "--template", "chatml"));
        args.addAll(List.of(more));
        return lines(() -> RealCells.main(args.toArray(String[]::new)));
    }

    @FunctionalInterface
    private interface Program {
        void run() throws IOException;
    }

    /** The lines of JSON that a program prints. */
    private static List<JsonNode> lines(Program program) throws IOException {
        PrintStream before = System.out;
        ByteArrayOutputStream written = new ByteArrayOutputStream();
        System.setOut(new PrintStream(written, true, StandardCharsets.UTF_8));
        try {
            program.run();
        } finally {
            System.setOut(before);
        }
        List<JsonNode> lines = new ArrayList<>();
        for (String line : written.toString(StandardCharsets.UTF_8).split("\n", -1)) {
            if (line.startsWith("{")) {
                lines.add(new ObjectMapper().readTree(line));
            }
        }
        return lines;
    }
}
