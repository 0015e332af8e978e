package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.model.PretrainedFolder;
import dev.finetune4j.core.tensor.Placement;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.plan.MemoryPlan;
import dev.finetune4j.lora.plan.estimate.MemoryPlanner;
import dev.finetune4j.lora.plan.estimate.PlannedBatch;
import dev.finetune4j.testsupport.TestGpu;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is known not to fit is refused before memory is touched. */
@Tag("slow")
class MemoryCheckTest {
    private static final MemoryCheck STRICT = new MemoryCheck(false);
    private static final MemoryCheck IGNORING = new MemoryCheck(true);

    @TempDir
    private Path folder;

    private static MemoryPlan plan(ComputeDevice device, long free) {
        return MemoryPlanner.of(
                        PretrainedFolder.open(Fixtures.reference("models/llama")),
                        null,
                        LoraSettings.defaults(),
                        new Placement(device, Precision.FP32))
                .choose(PlannedBatch.padded(64, 128), new DeviceMemory(free, 1L << 40));
    }

    @Test
    void onTheCpuAPlanThatDoesNotFitIsRefusedWithItsAdvice() {
        long peak = plan(ComputeDevice.cpu(), 1L << 40).peak();
        assertDoesNotThrow(() -> STRICT.training(plan(ComputeDevice.cpu(), 1L << 40), ComputeDevice.cpu()));
        MemoryPlan tight = plan(ComputeDevice.cpu(), peak / 3);
        assertFalse(tight.fits());
        OutOfDeviceMemoryException refused =
                assertThrows(OutOfDeviceMemoryException.class, () -> STRICT.training(tight, ComputeDevice.cpu()));
        assertTrue(refused.getMessage().startsWith("training takes more memory than cpu has"), refused.getMessage());
        assertTrue(refused.getMessage().contains("lower the batch to "), refused.getMessage());
        assertTrue(refused.getMessage().endsWith("call ignoreMemoryPlan()"), refused.getMessage());
        assertEquals(tight.peak(), refused.requestedBytes().orElseThrow());
        assertEquals(peak / 3, refused.freeBytes().orElseThrow());
        assertDoesNotThrow(() -> IGNORING.training(tight, ComputeDevice.cpu()));
    }

    @Test
    void anAdapterThatIsTooLargeIsRefusedForItsRank() {
        Path base = Fixtures.tinyChatModel(folder.resolve("base"));
        OutOfDeviceMemoryException refused = assertThrows(
                OutOfDeviceMemoryException.class,
                () -> FineTuner.builder()
                        .model(base)
                        .lora(l -> l.rank(1 << 30))
                        .dataset(Dataset.of(List.of(SftExample.of("q", "a"))))
                        .device(ComputeDevice.cpu())
                        .train());
        assertTrue(refused.getMessage().startsWith("training takes more memory than cpu has"), refused.getMessage());
        assertTrue(refused.getMessage().contains("take a lower rank"), refused.getMessage());
        assertTrue(refused.getMessage().endsWith("call ignoreMemoryPlan()"), refused.getMessage());
    }

    @Test
    void onAGpuOnlyWhatDoesNotDependOnTheBatchIsRefused() {
        ComputeDevice gpu = TestGpu.device();
        MemoryPlan whole = plan(gpu, 1L << 40);
        MemoryPlan tight = plan(gpu, whole.bytes().resident() + 1);
        assertFalse(tight.fits());
        assertDoesNotThrow(() -> STRICT.training(tight, gpu));
        assertThrows(
                OutOfDeviceMemoryException.class,
                () -> STRICT.training(plan(gpu, tight.bytes().resident() - 1), gpu));
    }

    @Test
    void weightsThatDoNotFitAreNotLoaded() {
        PretrainedFolder directory = PretrainedFolder.open(Fixtures.reference("models/llama"));
        Placement placement = new Placement(ComputeDevice.cpu(), Precision.FP32);
        long weights = MemoryPlanner.weightBytes(directory, null, placement);
        assertDoesNotThrow(() -> STRICT.loading(directory, null, placement, new DeviceMemory(weights, weights)));
        DeviceMemory small = new DeviceMemory(weights - 1, 1L << 40);
        OutOfDeviceMemoryException refused =
                assertThrows(OutOfDeviceMemoryException.class, () -> STRICT.loading(directory, null, placement, small));
        assertTrue(refused.getMessage().contains("quantize(QuantSettings.nf4())"), refused.getMessage());
        assertDoesNotThrow(() -> IGNORING.loading(directory, null, placement, small));
    }

    /** Each asks for tebibytes; if one of them were begun, the operating system would end the process. */
    @ParameterizedTest
    @ValueSource(strings = {"rank", "full", "load"})
    @Timeout(60)
    void absurdSizesEndInAnErrorAndNotInADeadProcess(String what) throws Exception {
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        if (!what.equals("rank")) {
            Files.delete(model.resolve("model.safetensors"));
            Files.writeString(model.resolve("config.json"), """
                    {"model_type": "llama", "hidden_size": 16384, "intermediate_size": 65536, "num_hidden_layers": 300,
                     "num_attention_heads": 128, "num_key_value_heads": 8, "vocab_size": 64000, "rms_norm_eps": 1e-5,
                     "max_position_embeddings": 512, "tie_word_embeddings": false, "eos_token_id": 1}
                    """);
        }
        Path data = Fixtures.alpaca(folder.resolve("data.json"), "I am Zoe.", "Who are you?", "Your name?");
        Path printed = folder.resolve("printed.txt");
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx256m",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Absurd.class.getName(),
                        what,
                        model.toString(),
                        data.toString())
                .redirectErrorStream(true)
                .redirectOutput(printed.toFile())
                .start();
        try {
            assertTrue(child.waitFor(50, TimeUnit.SECONDS), "it did not end");
        } finally {
            child.destroyForcibly();
        }
        String text = Files.readString(printed);
        assertEquals(0, child.exitValue(), text);
        assertTrue(text.contains("REFUSED"), text);
    }

    /** The program of the child process. */
    static final class Absurd {
        private static final long MOST_RESIDENT_KIB = 1L << 20;

        private Absurd() {}

        public static void main(String[] args) throws IOException {
            try {
                FineTuner.Builder builder = FineTuner.builder()
                        .model(Path.of(args[1]))
                        .dataset(Path.of(args[2]))
                        .device(ComputeDevice.cpu());
                switch (args[0]) {
                    case "rank" -> builder.lora(l -> l.rank(100_000_000)).train();
                    case "full" -> builder.full().train();
                    default ->
                        LanguageModel.loader(Path.of(args[1]))
                                .device(ComputeDevice.cpu())
                                .load();
                }
            } catch (OutOfDeviceMemoryException e) {
                System.out.println("REFUSED " + e.getMessage());
            }
            Path status = Path.of("/proc/self/status");
            for (String line : Files.exists(status) ? Files.readAllLines(status) : List.<String>of()) {
                if (line.startsWith("VmHWM:") && Long.parseLong(line.replaceAll("\\D", "")) > MOST_RESIDENT_KIB) {
                    System.out.println(line);
                    System.exit(1);
                }
            }
        }
    }
}
