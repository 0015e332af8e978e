package dev.finetune4j.lora.parallel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.FineTunedModel;
import dev.finetune4j.Fixtures;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
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

    private int launch(String objective, int steps) throws InterruptedException {
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        String[] arguments = {model.toString(), folder.toString(), objective, String.valueOf(steps)};
        return DataParallel.launch(2, RankProgram.class, arguments, lines);
    }

    @Test
    void twoProcessesTrainWhatOneDoes() throws InterruptedException {
        assertEquals(0, launch("dpo", 4), lines::text);
        try (FineTunedModel alone =
                RankProgram.builder(folder.resolve("model"), "dpo", 4, 4, 0).train()) {
            double[] expected = numbers(RankProgram.losses(alone));
            for (String rank : List.of("[rank 0] losses ", "[rank 1] losses ")) {
                double[] found = numbers(lines.after(rank));
                assertEquals(4, found.length);
                for (int i = 0; i < found.length; i++) {
                    assertEquals(expected[i], found[i], 1e-6, rank + i);
                }
            }
        }
        assertTrue(lines.all.contains("[rank 0] step 4") && !lines.all.contains("[rank 1] step 4"), lines.text());
        assertTrue(Files.exists(folder.resolve("of0/adapter_model.safetensors")));
        assertFalse(Files.exists(folder.resolve("of1")));
    }

    private static double[] numbers(String text) {
        return Arrays.stream(text.split(" ")).mapToDouble(Double::parseDouble).toArray();
    }

    @Test
    void aProcessThatIsKilledEndsTheOtherWithItsName() throws InterruptedException {
        long[] killed = new long[1];
        lines.watcher = line -> {
            if (line.equals("[rank 0] step 3")) {
                killed[0] = System.nanoTime();
                ProcessHandle.of(Long.parseLong(lines.after("[rank 1] pid ")))
                        .orElseThrow()
                        .destroyForcibly();
            }
        };
        int status = launch("sft", 1_000_000);

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
    void thereHasToBeAProcess() {
        assertThrows(
                IllegalArgumentException.class,
                () -> DataParallel.launch(0, RankProgram.class, new String[0], System.out));
    }
}
