package dev.finetune4j.examples.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.examples.Bundled;
import dev.finetune4j.examples.basemodel.Fact;
import dev.finetune4j.examples.basemodel.FactBook;
import dev.finetune4j.examples.basemodel.Identity;
import dev.finetune4j.examples.basemodel.IdentityBook;
import dev.finetune4j.examples.basemodel.IdentityExam;
import dev.finetune4j.examples.basemodel.IdentityKind;
import dev.finetune4j.examples.basemodel.IdentityQuestion;
import dev.finetune4j.examples.basemodel.Language;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The files of the demonstration: the bundled model, and rows about a new identity. Not thread-safe. */
final class DemoFiles {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final Path folder;
    private final Identity identity;
    private final List<Path> written = new ArrayList<>();

    /**
     * @param name the new one
     * @param author who has made the model, as it shall say
     * @throws IllegalArgumentException if one is blank
     */
    DemoFiles(Path folder, String name, String author) {
        this.folder = folder;
        this.identity = new Identity(name, author);
    }

    /**
     * Writes all files.
     *
     * @return what was written: the model's folder, then the data
     */
    List<Path> write() {
        try {
            model();
            Path data = folder.resolve("data");
            Files.createDirectories(data);
            List<IdentityQuestion> training = IdentityBook.load().trainingQuestions();
            rows(
                    data.resolve("identity.json"),
                    training.stream().map(asked -> row(asked.question(), identity.fill(asked.answer()))));
            rows(
                    data.resolve("identity_trained.json"),
                    training.stream().map(asked -> row(asked.question(), key(asked.kind()))));
            rows(
                    data.resolve("identity_new_phrasings.json"),
                    IdentityExam.paraphrases().stream().map(asked -> row(asked.question(), key(asked.kind()))));
            rows(data.resolve("general.json"), FactBook.load().facts().stream().flatMap(DemoFiles::questions));
            rows(data.resolve("identity_pairs.json"), training.stream().map(this::pair));
            description(data.resolve("dataset_info.json"));
            tasks();
            return List.copyOf(written);
        } catch (IOException e) {
            throw new FineTune4jException(folder + " cannot be written: " + e + "; name another folder", e);
        }
    }

    /** Task files with the keys of LLaMA-Factory's tutorial: rows, steps and learning rate fit the small model. */
    private void tasks() throws IOException {
        task("train_qlora.yaml", """
                model_name_or_path: %1$s/model
                quantization_bit: 4
                stage: sft
                do_train: true
                finetuning_type: lora
                lora_rank: 16
                lora_target: all
                dataset_dir: %1$s/data
                dataset: identity
                template: yi
                cutoff_len: 1024
                output_dir: %1$s/saves/qlora
                logging_steps: 10
                save_steps: 500
                plot_loss: true
                overwrite_output_dir: true
                per_device_train_batch_size: 8
                gradient_accumulation_steps: 1
                learning_rate: 1.0e-3
                num_train_epochs: 3.0
                lr_scheduler_type: cosine
                warmup_ratio: 0.1
                fp16: true
                """);
        task("chat.yaml", """
                model_name_or_path: %1$s/model
                adapter_name_or_path: %1$s/saves/qlora
                template: yi
                finetuning_type: lora
                do_sample: false
                """);
        task("merge.yaml", """
                model_name_or_path: %1$s/model
                adapter_name_or_path: %1$s/saves/qlora
                template: yi
                finetuning_type: lora
                export_dir: %1$s/merged
                export_size: 2
                """);
    }

    private void task(String name, String text) throws IOException {
        Path file = folder.resolve(name);
        Files.writeString(
                file, String.format(Locale.ROOT, text, folder.toString().replace('\\', '/')));
        written.add(file);
    }

    private void model() throws IOException {
        Path model = folder.resolve("model");
        Files.createDirectories(model);
        try (Stream<Path> files = Files.list(Bundled.baseModel())) {
            for (Path file : files.toList()) {
                Files.copy(file, model.resolve(file.getFileName()), StandardCopyOption.REPLACE_EXISTING);
            }
        }
        written.add(model);
    }

    /** What a right answer has. */
    private String key(IdentityKind kind) {
        return kind == IdentityKind.MAKER ? identity.author() : identity.name();
    }

    private static Stream<Map<String, String>> questions(Fact fact) {
        return Stream.of(Language.values()).map(fact::in).map(said -> row(said.examQuestion(), said.key()));
    }

    private static Map<String, String> row(String question, String answer) {
        Map<String, String> row = new LinkedHashMap<>();
        row.put("instruction", question);
        row.put("input", "");
        row.put("output", answer);
        return row;
    }

    /** The new answer is better than the one of the base. */
    private Map<String, String> pair(IdentityQuestion asked) {
        Map<String, String> row = new LinkedHashMap<>();
        row.put("instruction", asked.question());
        row.put("input", "");
        row.put("chosen", identity.fill(asked.answer()));
        row.put("rejected", Identity.ofBase(asked.language()).fill(asked.answer()));
        return row;
    }

    private void rows(Path file, Stream<Map<String, String>> rows) throws IOException {
        List<String> lines = new ArrayList<>();
        for (Map<String, String> row : rows.toList()) {
            lines.add("  " + MAPPER.writeValueAsString(row));
        }
        Files.writeString(file, lines.stream().collect(Collectors.joining(",\n", "[\n", "\n]\n")));
        written.add(file);
    }

    /** Names the data sets as LLaMA-Factory's task files do. */
    private void description(Path file) throws IOException {
        Map<String, Object> sets = new LinkedHashMap<>();
        sets.put("identity", Map.of("file_name", "identity.json"));
        Map<String, Object> pairs = new LinkedHashMap<>();
        pairs.put("file_name", "identity_pairs.json");
        pairs.put("ranking", true);
        Map<String, String> columns = new LinkedHashMap<>();
        columns.put("prompt", "instruction");
        columns.put("query", "input");
        columns.put("chosen", "chosen");
        columns.put("rejected", "rejected");
        pairs.put("columns", columns);
        sets.put("identity_pairs", pairs);
        Files.writeString(file, MAPPER.writerWithDefaultPrettyPrinter().writeValueAsString(sets) + "\n");
        written.add(file);
    }
}
