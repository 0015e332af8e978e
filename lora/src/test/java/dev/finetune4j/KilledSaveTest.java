package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.lora.export.GgufContent;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A process that is killed while it writes adapters and models: what is loaded afterwards is one that was written. */
@Timeout(600)
@Tag("slow")
class KilledSaveTest {
    private static final int KILLS = Boolean.getBoolean("finetune4j.long") ? 40 : 2;
    private static final List<String> ADAPTER = List.of("adapter");
    private static final List<String> MODELS = List.of("merged", "full");
    private static final String GGUF = "merged.gguf";

    @TempDir
    private Path folder;

    @Test
    void whatIsFoundIsOneOfThoseThatWereWritten() throws Exception {
        long seed = Long.getLong("finetune4j.seed", 7);
        Random random = new Random(seed);
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        for (int kill = 0; kill < KILLS; kill++) {
            Path place = folder.resolve("kill-" + kill);
            List<String> answers = killWhileItWrites(place, random.nextInt(400));
            try (LanguageModel base = load(model);
                    Adapter adapter = base.loadAdapter(place.resolve(ADAPTER.get(0)))) {
                assertOneOf(answers.subList(0, 2), answer(adapter), "adapter, seed " + seed + ", kill " + kill);
            }
            GgufContent gguf = GgufContent.read(place.resolve(GGUF)); // to its last number
            assertEquals(21, gguf.tensors().size(), "tensors of the GGUF file, seed " + seed + ", kill " + kill);
            for (String name : MODELS) {
                try (LanguageModel written = load(place.resolve(name))) {
                    int from = name.equals("full") ? 2 : 0;
                    assertOneOf(
                            answers.subList(from, from + 2),
                            answer(written),
                            name + ", seed " + seed + ", kill " + kill);
                }
            }
        }
    }

    private static void assertOneOf(List<String> answers, String found, String what) {
        assertTrue(answers.contains(found), what + ": \"" + found + "\" is none of " + answers);
    }

    private static LanguageModel load(Path folder) {
        return LanguageModel.loader(folder)
                .device(ComputeDevice.cpu())
                .precision(Precision.FP32)
                .load();
    }

    private static String answer(ChatModel model) {
        try (ChatSession session =
                model.chat(GenerationSettings.builder().maxNewTokens(12).build())) {
            return session.send("Hello");
        }
    }

    /** Answers of all that the killed process wrote. */
    private List<String> killWhileItWrites(Path place, int millis) throws IOException, InterruptedException {
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        Writing.class.getName(),
                        folder.resolve("model").toString(),
                        place.toString())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        try (BufferedReader printed = child.inputReader()) {
            List<String> answers = List.of(line(printed), line(printed), line(printed), line(printed));
            assertEquals(4, Set.copyOf(answers).size(), () -> "answers that cannot be told apart: " + answers);
            assertEquals("ready", line(printed));
            Thread.sleep(millis);
            child.destroyForcibly().waitFor();
            return answers;
        } finally {
            child.destroyForcibly();
        }
    }

    private static String line(BufferedReader printed) throws IOException {
        String line = printed.readLine();
        assertTrue(line != null, "the process ended by itself");
        return line.replace("\\n", "\n");
    }

    /** The program of the child process: writes two adapters and two models in turn until it is killed. */
    static final class Writing {
        private Writing() {}

        private static FineTuner.Builder tuner(Path model, long seed) {
            return tuner(model, seed, 5e-2);
        }

        private static FineTuner.Builder tuner(Path model, long seed, double rate) {
            return FineTuner.builder()
                    .model(model)
                    .dataset(Fixtures.alpaca(
                            model.resolveSibling(
                                    "data-" + ProcessHandle.current().pid() + ".json"),
                            "I am Zoe.",
                            "Who are you?",
                            "Hello"))
                    .device(ComputeDevice.cpu())
                    .precision(Precision.FP32)
                    .training(t -> t.maxSteps(3).learningRate(rate).seed(seed));
        }

        public static void main(String[] args) throws IOException {
            Path model = Path.of(args[0]);
            Path place = Files.createDirectories(Path.of(args[1]));
            try (FineTunedModel one = tuner(model, 1).lora(l -> l.rank(2)).train();
                    FineTunedModel two =
                            tuner(model, 2).lora(l -> l.rank(5).alpha(11)).train();
                    FineTunedModel three = tuner(model, 3).full().train();
                    FineTunedModel four = tuner(model, 4, 2e-2).full().train()) {
                for (FineTunedModel each : List.of(one, two, three, four)) {
                    System.out.println(answer(each).replace("\n", "\\n"));
                }
                boolean told = false;
                while (true) {
                    for (FineTunedModel adapted : List.of(one, two)) {
                        adapted.save(place.resolve(ADAPTER.get(0)));
                        adapted.export(place.resolve(MODELS.get(0)), ModelFormat.huggingFace(Precision.FP32));
                        adapted.export(place.resolve(GGUF), ModelFormat.gguf(GgufType.F32));
                    }
                    for (FineTunedModel whole : List.of(three, four)) {
                        whole.export(place.resolve(MODELS.get(1)), ModelFormat.huggingFace(Precision.FP32));
                    }
                    if (!told) {
                        System.out.println("ready");
                        told = true;
                    }
                }
            }
        }
    }
}
