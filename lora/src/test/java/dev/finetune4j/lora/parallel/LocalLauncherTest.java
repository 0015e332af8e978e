package dev.finetune4j.lora.parallel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.Fixtures;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Ranks that are processes. */
@Timeout(100)
class LocalLauncherTest {
    private static final long MOST_SECONDS = 30;

    @TempDir
    private Path folder;

    private final Lines lines = new Lines();

    /** Keeps what the processes print. */
    private static final class Lines extends PrintStream {
        private final List<String> all = new CopyOnWriteArrayList<>();
        private volatile Consumer<String> watcher = line -> {};

        Lines() {
            super(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8);
        }

        @Override
        public void println(String line) {
            all.add(line);
            watcher.accept(line);
        }

        String after(String start) {
            return all.stream()
                    .filter(line -> line.startsWith(start))
                    .map(line -> line.substring(start.length()))
                    .findFirst()
                    .orElseThrow(() -> new AssertionError("no line begins with " + start + " in " + text()));
        }

        String text() {
            return String.join("\n", all);
        }
    }

    private int launch(String objective, int steps, Path... checkpoints) throws InterruptedException {
        Path model = folder.resolve("model");
        if (!Files.exists(model)) {
            Fixtures.tinyChatModel(model);
        }
        List<String> arguments =
                new ArrayList<>(List.of(model.toString(), folder.toString(), objective, String.valueOf(steps)));
        Arrays.stream(checkpoints).map(Path::toString).forEach(arguments::add);
        return DataParallel.launch(2, RankProgram.class, arguments.toArray(String[]::new), lines);
    }

    private double[] alone(String objective, int steps, UnaryOperator<FineTuner.Builder> with) {
        FineTuner.Builder builder = RankProgram.builder(folder.resolve("model"), objective, steps, 4, 0);
        try (FineTunedModel alone = with.apply(builder).train()) {
            return numbers(RankProgram.losses(alone));
        }
    }

    @Test
    void twoProcessesTrainWhatOneDoes() throws InterruptedException {
        assertEquals(0, launch("dpo", 4), lines::text);
        double[] expected = alone("dpo", 4, builder -> builder);
        assertArrayEquals(expected, numbers(lines.after("[rank 0] losses ")), 1e-6);
        assertArrayEquals(expected, numbers(lines.after("[rank 1] losses ")), 1e-6);
        assertEquals(Fixtures.device(1).toString(), lines.after("[rank 1] device "));
        assertTrue(lines.all.contains("[rank 0] step 4") && !lines.all.contains("[rank 1] step 4"), lines.text());
        assertTrue(Files.exists(folder.resolve("of0/adapter_model.safetensors")));
        assertFalse(Files.exists(folder.resolve("of1")));
    }

    private static double[] numbers(String text) {
        return Arrays.stream(text.split(" ")).mapToDouble(Double::parseDouble).toArray();
    }

    /** It ends the other, which tells its name. */
    private void killOne(Path checkpoints) throws InterruptedException {
        long[] killed = new long[1];
        lines.watcher = line -> {
            if (line.equals("[rank 0] step 5")) {
                killed[0] = System.nanoTime();
                ProcessHandle.of(Long.parseLong(lines.after("[rank 1] pid ")))
                        .orElseThrow()
                        .destroyForcibly();
            }
        };
        int status = launch("sft", 1_000_000, checkpoints);

        double seconds = (System.nanoTime() - killed[0]) / 1e9;
        assertTrue(killed[0] != 0 && seconds < MOST_SECONDS, seconds + " s: " + lines.text());
        assertEquals(137, status);
        String last = lines.text();
        assertTrue(
                last.contains("RankLostException: rank 1 (")
                        && last.contains("process " + lines.after("[rank 1] pid "))
                        && last.contains("was lost"),
                last);
    }

    @Test
    @Tag("slow")
    void aProcessThatIsKilledEndsTheOtherAndBothOrOneGoOn() throws InterruptedException, IOException {
        Path checkpoints = folder.resolve("checkpoints");
        killOne(checkpoints);
        Path copy = folder.resolve("copy");
        copy(checkpoints, copy);
        lines.all.clear();
        lines.watcher = line -> {};
        assertEquals(0, launch("sft", 8, checkpoints), lines::text);
        assertFalse(lines.all.contains("[rank 0] step 2"), "it does not begin anew: " + lines.text());
        double[] whole = alone("sft", 8, builder -> builder);
        assertEquals(8, whole.length);
        assertArrayEquals(whole, numbers(lines.after("[rank 1] losses ")), 1e-6);
        assertArrayEquals(whole, alone("sft", 8, builder -> RankProgram.resumed(builder, copy)), 1e-6);
    }

    private static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : files.toList()) {
                Files.copy(file, to.resolve(from.relativize(file).toString()));
            }
        }
    }

    @Test
    void thereHasToBeAProcess() {
        assertThrows(
                IllegalArgumentException.class,
                () -> DataParallel.launch(0, RankProgram.class, new String[0], System.out));
    }
}
