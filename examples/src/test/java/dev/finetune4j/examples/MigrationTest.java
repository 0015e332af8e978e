package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Adapter;
import dev.finetune4j.FineTuner;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.ModelFormat;
import dev.finetune4j.TrainingJob;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.hub.ModelSource;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.lora.adapter.FreezeSettings;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.eval.Evaluation;
import dev.finetune4j.lora.train.TrainingSettings;
import dev.finetune4j.quant.QuantSettings;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** docs/migration.md names what there is: keys of task files on the left, calls on the right. */
class MigrationTest {
    private static final List<Class<?>> OWNERS = List.of(
            FineTuner.class,
            FineTuner.Builder.class,
            LoraSettings.Builder.class,
            FreezeSettings.Builder.class,
            TrainingSettings.Builder.class,
            TrainingSettings.CheckpointSettings.Builder.class,
            QuantSettings.class,
            GenerationSettings.Builder.class,
            LanguageModel.class,
            LanguageModel.Loader.class,
            Adapter.class,
            ModelSource.class,
            ModelFormat.HuggingFace.class,
            Dataset.class,
            Evaluation.class,
            TrainingJob.class);
    private static final Pattern CALL = Pattern.compile("\\b([a-z][A-Za-z]+)\\(");
    private static final Pattern CODE = Pattern.compile("`([^`]+)`");

    private static List<String[]> rows() throws IOException {
        return Files.readString(Snippets.page("docs/migration.md"))
                .lines()
                .filter(line -> line.startsWith("| ") && !line.startsWith("| LLaMA-Factory"))
                .map(line -> line.substring(1, line.length() - 1).split("\\|", -1))
                .toList();
    }

    @Test
    void everyCallExists() throws IOException {
        Set<String> methods = OWNERS.stream()
                .flatMap(owner -> Stream.of(owner.getMethods()))
                .map(Method::getName)
                .collect(Collectors.toSet());
        List<String> missing = new ArrayList<>();
        int found = 0;
        for (String[] row : rows()) {
            Matcher code = CODE.matcher(row[row.length - 1]);
            while (code.find()) {
                Matcher call = CALL.matcher(code.group(1));
                while (call.find()) {
                    found++;
                    if (!methods.contains(call.group(1))) {
                        missing.add(call.group(1));
                    }
                }
            }
        }
        assertEquals(List.of(), missing);
        assertTrue(found > 80, found + " calls");
    }

    @Test
    void everyKeyIsOne() throws IOException {
        Set<String> keys = new TreeSet<>();
        Matcher listed = Pattern.compile("^\\| `([a-z0-9_]+)` \\|", Pattern.MULTILINE)
                .matcher(Files.readString(Snippets.page("docs/task-file-keys.md")));
        while (listed.find()) {
            keys.add(listed.group(1));
        }
        Set<String> others = Set.of("chat_template", "messages", "prompt", "completion");
        List<String> unknown = new ArrayList<>();
        for (String[] row : rows()) {
            Matcher code = CODE.matcher(row[0]);
            while (code.find()) {
                String name = code.group(1).replaceFirst(":.*", "");
                if (name.matches("[a-z0-9]+(_[a-z0-9]+)+") && !keys.contains(name) && !others.contains(name)) {
                    unknown.add(name);
                }
            }
        }
        assertEquals(List.of(), unknown);
        assertTrue(keys.size() > 400, keys.size() + " keys");
    }
}
