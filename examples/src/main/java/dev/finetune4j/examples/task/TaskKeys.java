package dev.finetune4j.examples.task;

import dev.finetune4j.examples.task.TaskKey.Rule;
import dev.finetune4j.examples.task.TaskKey.Treatment;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collection;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** All keys of task files, as {@code task-keys.txt} has them. Immutable. */
final class TaskKeys {
    private static final TaskKeys ALL = read();

    private final Map<String, TaskKey> byName;

    private TaskKeys(Map<String, TaskKey> byName) {
        this.byName = byName;
    }

    static TaskKeys all() {
        return ALL;
    }

    @Nullable
    TaskKey find(String name) {
        return byName.get(name);
    }

    /** The key of a name that is written in the program. */
    TaskKey get(String name) {
        return Objects.requireNonNull(byName.get(name), name);
    }

    Set<String> names() {
        return byName.keySet();
    }

    Collection<TaskKey> keys() {
        return byName.values();
    }

    private static TaskKeys read() {
        try (InputStream in =
                Objects.requireNonNull(TaskKeys.class.getResourceAsStream("task-keys.txt"), "task-keys.txt")) {
            return parse(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Reads the form that the file's head describes. */
    private static TaskKeys parse(String text) {
        Map<String, TaskKey> keys = new TreeMap<>();
        Rule rule = null;
        String last = "";
        for (String line : text.lines().filter(any -> !any.isBlank()).toList()) {
            String stripped = line.strip();
            if (stripped.startsWith("#")) {
                continue;
            }
            if (stripped.startsWith("=")) {
                TaskKey key = Objects.requireNonNull(keys.get(last), last);
                keys.put(last, except(key, stripped.substring(1)));
            } else if (line.startsWith(" ")) {
                TaskKey key = key(stripped.split(" ", -1), Objects.requireNonNull(rule, line));
                last = key.name();
                if (keys.put(last, key) != null) {
                    throw new IllegalStateException(last + " is there twice");
                }
            } else {
                rule = rule(stripped);
            }
        }
        return new TaskKeys(keys);
    }

    /** {@code honoured:train,chat | text}. */
    private static Rule rule(String line) {
        String[] parts = line.split(" \\| ", 2);
        String[] treatment = parts[0].split(":", 2);
        Set<TaskCommand> commands = EnumSet.allOf(TaskCommand.class);
        if (treatment.length > 1) {
            commands.clear();
            Arrays.stream(treatment[1].split(",", -1)).map(TaskCommand::of).forEach(commands::add);
        }
        return new Rule(Treatment.valueOf(treatment[0].toUpperCase(Locale.ROOT)), commands, parts[1]);
    }

    /** {@code name type default [who takes it]}. */
    private static TaskKey key(String[] words, Rule rule) {
        boolean choice = words[1].contains("|");
        return new TaskKey(
                words[0],
                choice ? TaskKey.Type.TEXT : TaskKey.Type.valueOf(words[1].toUpperCase(Locale.ROOT)),
                choice ? choices(words[1]) : List.of(),
                words[2].equals("-") ? null : words[2],
                rule,
                Map.of());
    }

    /** {@code a|b}, or {@code a|} for one alone. */
    private static List<String> choices(String word) {
        return Arrays.stream(word.split("\\|", -1))
                .filter(choice -> !choice.isEmpty())
                .toList();
    }

    /** {@code value,value refused | text}, of the commands that honour the key. */
    private static TaskKey except(TaskKey key, String line) {
        String[] parts = line.split(" ", 2);
        Rule parsed = rule(parts[1]);
        Rule rule = new Rule(parsed.treatment(), key.rule().commands(), parsed.text());
        Map<String, Rule> exceptions = new LinkedHashMap<>(key.exceptions());
        for (String value : parts[0].split(",", -1)) {
            exceptions.put(value, rule);
        }
        return new TaskKey(key.name(), key.type(), key.choices(), key.usual(), key.rule(), exceptions);
    }
}
