package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A training whose process is killed at any moment goes on when it is started again, and ends as one that was left alone. */
@Timeout(1800)
@Tag("slow")
class KilledTrainingTest {
    private static final int KILLS = Boolean.getBoolean("finetune4j.long") ? 20 : 1;
    private static final int STEPS = 8 * (KILLS + 1);
    private static final int MOST_STEPS = 3;

    /** Less than a step that is saved takes, so that most kills come while something is written. */
    private static final int MOST_MILLIS = 40;

    @TempDir
    private Path folder;

    @ParameterizedTest
    @EnumSource(names = {"PACKED", "DPO", "EIGHT_BIT"})
    void whatIsTrainedDoesNotDependOnTheKills(ResumeCase training) throws Exception {
        long seed = Long.getLong("finetune4j.seed", 11);
        Random random = new Random(seed);
        Path model = Fixtures.tinyChatModel(folder.resolve("model"));
        Path whole = folder.resolve("whole");
        try (FineTunedModel tuned = training.tuner(model, STEPS).train()) {
            tuned.save(whole);
        }
        int saved = 0;
        int unfinished = 0;
        for (int kill = 0; kill < KILLS; kill++) {
            // So many steps at least, or a training that is killed again and again would never end.
            Child child = new Child(training);
            saved = child.killAfter(1 + random.nextInt(MOST_STEPS), random.nextInt(MOST_MILLIS), saved);
            unfinished += hidden(folder.resolve("checkpoints")) ? 1 : 0;
        }
        new Child(training).toTheEnd(saved);
        assertArrayEquals(
                Files.readAllBytes(whole.resolve("adapter_model.safetensors")),
                Files.readAllBytes(folder.resolve("killed/adapter_model.safetensors")),
                training + ", seed " + seed);
        if (KILLS >= 20) {
            assertTrue(unfinished > 0, "no kill came while a checkpoint was written");
        }
        assertTrue(!hidden(folder.resolve("checkpoints")), "what was half-written is cleared away");
    }

    private static boolean hidden(Path checkpoints) throws IOException {
        try (Stream<Path> entries = Files.list(checkpoints)) {
            return entries.anyMatch(entry -> entry.getFileName().toString().endsWith(".tmp"));
        }
    }

    /** A process that trains, from the latest checkpoint if there is one. */
    private final class Child implements AutoCloseable {
        private final Process process;
        private final BufferedReader printed;

        Child(ResumeCase training) throws IOException {
            process = new ProcessBuilder(
                            Path.of(System.getProperty("java.home"), "bin", "java")
                                    .toString(),
                            "-cp",
                            System.getProperty("java.class.path"),
                            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
                            Training.class.getName(),
                            training.name(),
                            folder.toString(),
                            Integer.toString(STEPS))
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
            printed = process.inputReader();
        }

        /**
         * Kills it after so many steps and milliseconds more.
         *
         * @param saved the latest checkpoint that is known to have been written
         * @return the same now
         */
        int killAfter(int steps, int millis, int saved) throws IOException, InterruptedException {
            try (this) {
                int latest = resumed(saved);
                for (int left = steps; left > 0; ) {
                    String[] line = line().split(" ", -1);
                    latest = line[0].equals("saved") ? Integer.parseInt(line[1]) : latest;
                    left -= line[0].equals("step") ? 1 : 0;
                }
                Thread.sleep(millis);
                return latest;
            }
        }

        void toTheEnd(int saved) throws IOException, InterruptedException {
            try (this) {
                resumed(saved);
                String line = line();
                while (!line.equals("end")) {
                    line = line();
                }
                assertTrue(process.waitFor() == 0, "the process failed");
            }
        }

        /** Nothing that was reported as written may be lost. */
        private int resumed(int saved) throws IOException {
            int from = Integer.parseInt(line().split(" ", -1)[1]);
            assertTrue(from >= saved, "it went on from step " + from + ", but checkpoint-" + saved + " was written");
            return from;
        }

        private String line() throws IOException {
            String line = printed.readLine();
            assertTrue(line != null, "the process ended by itself");
            return line;
        }

        @Override
        public void close() throws InterruptedException {
            process.destroyForcibly().waitFor();
        }
    }

    /** The program of the child process. */
    static final class Training {
        private Training() {}

        public static void main(String[] args) {
            Path place = Path.of(args[1]);
            TrainingListener teller = new TrainingListener() {
                private int from;

                @Override
                public void onResume(TrainingReport.History before) {
                    from = before.step();
                }

                @Override
                public void onPhase(Phase phase) {
                    if (phase == Phase.TRAINING && from >= 0) {
                        System.out.println("from " + from);
                        from = -1;
                    }
                }

                @Override
                public void onStep(StepReport report, Control control) {
                    System.out.println("step " + report.step());
                }

                @Override
                public void onCheckpoint(TrainingReport.Checkpoint checkpoint) {
                    System.out.println("saved " + checkpoint.step());
                }
            };
            try (FineTunedModel tuned = ResumeCase.valueOf(args[0])
                    .tuner(place.resolve("model"), Integer.parseInt(args[2]))
                    .checkpoints(
                            place.resolve("checkpoints"), c -> c.saveSteps(1).saveTotalLimit(2))
                    .resume()
                    .listener(teller)
                    .train()) {
                tuned.save(place.resolve("killed"));
            }
            System.out.println("end");
        }
    }
}
