package dev.finetune4j.examples.task;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a task says of what is written.
 *
 * @param folder where the result, the logs and the checkpoints go
 * @param overwrites whether checkpoints of an earlier training in it give way
 * @param from a checkpoint, or a folder of checkpoints, that has to be gone on from; null for none
 * @param checkpoints whether there are any
 * @param keep how many of the latest stay; 0 for all
 * @param keepsBest whether the one with the lowest loss on held-out rows stays too
 * @param savesBest whether that is the result
 * @param patience evaluations in a row without a lower loss that end the training; 0 for none
 * @param plots whether loss curves are drawn
 * @param tensorBoard where event files go; null for nowhere
 * @param plain whether no line is rewritten in place
 * @param logsFirst whether the first step has a line in the log
 */
record OutputKeys(
        Path folder,
        boolean overwrites,
        @Nullable Path from,
        boolean checkpoints,
        int keep,
        boolean keepsBest,
        boolean savesBest,
        int patience,
        boolean plots,
        @Nullable Path tensorBoard,
        boolean plain,
        boolean logsFirst) {
    private static final List<String> KNOWN_LOGS = List.of("none", "tensorboard", "all");

    static OutputKeys of(TaskFile task) {
        Path folder = Path.of(task.text("output_dir").orElse("trainer_output"));
        boolean overwrites = task.flag("overwrite_output_dir");
        String strategy = task.text("save_strategy").orElse("steps");
        if (task.isGiven("save_total_limit")) {
            Demands.atLeast(task, "save_total_limit", 1);
        }
        String metric = task.text("metric_for_best_model").orElse("loss");
        if (!metric.equals("loss") && !metric.equals("eval_loss")) {
            task.refuse(
                    "metric_for_best_model",
                    "is " + metric + ", but the best model is that of the lowest loss; write loss");
        }
        if (strategy.equals("no") && task.isChanged("resume_from_checkpoint")) {
            task.refuse("save_strategy", "is no, but a training goes on from its checkpoints; write steps");
        }
        return new OutputKeys(
                folder,
                overwrites,
                from(task, folder),
                !strategy.equals("no"),
                Math.max(0, task.integer("save_total_limit").orElse(0)),
                strategy.equals("best"),
                task.flag("load_best_model_at_end"),
                task.isGiven("early_stopping_steps") ? Demands.atLeast(task, "early_stopping_steps", 1) : 0,
                task.flag("plot_loss"),
                tensorBoard(task, folder),
                task.flag("disable_tqdm"),
                task.flag("logging_first_step"));
    }

    private static @Nullable Path from(TaskFile task, Path folder) {
        String given = task.text("resume_from_checkpoint").orElse("false");
        if (given.equalsIgnoreCase("false")) {
            return null;
        }
        Path from = given.equalsIgnoreCase("true") ? folder : Path.of(given);
        if (!Files.isDirectory(from)) {
            task.refuse(
                    "resume_from_checkpoint",
                    "there is no folder " + from + "; name a checkpoint, or take it out to begin anew");
        }
        return from;
    }

    private static @Nullable Path tensorBoard(TaskFile task, Path folder) {
        List<String> logs = task.list("report_to");
        for (String log : logs) {
            if (!KNOWN_LOGS.contains(log)) {
                task.note(
                        "report_to",
                        log
                                + " is not written to; trainer_log.jsonl has the same, and report_to: tensorboard writes event"
                                + " files");
            }
        }
        boolean wanted = logs.contains("tensorboard") || logs.contains("all");
        return wanted ? task.text("logging_dir").map(Path::of).orElse(folder.resolve("runs")) : null;
    }
}
