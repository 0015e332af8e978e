package dev.finetune4j.lora.reports;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Adapter;
import dev.finetune4j.Fixtures;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.core.nn.LinearFactory;
import dev.finetune4j.core.text.ChatEncoder;
import dev.finetune4j.core.text.ChatTemplate;
import dev.finetune4j.core.text.Tokenizer;
import dev.finetune4j.lora.adapter.kind.PeftAdapter;
import dev.finetune4j.lora.adapter.peft.AdapterFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Whether a folder loads, and what the exception says when it does not. */
final class OutcomeChecks {
    /** Words by which another library's message is known, in lower case. */
    private static final List<String> FOREIGN = List.of(
            "jackson",
            "fasterxml",
            "streamread",
            "jsonread",
            "jsonparse",
            "objectmapper",
            "_feature",
            "allow_",
            "-illegal",
            "java.",
            "djl",
            "rust",
            "serde",
            "panick",
            "unwrap",
            "org.bytedeco",
            "libtorch",
            "c10");

    private static final int BYTE_ORDER_MARK = 0xEF;

    private OutcomeChecks() {}

    static void outcome(ReportFolder report, Path folder) throws IOException {
        String outcome = report.expected().path("outcome").asText();
        assertTrue(List.of("loads", "error", "either").contains(outcome), () -> "an unknown outcome " + outcome);
        RuntimeException failure = null;
        try {
            use(report, folder);
        } catch (RuntimeException e) {
            failure = e;
        }
        if (failure == null) {
            assertNotEquals("error", outcome, "it loads");
            return;
        }
        if (outcome.equals("loads")) {
            throw new AssertionError("it does not load: " + failure, failure);
        }
        requireOurs(failure, folder);
        requireOwnMarks(failure.getMessage(), folder);
    }

    /** Loads what is there and asks it something. */
    private static void use(ReportFolder report, Path folder) {
        if (report.isAdapter()) {
            useAdapter(report, folder);
        } else if (report.isModel()) {
            useModel(folder);
        } else {
            try (Tokenizer tokenizer = Tokenizer.load(folder)) {
                ChatTemplate template =
                        ChatTemplate.ofCheckpoint(tokenizer).orElseGet(() -> ChatTemplate.named("default"));
                new ChatEncoder(tokenizer, template);
            }
        }
    }

    private static void useAdapter(ReportFolder report, Path folder) {
        if (!Files.exists(report.base().resolve("tokenizer.json"))) {
            try (var base = Fixtures.model(report.base(), LinearFactory.dense());
                    PeftAdapter adapter = AdapterFiles.load(folder, base)) {
                assertTrue(adapter.parameterCount() > 0);
            }
            return;
        }
        try (LanguageModel base = LanguageModel.loader(report.base())
                        .chatTemplate("default")
                        .load();
                Adapter adapter = base.loadAdapter(folder)) {
            assertTrue(adapter.parameterCount() > 0);
        }
    }

    /** A folder without a template is asked with a named one, after a message that says so. */
    private static void useModel(Path folder) {
        boolean template;
        try (Tokenizer tokenizer = Tokenizer.load(folder)) {
            template = ChatTemplate.ofCheckpoint(tokenizer).isPresent();
        }
        if (!template) {
            SettingsException missing = assertThrows(SettingsException.class, () -> LanguageModel.load(folder));
            assertTrue(missing.getMessage().contains(folder.toString()), missing::getMessage);
            assertTrue(missing.getMessage().contains(ExportChecks.fitting(folder)), missing::getMessage);
        }
        LanguageModel.Loader loader = LanguageModel.loader(folder);
        try (LanguageModel model = (template ? loader : loader.chatTemplate(ExportChecks.fitting(folder))).load();
                ChatSession chat =
                        model.chat(GenerationSettings.builder().maxNewTokens(4).build(), null)) {
            chat.send("hi");
            assertEquals(2, chat.messages().size());
        }
    }

    /** An exception of the library's own that names the file, and in its message nothing of another library. */
    private static void requireOurs(RuntimeException failure, Path folder) throws IOException {
        assertTrue(
                failure instanceof FineTune4jException || failure instanceof IllegalArgumentException,
                () -> "another kind of exception: " + failure);
        String message = failure.getMessage();
        List<String> files;
        try (Stream<Path> entries = Files.list(folder)) {
            files = entries.map(file -> file.getFileName().toString()).toList();
        }
        assertTrue(files.stream().anyMatch(message::contains), () -> "names no file: " + message);
        String lower = message.replace(folder.toString(), "").toLowerCase(Locale.ROOT);
        FOREIGN.forEach(word -> assertFalse(lower.contains(word), () -> "has \"" + word + "\": " + message));
    }

    /** What a message must say of faults that can be seen in the files. */
    private static void requireOwnMarks(String message, Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            for (Path file : entries.filter(Files::isRegularFile).toList()) {
                String name = file.getFileName().toString();
                if (name.endsWith(".json") && beginsWithMark(file)) {
                    assertTrue(message.contains("byte order mark"), message);
                    assertFalse(message.contains("download"), message);
                }
            }
        }
        @Nullable String repeated = RepeatedKeys.of(folder.resolve("config.json"));
        if (repeated != null) {
            assertTrue(message.contains(repeated), message);
            assertTrue(message.contains("line") && message.contains("column"), message);
        }
    }

    private static boolean beginsWithMark(Path file) throws IOException {
        try (var bytes = Files.newInputStream(file)) {
            return bytes.read() == BYTE_ORDER_MARK;
        }
    }
}
