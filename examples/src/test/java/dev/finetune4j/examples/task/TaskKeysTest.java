package dev.finetune4j.examples.task;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.examples.task.TaskKey.Rule;
import dev.finetune4j.examples.task.TaskKey.Treatment;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What becomes of each key of a task file is said in docs/task-file-keys.md, done by the code, and complete. */
class TaskKeysTest {
    private static final Path PAGE = Path.of("../docs/task-file-keys.md");

    /** With {@code -Dfinetune4j.write=true} the page is written anew. */
    @Test
    void thePageSaysWhatTheCodeDoes() throws IOException {
        String page = page();
        if (Boolean.getBoolean("finetune4j.write")) {
            Files.writeString(PAGE, page);
        }
        assertEquals(
                page, Files.readString(PAGE), PAGE + " is not what the keys are; run with -Dfinetune4j.write=true");
    }

    /** Each key that the original takes is known, with its default and its choices. */
    @Test
    void allKeysOfTheOriginalAreThere() throws IOException {
        Path list = Needs.shared("fixtures/llamafactory/keys.json");
        Set<String> names = new TreeSet<>();
        int entries = 0;
        List<String> differences = new ArrayList<>();
        for (JsonNode entry : new ObjectMapper().readTree(list.toFile()).path("keys")) {
            entries++;
            String name = entry.path("key").asText();
            names.add(name);
            TaskKey key = TaskKeys.all().get(name);
            JsonNode usual = entry.path("default");
            boolean none = usual.isContainerNode()
                    ? usual.isEmpty()
                    : usual.isNull() || usual.asText().isEmpty();
            if (!none && (key.usual() == null || !key.isUsual(usual.asText()))) {
                differences.add(name + ": default " + usual + ", but " + key.usual());
            }
            if (none && key.usual() != null) {
                differences.add(name + ": no default, but " + key.usual());
            }
            Set<String> values = new TreeSet<>();
            entry.path("values").forEach(value -> values.add(value.asText()));
            if (!values.isEmpty() && !values.equals(new TreeSet<>(key.choices()))) {
                differences.add(name + ": " + values + ", but " + key.choices());
            }
        }
        assertEquals(411, entries);
        assertEquals(names, TaskKeys.all().names());
        assertEquals(List.of(), differences);
    }

    /** What is honoured is asked for somewhere in the code, and nothing else is. */
    @Test
    void whatIsHonouredIsLookedAt() throws IOException {
        Set<String> asked = new TreeSet<>();
        Pattern name = Pattern.compile("\"([a-z][a-z0-9_]+)\"");
        try (Stream<Path> files = Files.walk(Path.of("src/main/java"))) {
            for (Path file :
                    files.filter(path -> path.toString().endsWith(".java")).toList()) {
                Matcher matcher = name.matcher(Files.readString(file));
                while (matcher.find()) {
                    asked.add(matcher.group(1));
                }
            }
        }
        List<String> never = TaskKeys.all().keys().stream()
                .filter(key -> key.rule().treatment() == Treatment.HONOURED)
                .map(TaskKey::name)
                .filter(key -> !asked.contains(key))
                .toList();
        assertEquals(List.of(), never, "said to be honoured, but no code asks for it");
    }

    @Test
    void aReasonHasARemedy() {
        for (TaskKey key : TaskKeys.all().keys()) {
            Stream.concat(Stream.of(key.rule()), key.exceptions().values().stream())
                    .filter(rule -> rule.treatment() == Treatment.REFUSED)
                    .forEach(rule -> assertTrue(rule.text().contains("; "), key.name() + ": " + rule.text()));
            assertNotEquals("", key.rule().text(), key.name());
        }
    }

    private static String page() {
        Map<Treatment, Long> counts = TaskKeys.all().keys().stream()
                .collect(Collectors.groupingBy(key -> key.rule().treatment(), TreeMap::new, Collectors.counting()));
        StringBuilder page = new StringBuilder("""
                # Keys of a task file

                `finetune4j train`, `chat` and `export` read the YAML and JSON files of
                [LLaMA-Factory](https://github.com/hiyouga/LLaMA-Factory), and arguments `key=value` that take precedence over them. Each of its
                keys is honoured, or ignored with a line that says so, or refused with the reason and what helps; a key that has its default value is
                never refused. Other keys are mistakes. Behind a treatment stand the commands that look at the key; it is ignored by the others.

                %d keys: %d honoured, %d ignored, %d refused.

                | key | default | treatment | |
                |---|---|---|---|
                """.formatted(
                        TaskKeys.all().keys().size(),
                        counts.get(Treatment.HONOURED),
                        counts.get(Treatment.IGNORED),
                        counts.get(Treatment.REFUSED)));
        for (TaskKey key : TaskKeys.all().keys()) {
            row(page, "`" + key.name() + "`", key.usual() == null ? "" : "`" + key.usual() + "`", key.rule());
            Map<Rule, List<String>> alike = new TreeMap<>(key.exceptions())
                    .entrySet().stream()
                            .collect(Collectors.groupingBy(
                                    Map.Entry::getValue,
                                    LinkedHashMap::new,
                                    Collectors.mapping(Map.Entry::getKey, Collectors.toList())));
            alike.forEach((rule, values) -> row(page, "`" + key.name() + "` = " + String.join(", ", values), "", rule));
        }
        return page.toString();
    }

    private static void row(StringBuilder page, String key, String usual, Rule rule) {
        String commands =
                rule.treatment() == Treatment.IGNORED || rule.commands().size() == TaskCommand.values().length
                        ? ""
                        : " by "
                                + rule.commands().stream()
                                        .map(TaskCommand::label)
                                        .sorted()
                                        .collect(Collectors.joining(", "));
        page.append("| ")
                .append(key)
                .append(" | ")
                .append(usual)
                .append(" | ")
                .append(rule.treatment().name().toLowerCase(Locale.ROOT))
                .append(commands)
                .append(" | ")
                .append(rule.text().replace("|", "\\|").replace("<", "&lt;"))
                .append(" |\n");
    }
}
