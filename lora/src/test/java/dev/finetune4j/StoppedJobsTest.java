package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.tensor.TorchRuntime;
import dev.finetune4j.lora.train.StepReport;
import dev.finetune4j.lora.train.TrainingListener;
import dev.finetune4j.lora.train.TrainingReport;
import java.io.BufferedReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Jobs that are started, paused and stopped at any moment, in one process: each ends, nothing is left, and nothing is lost. */
@Timeout(900)
@Tag("slow")
class StoppedJobsTest {
    private static final boolean ALL = Boolean.getBoolean("finetune4j.long");
    private static final int JOBS = ALL ? 50 : 8;
    /** Jobs until the allocator's arenas, one for each thread, have found their size. */
    private static final int SETTLED = ALL ? 40 : 4;

    private static final double GROWTH = 1.05;
    private static final double GROWTH_UNSETTLED = 1.15;

    @TempDir
    private Path folder;

    private Path model;

    private FineTuner.Builder tuner() {
        return ResumeCase.SFT.tuner(model, 40 * JOBS);
    }

    @Test
    void jobsThatAreStoppedAndStartedAgainEndAsOneThatRanAlone() throws Exception {
        long seed = Long.getLong("finetune4j.seed", 5);
        Random random = new Random(seed);
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        Path whole = folder.resolve("whole");
        try (FineTunedModel tuned = tuner().train()) {
            tuned.save(whole);
        }
        int done = 0;
        for (int i = 0; i < JOBS; i++) {
            TrainingJob job = tuner().checkpoints(
                            folder.resolve("checkpoints"), c -> c.saveSteps(10).saveTotalLimit(2))
                    .resume()
                    .start();
            disturb(job, random);
            FineTunedModel tuned = job.completion().toCompletableFuture().get(60, TimeUnit.SECONDS);
            try (tuned) {
                int steps = tuned.report().steps().size();
                assertTrue(steps >= done, "job " + i + ", seed " + seed + ": " + steps + " steps after " + done);
                done = steps;
            }
        }
        assertEquals(List.of(), threads());
        try (FineTunedModel tuned =
                tuner().checkpoints(folder.resolve("checkpoints")).resume().train()) {
            assertEquals(TrainingReport.Outcome.COMPLETED, tuned.report().outcome());
            tuned.save(folder.resolve("resumed"));
        }
        assertArrayEquals(
                Files.readAllBytes(whole.resolve("adapter_model.safetensors")),
                Files.readAllBytes(folder.resolve("resumed/adapter_model.safetensors")),
                "seed " + seed);
    }

    /** Jobs that begin anew, each as large as the others, leave memory flat, wherever they are stopped; beside a heap that never grows. */
    @Test
    void jobsThatAreStoppedLeaveNothing() throws Exception {
        long seed = Long.getLong("finetune4j.seed", 6);
        ProcessBuilder child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xms160m",
                        "-Xmx160m",
                        "-XX:+AlwaysPreTouch",
                        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Jobs.class.getName(),
                        folder.toString(),
                        Long.toString(seed),
                        Integer.toString(SETTLED + JOBS))
                .redirectError(ProcessBuilder.Redirect.INHERIT);
        child.environment().put("OMP_NUM_THREADS", "1");
        List<Long> sizes = new ArrayList<>();
        Process process = child.start();
        try (BufferedReader printed = process.inputReader()) {
            printed.lines().forEach(line -> sizes.add(Long.valueOf(line)));
        } finally {
            process.destroyForcibly();
        }
        assertEquals(0, process.waitFor(), "threads of jobs that have ended; seed " + seed);
        assertEquals(SETTLED + JOBS, sizes.size());
        requireFlat(
                sizes.subList(SETTLED, sizes.size()), ALL ? GROWTH : GROWTH_UNSETTLED, JOBS + " jobs, seed " + seed);
    }

    /** Prints what is resident after each of some jobs; ends with the number of their threads that are left. */
    static final class Jobs {
        private Jobs() {}

        public static void main(String[] args) throws Exception {
            Path folder = Path.of(args[0]);
            Random random = new Random(Long.parseLong(args[1]));
            Path model = Fixtures.tinyChatModel(folder.resolve("model"));
            for (int i = 0; i < Integer.parseInt(args[2]); i++) {
                Path checkpoints = folder.resolve("checkpoints-" + i);
                TrainingJob job = ResumeCase.SFT
                        .tuner(model, 2000)
                        .checkpoints(checkpoints, c -> c.saveSteps(10).saveTotalLimit(2))
                        .start();
                disturb(job, random);
                job.completion().toCompletableFuture().get(60, TimeUnit.SECONDS).close();
                System.out.println(settledBytes());
            }
            System.exit(threads().size());
        }
    }

    /** Stops it after a while, perhaps out of a pause, perhaps at once. */
    private static void disturb(TrainingJob job, Random random) throws InterruptedException {
        Thread.sleep(random.nextInt(300));
        if (random.nextBoolean()) {
            job.pause();
            Thread.sleep(random.nextInt(50));
            if (random.nextBoolean()) {
                job.resume();
                Thread.sleep(random.nextInt(100));
            }
        }
        job.stop();
    }

    private static List<String> threads() throws InterruptedException {
        Thread.sleep(100);
        return Thread.getAllStackTraces().keySet().stream()
                .map(Thread::getName)
                .filter(name -> name.equals("finetune4j-training") || name.equals("finetune4j-checkpoint"))
                .toList();
    }

    /** Steps with checkpoints beside them leave memory flat. */
    @Test
    void stepsWithCheckpointsLeaveMemoryFlat() {
        model = Fixtures.tinyChatModel(folder.resolve("model"));
        int steps = ALL ? 1100 : 300;
        List<Long> sizes = new ArrayList<>();
        ResumeCase.PACKED
                .tuner(model, steps)
                .checkpoints(folder.resolve("checkpoints"), c -> c.saveSteps(20).saveTotalLimit(2))
                .listener(new TrainingListener() {
                    @Override
                    public void onStep(StepReport report, Control control) {
                        if (report.step() >= 100 && report.step() % 10 == 0) {
                            sizes.add(settledBytes());
                        }
                    }
                })
                .train()
                .close();
        requireFlat(sizes, GROWTH, steps + " steps");
    }

    /** The least of either half, since what is not collected yet comes and goes. */
    private static void requireFlat(List<Long> sizes, double growth, String what) {
        int half = sizes.size() / 2;
        long first = Collections.min(sizes.subList(0, half));
        long second = Collections.min(sizes.subList(half, sizes.size()));
        assertTrue(
                second <= first * growth, what + ": resident memory grew from " + first + " to " + second + " bytes");
    }

    private static long settledBytes() {
        System.gc();
        return TorchRuntime.residentBytes();
    }
}
