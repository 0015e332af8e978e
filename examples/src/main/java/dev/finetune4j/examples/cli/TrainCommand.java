package dev.finetune4j.examples.cli;

import dev.finetune4j.core.hub.HubException;
import dev.finetune4j.data.DataReport;
import dev.finetune4j.examples.Terminal;
import dev.finetune4j.examples.task.TrainRun;
import dev.finetune4j.examples.task.TrainTask;
import dev.finetune4j.lora.train.StepReport;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine;

/** Trains as a task file says. */
@CommandLine.Command(
        name = "train",
        description = {
            "Trains as a task file with LLaMA-Factory's keys says, which docs/task-file-keys.md lists.",
            "Ctrl-C ends it after the step that it is at, with a checkpoint from which the same command goes on; a second one"
                    + " at once.",
            "Exit codes: 0 trained, 1 failed, 2 the task file has mistakes, 3 memory does not suffice, 130 or 143 stopped by"
                    + " Ctrl-C or SIGTERM."
        },
        mixinStandardHelpOptions = true)
final class TrainCommand implements Callable<Integer> {
    @CommandLine.Mixin
    private Output output = new Output();

    @CommandLine.Parameters(index = "0", paramLabel = "TASK", description = "A task file in YAML or JSON.")
    private Path file = Path.of("");

    @CommandLine.Parameters(
            index = "1..*",
            paramLabel = "KEY=VALUE",
            description = "Takes precedence over the file, such as learning_rate=2e-4.")
    private List<String> overrides = List.of();

    @CommandLine.Option(
            names = "--placeholder",
            paramLabel = "NAME=VALUE",
            description = "What stands for {{NAME}} in the rows; may be repeated.")
    private Map<String, String> placeholders = Map.of();

    @CommandLine.Option(names = "--check", description = "Only read the task file, and say what it would do.")
    private boolean check;

    @Override
    public Integer call() {
        // Its warnings are told below in the words of a task file.
        System.setProperty("org.slf4j.simpleLogger.log.dev.finetune4j.lora.train.loop.Trainer", "error");
        TrainTask task = TrainTask.read(file, overrides);
        TrainProgress progress = new TrainProgress(output.err(), form(task));
        task.notes().forEach(progress::say);
        if (check) {
            output.out()
                    .println(
                            output.isJson()
                                    ? new Json().put("task", task.describe()).put("notes", task.notes())
                                    : task.describe());
            return 0;
        }
        try {
            return train(task, progress);
        } catch (HubException e) {
            if (e.reason() == HubException.Reason.NOT_CACHED && !output.isJson()) {
                progress.say("here: finetune4j download " + task.model());
            }
            throw e;
        }
    }

    private TrainProgress.Form form(TrainTask task) {
        if (output.isJson()) {
            return TrainProgress.Form.JSON;
        }
        return Terminal.isInteractive() && !task.isPlain() ? TrainProgress.Form.BAR : TrainProgress.Form.LINES;
    }

    private int train(TrainTask task, TrainProgress progress) {
        TrainRun run = TrainRun.start(task, placeholders, progress::say, progress);
        try (Interrupts interrupts = Interrupts.listen(() -> {
            progress.say("stopping after this step; Ctrl-C once more ends at once");
            run.stop();
        })) {
            TrainRun.Result result = run.await();
            if (!result.stopped()) {
                DataReport data = result.report().data();
                result.report().warnings().stream()
                        .filter(warning ->
                                data == null || !data.warnings().contains(warning)) // told when they were read
                        .forEach(warning -> progress.say("warning: " + InKeys.say(warning)));
            }
            output.out().println(output.isJson() ? json(result) : text(result, task.isOverwriting()));
            output.out().flush();
            return result.stopped() ? Math.max(1, interrupts.exitCode()) : 0;
        }
    }

    private static Json json(TrainRun.Result result) {
        Json json = new Json()
                .put("outcome", result.report().outcome().name())
                .put("output_dir", result.folder().toString())
                .put(
                        "checkpoint",
                        result.checkpoint() == null ? null : result.checkpoint().toString())
                .put("warnings", result.report().warnings());
        result.results().forEach(json::put);
        return json;
    }

    private static String text(TrainRun.Result result, boolean overwrites) {
        List<StepReport> steps = result.report().steps();
        int some = Math.max(1, steps.size() / 10);
        String loss = steps.isEmpty()
                ? ""
                : String.format(
                        Locale.ROOT,
                        ", loss %.4f → %.4f",
                        mean(steps.subList(0, some)),
                        mean(steps.subList(steps.size() - some, steps.size())));
        if (!result.stopped()) {
            return String.format(
                    Locale.ROOT,
                    "trained %,d steps in %s%s; all is in %s",
                    steps.size(),
                    time(result.report().duration().toMillis()),
                    loss,
                    result.folder());
        }
        String goesOn = result.checkpoint() == null
                ? "there is no checkpoint to go on from"
                : "the same command" + (overwrites ? " with overwrite_output_dir=false" : "") + " goes on from "
                        + result.checkpoint().getFileName();
        return "stopped after step " + steps.size() + loss + "; " + goesOn;
    }

    private static double mean(List<StepReport> steps) {
        return steps.stream().mapToDouble(StepReport::loss).average().orElse(Double.NaN);
    }

    private static String time(long millis) {
        return millis < 60_000
                ? String.format(Locale.ROOT, "%.1f s", millis / 1e3)
                : String.format(Locale.ROOT, "%d min %d s", millis / 60_000, millis / 1000 % 60);
    }
}
