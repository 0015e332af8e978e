package dev.finetune4j.examples.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.examples.Bundled;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The task file of a tutorial trains the bundled model, writes what its readers look for, and goes on where it was stopped. */
class TrainCommandTest {
    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path folder;

    private Path task = Path.of("");
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeEach
    void writeTask() throws IOException {
        task = Files.writeString(folder.resolve("train.yaml"), """
                model_name_or_path: %s
                quantization_bit: 4
                stage: sft
                do_train: true
                finetuning_type: lora
                lora_target: all
                dataset: %s
                template: yi
                cutoff_len: 1024
                max_samples: 1000
                overwrite_cache: true
                preprocessing_num_workers: 16
                output_dir: %s
                logging_steps: 10
                save_steps: 500
                plot_loss: true
                overwrite_output_dir: true
                per_device_train_batch_size: 1
                gradient_accumulation_steps: 8
                learning_rate: 1.0e-3
                num_train_epochs: 3.0
                lr_scheduler_type: cosine
                warmup_ratio: 0.1
                fp16: true
                """.formatted(
                        Bundled.baseModel(), Bundled.identityDataset(), folder.resolve("saves/lora")));
    }

    private int train(String... arguments) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        List<String> all = new ArrayList<>(List.of("train", task.toString()));
        all.addAll(Arrays.asList(arguments));
        return Finetune4j.commandLine(new PrintWriter(out), new PrintWriter(err))
                .execute(all.toArray(String[]::new));
    }

    private int trainIdentity(String... overrides) {
        return train(Stream.concat(
                        Stream.of("--placeholder", "name=张三", "--placeholder", "author=某某公司"), Arrays.stream(overrides))
                .toArray(String[]::new));
    }

    @Test
    void trainsWritesAndGoesOn() throws IOException {
        Path output = folder.resolve("saves/lora");
        assertEquals(0, trainIdentity("max_steps=12", "val_size=0.1", "do_eval=true"), err.toString());
        assertTrue(err.toString().contains("fp16: computed in bfloat16"), err.toString());
        assertTrue(err.toString().contains("template: yi stands for the chat template"), err.toString());
        assertTrue(out.toString().startsWith("trained 12 steps in "), out.toString());
        for (String name : List.of(
                "adapter_config.json",
                "adapter_model.safetensors",
                "checkpoint-12",
                "trainer_log.jsonl",
                "trainer_state.json",
                "all_results.json",
                "train_results.json",
                "eval_results.json",
                "training_loss.png",
                "training_eval_loss.png")) {
            assertTrue(Files.exists(output.resolve(name)), name);
        }
        JsonNode results = JSON.readTree(output.resolve("all_results.json").toFile());
        assertTrue(results.path("train_loss").asDouble() > 0
                && results.path("eval_loss").asDouble() > 0);
        List<Integer> logged = new ArrayList<>();
        for (String line : Files.readAllLines(output.resolve("trainer_log.jsonl"))) {
            logged.add(JSON.readTree(line).path("current_steps").asInt());
        }
        assertEquals(List.of(10, 12, 12), logged, "each ten steps, the last, and the evaluation after it");

        assertEquals(
                0,
                trainIdentity("max_steps=14", "val_size=0.1", "do_eval=true", "overwrite_output_dir=false", "--json"),
                err.toString());
        assertTrue(err.toString().contains("goes on from the latest checkpoint"), err.toString());
        JsonNode result = JSON.readTree(out.toString());
        assertEquals("COMPLETED", result.path("outcome").asText());
        assertTrue(result.path("checkpoint").asText().endsWith("checkpoint-14"), out.toString());
        assertEquals(
                2,
                err.toString()
                        .lines()
                        .filter(line -> line.contains("\"total_steps\":14"))
                        .count());

        assertEquals(1, trainIdentity("max_steps=16", "val_size=0.1", "seed=1", "overwrite_output_dir=false"));
        assertTrue(err.toString().contains("or overwrite_output_dir: true to begin anew"), err.toString());
        assertEquals(1, trainIdentity("model_name_or_path=" + folder.resolve("none")));
        assertTrue(Files.exists(output.resolve("checkpoint-14")), "a training that cannot begin replaces nothing");
    }

    @Test
    void mistakesAreToldBeforeAnythingIsOpened() {
        assertEquals(2, train("stage=ppo", "lora_rnk=8", "learning_rate=-1"));
        assertEquals("""
                finetune4j: %s: 3 things need a change:
                  - argument stage=ppo, stage: ppo: PPO is not built in; learn from preferences by stage: dpo, or from judged answers by stage: kto
                  - argument lora_rnk=8, lora_rnk: there is no such key, did you mean lora_rank?; docs/task-file-keys.md lists all
                  - argument learning_rate=-1, learning_rate: is -1.0; expected a number above 0
                """.formatted(task), err.toString());
        assertEquals(1, train());
        assertTrue(err.toString().contains("give it one with --placeholder name=VALUE"), err.toString());
        assertFalse(Files.exists(folder.resolve("saves")), "nothing was written");
        assertEquals(0, train("--check"));
        assertTrue(out.toString().contains("LoRA of rank 8 on a base in 4 bits (nf4)"), out.toString());
    }

    @Test
    void theFirstSignalAsksForAnEnd() throws Exception {
        CountDownLatch asked = new CountDownLatch(1);
        try (Interrupts interrupts = Interrupts.listen(asked::countDown)) {
            assertEquals(0, interrupts.exitCode());
            Class<?> type = Class.forName("sun.misc.Signal");
            Method raise = type.getMethod("raise", type);
            raise.invoke(null, type.getConstructor(String.class).newInstance("TERM"));
            assertTrue(asked.await(10, TimeUnit.SECONDS));
            assertEquals(143, interrupts.exitCode());
        }
    }
}
