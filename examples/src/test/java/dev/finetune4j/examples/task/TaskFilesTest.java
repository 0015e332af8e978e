package dev.finetune4j.examples.task;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * Each task file of a folder ({@code -Dfinetune4j.taskfiles=FOLDER}) is accepted up to the opening of model and data, or refused with a
 * reason. Prints which is which.
 */
class TaskFilesTest {
    /** What became of a file: the command that accepts it, or why it is refused. */
    private record Verdict(String command, List<String> problems) {
        @Override
        public String toString() {
            return problems.isEmpty() ? "runs: finetune4j " + command : "refused: " + String.join("\n    ", problems);
        }
    }

    @Test
    void eachFileIsAcceptedOrRefusedWithAReason() throws IOException {
        String given = System.getProperty("finetune4j.taskfiles");
        Path folder = given == null ? Needs.shared("fixtures/llamafactory/examples") : Path.of(given);
        Map<String, Verdict> verdicts = new TreeMap<>();
        for (Path file : files(folder)) {
            verdicts.put(folder.relativize(file).toString(), verdict(file));
        }
        verdicts.forEach((file, verdict) -> System.out.println(file + "\n    " + verdict));
        long run = verdicts.values().stream()
                .filter(verdict -> verdict.problems().isEmpty())
                .count();
        System.out.println(run + " of " + verdicts.size() + " files run");
        assertFalse(verdicts.isEmpty(), folder + " has no task files");
        verdicts.forEach((file, verdict) -> verdict.problems()
                .forEach(problem -> assertTrue(problem.contains("; "), file + ": no remedy in: " + problem)));
        if (given == null) {
            assertEquals(54, verdicts.size());
            assertKnown(verdicts);
            for (String name : List.of("tutorial_train.yaml", "tutorial_chat.yaml", "tutorial_base.yaml")) {
                assertEquals(List.of(), verdict(folder.resolveSibling(name)).problems(), name);
            }
        }
    }

    private static void assertKnown(Map<String, Verdict> verdicts) {
        for (String file : List.of(
                "train_lora__qwen3_lora_sft.yaml",
                "train_lora__qwen3_lora_dpo.yaml",
                "train_lora__qwen3_lora_kto.yaml",
                "train_lora__qwen3_preprocess.yaml",
                "train_qlora__qwen3_lora_sft_otfq.yaml",
                "extras__pissa__llama3_lora_sft.yaml",
                "extras__loraplus__llama3_lora_sft.yaml",
                "extras__fsdp_qlora__llama3_lora_sft.yaml",
                "inference__qwen3_lora_sft.yaml",
                "merge_lora__qwen3_lora_sft.yaml")) {
            assertEquals(List.of(), verdicts.get(file).problems(), file);
        }
        Map.of(
                        "train_lora__qwen3_lora_reward.yaml", "rm: reward models are not trained",
                        "train_full__qwen3_full_sft.yaml", "deepspeed: a model is not split over devices",
                        "train_full__qwen3vl_full_sft.yaml", "qwen3_vl_nothink is of models that take pictures",
                        "extras__oft__qwen2_5vl_oft_sft.yaml", "oft: OFT is not built in",
                        "extras__nlg_eval__llama3_lora_predict.yaml", "`finetune4j eval`",
                        "merge_lora__qwen3_gptq.yaml", "GPTQ is not built in",
                        "v1__train_lora__train_lora_sft_rank0.yaml", "model_name_or_path: Qwen/Qwen3-4B")
                .forEach((file, words) -> assertTrue(
                        String.join("\n", verdicts.get(file).problems()).contains(words),
                        file + ": " + verdicts.get(file)));
    }

    private static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            return all.filter(file -> file.toString().matches(".*\\.(yaml|yml|json)"))
                    .sorted()
                    .toList();
        }
    }

    private static Verdict verdict(Path file) {
        TaskCommand command = command(file);
        try {
            if (command == TaskCommand.TRAIN) {
                TrainTask.read(file, List.of());
            } else {
                TaskFile task = TaskFile.read(file, List.of(), command);
                ModelKeys.of(task);
                task.requireSound();
            }
            return new Verdict(command.label(), List.of());
        } catch (TaskFileException e) {
            return new Verdict(command.label(), new ArrayList<>(e.problems()));
        }
    }

    /** A file is for the command that its keys ask for. */
    private static TaskCommand command(Path file) {
        try {
            Map<String, String> keys =
                    TaskFile.read(file, List.of(), TaskCommand.TRAIN).given();
            if (keys.containsKey("export_dir")) {
                return TaskCommand.EXPORT;
            }
            return keys.containsKey("do_train") || keys.containsKey("output_dir") || keys.containsKey("stage")
                    ? TaskCommand.TRAIN
                    : TaskCommand.CHAT;
        } catch (TaskFileException e) {
            return TaskCommand.TRAIN; // it will say the same
        }
    }
}
