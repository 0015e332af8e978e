package dev.finetune4j.examples.task;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.data.Example;
import dev.finetune4j.data.SftExample;
import dev.finetune4j.data.TextExample;
import dev.finetune4j.data.TrainOn;
import dev.finetune4j.lora.adapter.FreezeSettings;
import dev.finetune4j.lora.adapter.LoraInit;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.TargetModules;
import dev.finetune4j.lora.train.Optimizer;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import dev.finetune4j.quant.QuantType;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a task file says becomes the library's settings, with the meaning and the defaults that the keys have elsewhere. */
class TrainTaskTest {
    private static final String NEEDED = "model_name_or_path: m\ndo_train: true\ndataset: d\n";

    @TempDir
    private Path folder;

    private TaskFile task(String text) throws IOException {
        return TaskFile.read(Files.writeString(folder.resolve("t.yaml"), NEEDED + text), List.of(), TaskCommand.TRAIN);
    }

    private String mistakes(String text) throws IOException {
        Files.writeString(folder.resolve("t.yaml"), NEEDED + text);
        return String.join(
                "\n",
                assertThrows(TaskFileException.class, () -> TrainTask.read(folder.resolve("t.yaml"), List.of()))
                        .problems());
    }

    private static ScheduleKeys schedule(TaskFile task) {
        return ScheduleKeys.of(task, EncodingKeys.of(task, ObjectiveKeys.of(task, MethodKeys.of(task))));
    }

    @Test
    void stepsFollowFromRowsAndShares() throws IOException {
        ScheduleKeys keys = schedule(task("""
                per_device_train_batch_size: 1
                gradient_accumulation_steps: 8
                num_train_epochs: 3
                warmup_steps: 5
                save_steps: 0.25
                eval_strategy: steps
                eval_steps: 0.5
                logging_steps: 10
                """));
        TrainingSettings base = present(keys.base());
        assertEquals(54, keys.totalSteps(base, 138, 1), "18 steps an epoch, the last of 2 rows");
        assertEquals(27, keys.totalSteps(base, 138, 2));
        assertEquals(5, keys.settings(54).warmupSteps(54));
        assertEquals(27, keys.settings(54).evaluationSteps());
        assertEquals(14, ScheduleKeys.steps(keys.save(), 54));
        assertEquals(10, ScheduleKeys.steps(keys.log(), 54));
        assertEquals(6, schedule(task("warmup_ratio: 0.1")).settings(54).warmupSteps(54));
        assertEquals(6, schedule(task("warmup_steps: 0.1")).settings(54).warmupSteps(54));
        assertEquals(
                0,
                schedule(task("lr_scheduler_type: constant\nwarmup_ratio: 0.1"))
                        .settings(54)
                        .warmupSteps(54));
        assertEquals(0, schedule(task("eval_strategy: epoch")).settings(54).evaluationSteps());
        assertEquals(Integer.MAX_VALUE, schedule(task("")).settings(54).evaluationSteps(), "at the end alone");
        assertEquals(1, ScheduleKeys.steps(schedule(task("")).log(), 54));
    }

    private static TrainingSettings present(@Nullable TrainingSettings settings) {
        assertNotNull(settings);
        return settings == null ? TrainingSettings.builder().build() : settings;
    }

    @Test
    void defaultsAreThoseOfTransformers() throws IOException {
        TrainingSettings settings = schedule(task("")).settings(100);
        assertEquals(8, settings.batchSize());
        assertEquals(1, settings.gradientAccumulation());
        assertEquals(5e-5, settings.learningRate());
        assertEquals("Linear[]", settings.schedule().toString());
        assertEquals(new Optimizer.AdamW(0.9, 0.999, 1e-8), settings.optimizer());
        assertEquals(1, settings.maxGradNorm());
        assertEquals(42, settings.seed());
    }

    @Test
    void optimizersHaveTheirNames() throws IOException {
        assertEquals(
                new Optimizer.Lion(0.95, 0.98),
                schedule(task("optim: lion_32bit\nadam_beta1: 0.95\nadam_beta2: 0.98"))
                        .settings(9)
                        .optimizer());
        assertEquals(
                Optimizer.adamW8bit(),
                schedule(task("optim: paged_adamw_8bit")).settings(9).optimizer());
        assertEquals(
                Optimizer.adafactor(),
                schedule(task("adafactor: true")).settings(9).optimizer());
    }

    @Test
    void methodsHaveTheirKeys() throws IOException {
        MethodKeys lora = MethodKeys.of(task("""
                lora_rank: 4
                lora_dropout: 0.1
                lora_target: q_proj,v_proj
                additional_target: embed_tokens,lm_head
                use_rslora: true
                pissa_init: true
                pissa_iter: -1
                loraplus_lr_ratio: 16
                """));
        assertEquals(
                LoraSettings.builder()
                        .rank(4)
                        .alpha(8)
                        .dropout(0.1)
                        .targetModules(TargetModules.named("q_proj", "v_proj"))
                        .modulesToSave("embed_tokens", "lm_head")
                        .useRslora(true)
                        .initWeights(new LoraInit.Pissa(0))
                        .build(),
                lora.adapter());
        assertEquals(16, lora.loraPlus());
        assertNull(lora.quantization());
        assertEquals(
                new QuantSettings(QuantType.FP4, 64, false),
                MethodKeys.of(task("quantization_bit: 4\nquantization_type: fp4\ndouble_quantization: false"))
                        .quantization());
        assertEquals(
                FreezeSettings.builder().firstLayers(3).modules("mlp").build(),
                MethodKeys.of(task(
                                "finetuning_type: freeze\nfreeze_trainable_layers: -3\nfreeze_trainable_modules: mlp"))
                        .adapter());
        assertTrue(MethodKeys.of(task("finetuning_type: full")).isFull());
        assertEquals(
                Path.of("a", "b"),
                MethodKeys.of(task("adapter_name_or_path: a\nadapter_folder: b"))
                        .continued());
    }

    @Test
    void whatDoesNotGoTogetherIsSaidAtOnce() throws IOException {
        assertEquals("""
                line 5, finetuning_type: full leaves no model to compare with, but pref_loss: sigmoid compares with it; write lora, or stage: dpo with pref_loss: orpo or simpo
                line 6, use_dora: is of finetuning_type: lora, but that is full; take it out
                line 7, mask_history: is of stage: sft, but that is dpo; take it out
                line 8, val_size: holds rows out, but eval_dataset names some already; take one of the two out
                line 10, fp16: is true beside bf16; take it out""", mistakes("""
                stage: dpo
                finetuning_type: full
                use_dora: true
                mask_history: true
                val_size: 0.1
                eval_dataset: e
                fp16: true
                bf16: true
                """));
        assertTrue(mistakes("do_eval: true").startsWith("line 4, do_eval: there are no rows to evaluate; "));
        assertTrue(mistakes("dataset_dir: REMOTE:a/b").contains("no data set is downloaded"));
        assertTrue(mistakes("packing: true\nwarmup_steps: 9").contains("warmup_steps: how many steps there are"));
    }

    @Test
    void rowsAreFoundLimitedMixedAndHeldOut() throws IOException {
        Files.writeString(folder.resolve("rows.json"), rows(20, "instruction", "output"));
        Files.writeString(folder.resolve("few.json"), rows(5, "instruction", "output"));
        Files.writeString(folder.resolve("texts.json"), rows(3, "text", "other"));
        Files.writeString(folder.resolve("dataset_info.json"), """
                {"rows": {"file_name": "rows.json"}, "few": {"file_name": "few.json"},
                 "texts": {"file_name": "texts.json", "columns": {"prompt": "text"}}}
                """);
        DataKeys.Rows rows = open("dataset: rows, few\nmax_samples: 10\nval_size: 4\ndo_eval: true");
        assertEquals(11, rows.train().size());
        assertEquals(4, sizeOf(rows.heldOut()));
        assertEquals(
                2,
                sizeOf(open("dataset: rows\nval_size: 0.1\neval_strategy: epoch")
                        .heldOut()));
        assertEquals(
                40,
                open("dataset: rows,few\nmix_strategy: interleave_over\ninterleave_probs: 0.5,0.5")
                        .train()
                        .size());
        assertEquals(5, open("dataset: " + folder.resolve("few.json")).train().size(), "a file by its path");
        Dataset texts = open("stage: pt\ndataset: texts").train();
        assertTrue(texts.examples().get(0) instanceof TextExample, "the prompt is the text");
        String both = String.valueOf(assertThrows(FineTune4jException.class, () -> open("dataset: rows, nope, fex"))
                .getMessage());
        assertTrue(both.contains("\"nope\"") && both.contains("did you mean \"few\"?"), both);
    }

    /** As LLaMA-Factory does it: rows with a system text of their own keep it. */
    @Test
    void rowsGetTheSystemTextAndNoThoughts() throws IOException {
        Files.writeString(folder.resolve("r.jsonl"), """
                {"instruction": "q", "output": "<think>hm</think>a"}
                {"system": "own", "instruction": "q", "output": "a"}
                """);
        String task = "model_name_or_path: '" + folder + "'\ndo_train: true\ndataset: '" + folder.resolve("r.jsonl")
                + "'\ndefault_system: You are {{name}}.\nenable_thinking: false\n";
        String template =
                "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
                        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}SWITCH{% endif %}";
        copyTokenizer();
        TrainTask train = TrainTask.read(Files.writeString(folder.resolve("t.yaml"), task), List.of());
        Files.writeString(
                folder.resolve("chat_template.jinja"),
                template.replace("SWITCH", "{% if enable_thinking is false %}<think></think>{% endif %}"));
        List<String> told = new ArrayList<>();
        List<Example> rows = trained(train, told);
        assertEquals(List.of(List.of("You are Zed.", "q", "a"), List.of("own", "q", "a")), texts(rows));
        rows.forEach(row -> assertEquals(
                Map.of("enable_thinking", false),
                ((SftExample) row).conversation().templateVariables()));
        assertEquals(List.of(), told);
        Files.writeString(folder.resolve("chat_template.jinja"), template.replace("SWITCH", ""));
        rows = trained(train, told);
        assertEquals("<think>hm</think>a", rows.get(0).texts().get(2));
        assertEquals(List.of("enable_thinking: ignored; the model's chat template knows no thoughts"), told);
        Files.writeString(folder.resolve("chat_template.jinja"), template.replace("SWITCH", "<think></think>"));
        String refused = String.valueOf(assertThrows(SettingsException.class, () -> trained(train, told))
                .getMessage());
        assertTrue(refused.contains("writes thoughts and reads no variable of this name; take it out"), refused);
        TrainTask texts = TrainTask.read(folder.resolve("t.yaml"), List.of("stage=pt"));
        assertTrue(
                texts.notes()
                        .toString()
                        .contains("default_system, enable_thinking: ignored; only counts with rows that are"),
                texts.notes().toString());
    }

    private static List<Example> trained(TrainTask task, List<String> told) {
        return task.rows(Map.of("name", "Zed"), told::add).train().examples();
    }

    private static List<List<String>> texts(List<Example> rows) {
        return rows.stream().map(Example::texts).toList();
    }

    private void copyTokenizer() throws IOException {
        for (String name : List.of("tokenizer.json", "tokenizer_config.json")) {
            Files.copy(TestData.resource("text/bytelevel").resolve(name), folder.resolve(name));
        }
    }

    private static int sizeOf(@Nullable Dataset dataset) {
        return dataset == null ? 0 : dataset.size();
    }

    private static String rows(int count, String prompt, String answer) {
        return IntStream.range(0, count)
                .mapToObj(i ->
                        "{\"%s\": \"question %d of %d\", \"%s\": \"answer %d\"}".formatted(prompt, i, count, answer, i))
                .collect(Collectors.joining(",\n", "[", "]"));
    }

    private DataKeys.Rows open(String text) throws IOException {
        TaskFile task = TaskFile.read(
                Files.writeString(
                        folder.resolve("t.yaml"),
                        "model_name_or_path: m\ndo_train: true\ndataset_dir: '" + folder + "'\n" + text),
                List.of(),
                TaskCommand.TRAIN);
        DataKeys keys = DataKeys.of(task, ObjectiveKeys.of(task, MethodKeys.of(task)));
        task.requireSound();
        return keys.open(Map.of());
    }

    @Test
    void rowsBecomeTokensAsTheKeysSay() throws IOException {
        TaskFile task = task("train_on_prompt: true\nneat_packing: true\ncutoff_len: 77");
        EncodingKeys keys = EncodingKeys.of(task, ObjectiveKeys.of(task, MethodKeys.of(task)));
        assertEquals(TrainOn.EVERYTHING, keys.trainOn());
        assertTrue(keys.packs() && keys.cutoff() == 77);
        TaskFile texts = task("stage: pt");
        assertTrue(EncodingKeys.of(texts, ObjectiveKeys.of(texts, MethodKeys.of(texts)))
                .packs());
        TaskFile plain = task("mask_history: true");
        EncodingKeys usual = EncodingKeys.of(plain, ObjectiveKeys.of(plain, MethodKeys.of(plain)));
        assertFalse(usual.packs());
        assertEquals(TrainOn.LAST_ANSWER, usual.trainOn());
    }

    /** Whatever a key is set to, the task is accepted, or refused with what was expected or helps. */
    @Test
    void anyValueIsAcceptedOrRefused() throws IOException {
        Path file = Files.writeString(folder.resolve("t.yaml"), NEEDED);
        int refused = 0;
        for (String key : TaskKeys.all().names()) {
            for (String value : List.of("true", "-1", "foo", "{a: 1}")) {
                try {
                    TrainTask.read(file, List.of(key + "=" + value));
                } catch (TaskFileException e) {
                    refused++;
                    e.problems().forEach(problem -> assertTrue(problem.contains("; "), problem));
                }
            }
        }
        assertTrue(refused > 700, refused + " are refused");
    }

    @Test
    void aMapMayBeATextAndNothingElse() throws IOException {
        assertEquals(
                "CosineWithRestarts[cycles=3]",
                schedule(task("lr_scheduler_type: cosine_with_restarts\nlr_scheduler_kwargs: '{\"num_cycles\": 3}'"))
                        .settings(9)
                        .schedule()
                        .toString());
        assertTrue(mistakes("lr_scheduler_kwargs: fast").contains("expected a map such as"));
        assertTrue(mistakes("lr_scheduler_kwargs: {speed: 3}").startsWith("line 4, lr_scheduler"));
    }
}
