package dev.finetune4j.examples.task;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Task files are read with the types of their keys, and all mistakes are found together. */
class TaskFileTest {
    @TempDir
    private Path folder;

    private TaskFile read(String text, String... overrides) throws IOException {
        return TaskFile.read(Files.writeString(folder.resolve("t.yaml"), text), List.of(overrides), TaskCommand.TRAIN);
    }

    private String mistakes(String text, String... overrides) {
        return String.join(
                "\n",
                assertThrows(
                                TaskFileException.class,
                                () -> read(text, overrides).requireSound())
                        .problems());
    }

    @Test
    void valuesHaveTheTypesOfTheirKeys() throws IOException {
        TaskFile task = read("""
                model_name_or_path: ./Yi-1.5-6B-Chat  # a comment
                learning_rate: 1e-4
                num_train_epochs: 3
                lora_rank: 1_6
                plot_loss: yes
                fp16: "true"
                dataset: identity, alpaca_en_demo
                eval_dataset: [a, b]
                max_samples:
                resume_from_checkpoint: null
                lr_scheduler_kwargs: {num_cycles: 2, min_lr_rate: 0.1, name: x}
                """);
        task.requireSound();
        assertEquals(Optional.of("./Yi-1.5-6B-Chat"), task.text("model_name_or_path"));
        assertEquals(Optional.of(1e-4), task.number("learning_rate"));
        assertEquals(Optional.of(3.0), task.number("num_train_epochs"));
        assertEquals(Optional.of(16), task.integer("lora_rank"));
        assertTrue(task.flag("plot_loss") && task.flag("fp16"));
        assertEquals(List.of("identity", "alpaca_en_demo"), task.list("dataset"));
        assertEquals(List.of("a", "b"), task.list("eval_dataset"));
        assertEquals(Optional.empty(), task.integer("max_samples"));
        assertFalse(task.isGiven("resume_from_checkpoint"));
        assertEquals(Map.of("num_cycles", 2, "min_lr_rate", 0.1, "name", "x"), task.map("lr_scheduler_kwargs"));
        assertEquals(Optional.of(8), task.integer("per_device_train_batch_size"), "the default");
        assertEquals("line 4", task.place("lora_rank"));
    }

    @Test
    void jsonIsReadTooAndArgumentsTakePrecedence() throws IOException {
        TaskFile task = read(
                "{\n\t\"model_name_or_path\": \"a\\/b\",\n\t\"bf16\": true, \"lora_target\": [\"q_proj\"]\n}",
                "learning_rate=2e-4",
                "bf16=false",
                "lora_target=null",
                "lr_scheduler_kwargs.num_cycles=3");
        task.requireSound();
        assertEquals(Optional.of("a/b"), task.text("model_name_or_path"));
        assertEquals(Optional.of(2e-4), task.number("learning_rate"));
        assertFalse(task.flag("bf16"));
        assertEquals(List.of("all"), task.list("lora_target"), "null is the default");
        assertEquals(Map.of("num_cycles", 3), task.map("lr_scheduler_kwargs"));
        assertEquals("argument bf16=false", task.place("bf16"));
    }

    @Test
    void allMistakesAreFoundTogetherWithTheirLinesAndOnceForEachCause() {
        assertEquals("""
                line 1, lora_rnk: there is no such key, did you mean lora_rank?; docs/task-file-keys.md lists all
                line 2, learning_rate: is fast; expected a number
                line 3, bf16: is maybe; expected true or false
                line 4, stage: is sfd, did you mean sft?; expected one of pt, sft, dpo, kto
                line 5, lora_rank: is a list; expected a whole number
                lines 6, 7, use_dft_loss, use_asft_loss: this loss is not built in; take it out; stage: sft learns by the cross entropy of the answers
                line 8, finetuning_type: oft: OFT is not built in; train with finetuning_type: lora
                argument: x is no key=value; write such as learning_rate=2e-4""", mistakes("""
                lora_rnk: 8
                learning_rate: fast
                bf16: maybe
                stage: sfd
                lora_rank: [8]
                use_dft_loss: true
                use_asft_loss: true
                finetuning_type: oft
                """, "x"));
        assertEquals("lines 1, 2, lora_rank: stands there twice; take one out", mistakes("lora_rank: 8\nlora_rank: 8"));
    }

    @Test
    void aDefaultIsNeverRefusedAndWhatIsIgnoredIsSaidInOneLineForEachReason() throws IOException {
        TaskFile task = read("""
                use_galore: false
                deepspeed: null
                model_revision: main
                ddp_timeout: 1800
                cache_dir: ""
                preprocessing_num_workers: 16
                dataloader_num_workers: 4
                trust_remote_code: true
                temperature: 0.2
                """);
        task.requireSound();
        assertEquals(
                List.of(
                        "preprocessing_num_workers, dataloader_num_workers: ignored; rows are encoded within seconds, on all cores that help",
                        "trust_remote_code: ignored; no code of a checkpoint is ever run",
                        "temperature: ignored; no matter of `finetune4j train`"),
                task.notes());
    }

    @Test
    void whatIsNoTaskFileIsSaidAsSuch() {
        assertTrue(mistakes("a: b: c").startsWith("line 1, column 5: is no YAML or JSON: there is a second \": \""));
        assertTrue(mistakes("").startsWith("holds nothing; expected lines such as"));
        assertTrue(mistakes("- 1").startsWith("is no map of keys"));
        assertTrue(mistakes("a: &x [*x]").contains("deep"), mistakes("a: &x [*x]"));
        TaskFileException missing = assertThrows(
                TaskFileException.class,
                () -> TaskFile.read(folder.resolve("absent.yaml"), List.of(), TaskCommand.CHAT));
        assertTrue(String.valueOf(missing.getMessage()).contains("there is no such file"));
        String other = mistakes(
                "model: Qwen/Qwen3-0.6B\npeft_config: {name: lora, r: 16, target_modules: all}\ntrain_dataset: d.yaml\nmicro_batch_size: 1\ncp_size: 2\nquant_config: null");
        assertEquals(
                "this is the schema that LLaMA-Factory reads with USE_V1=1, which is not read here; write stage: sft (dpo where"
                        + " the rows are pairs), do_train: true, model_name_or_path: Qwen/Qwen3-0.6B, finetuning_type: lora,"
                        + " lora_rank: 16, lora_target: all, per_device_train_batch_size: 1; write train_dataset as dataset, with"
                        + " the data set's entry in dataset_info.json; take out cp_size",
                other);
    }
}
