package dev.finetune4j.examples.task;

import dev.finetune4j.examples.task.TaskKey.Rule;
import dev.finetune4j.examples.task.TaskKey.Treatment;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * A task file in YAML or JSON with LLaMA-Factory's keys, and the arguments {@code key=value} that take precedence over it.
 *
 * <p>Reading it finds the mistakes that can be seen in each value by itself; who reads it adds what does not go together by {@link
 * #refuse}, and then {@link #requireSound} throws one exception for all. Values that are not there, or null, or wrong, are the key's
 * default.
 *
 * <pre>{@code
 * TaskFile task = TaskFile.read(Path.of("chat.yaml"), List.of("temperature=0.2"), TaskCommand.CHAT);
 * String model = task.text("model_name_or_path").orElse("");
 * task.requireSound();
 * task.notes().forEach(System.err::println);
 * }</pre>
 *
 * <p>Not thread-safe.
 */
public final class TaskFile {
    private final Path file;
    private final TaskCommand command;
    private final Map<String, TaskValue> values = new LinkedHashMap<>();
    private final Remarks problems = new Remarks();
    private final Remarks notes = new Remarks();

    private TaskFile(Path file, TaskCommand command) {
        this.file = file;
        this.command = command;
    }

    /**
     * Reads a task.
     *
     * @param overrides such as {@code learning_rate=2e-4}; the value is YAML, and {@code map.key=value} sets a value in a map
     * @throws TaskFileException when the file cannot be read or is no YAML
     */
    public static TaskFile read(Path file, List<String> overrides, TaskCommand command) {
        TaskFile task = new TaskFile(file, command);
        try {
            task.values.putAll(YamlReader.map(content(file), task.problems));
        } catch (YamlReader.MalformedException e) {
            throw new TaskFileException(file, List.of(String.valueOf(e.getMessage())), e);
        }
        overrides.forEach(task::override);
        if (OtherSchema.isOf(task.values.keySet())) {
            throw new TaskFileException(file, List.of(OtherSchema.remedy(task.values)), null);
        }
        task.values.forEach(task::check);
        return task;
    }

    private static String content(Path file) {
        try {
            String text = Files.readString(file, StandardCharsets.UTF_8);
            return text.startsWith("\ufeff") ? text.substring(1) : text;
        } catch (NoSuchFileException e) {
            throw new TaskFileException(
                    file, List.of("there is no such file; give a task file in YAML or JSON, such as train.yaml"), e);
        } catch (CharacterCodingException e) {
            throw new TaskFileException(file, List.of("is no text in UTF-8; save it as such"), e);
        } catch (IOException e) {
            throw new TaskFileException(file, List.of("cannot be read: " + e), e);
        }
    }

    private void override(String argument) {
        int equals = argument.indexOf('=');
        String name = equals < 0 ? argument : argument.substring(0, equals).strip();
        String place = "argument " + argument;
        if (equals <= 0) {
            problems.add("argument", "", argument + " is no key=value; write such as learning_rate=2e-4");
            return;
        }
        try {
            Object content = YamlReader.value(argument.substring(equals + 1));
            int dot = name.indexOf('.');
            if (dot < 0) {
                values.put(name, new TaskValue(content, place));
                return;
            }
            String outer = name.substring(0, dot);
            Map<String, @Nullable Object> inner = new LinkedHashMap<>(map(outer));
            inner.put(name.substring(dot + 1), content);
            values.put(outer, new TaskValue(inner, place));
        } catch (YamlReader.MalformedException e) {
            problems.add(name, place, e.getMessage() + "; put the value into quotes");
        }
    }

    private void check(String name, TaskValue value) {
        TaskKey key = TaskKeys.all().find(name);
        if (key == null) {
            problems.add(
                    name,
                    value.place(),
                    "there is no such key" + Nearest.hint(name, TaskKeys.all().names())
                            + "; docs/task-file-keys.md lists all");
            return;
        }
        String mistake = key.mistake(value.content());
        if (mistake != null) {
            problems.add(name, value.place(), mistake);
            return;
        }
        Rule rule = key.ruleFor(value.content());
        boolean looked = rule.commands().contains(command);
        if (rule.treatment() == Treatment.HONOURED && looked) {
            return;
        }
        if (key.isUsual(value.content())) {
            return;
        }
        if (!looked) {
            notes.add(name, value.place(), "ignored; no matter of `finetune4j " + command.label() + "`");
        } else if (rule.treatment() == Treatment.REFUSED) {
            problems.add(name, value.place(), (key.exceptions().isEmpty() ? "" : value.text() + ": ") + rule.text());
        } else {
            notes.add(name, value.place(), "ignored; " + rule.text());
        }
    }

    /** The file. */
    public Path file() {
        return file;
    }

    /** Whether the key has a value in the file or an argument, and not null. */
    public boolean isGiven(String key) {
        TaskKeys.all().get(key);
        TaskValue value = values.get(key);
        return value != null && value.content() != null;
    }

    /** Whether the key has a value that says something else than its default. */
    public boolean isChanged(String key) {
        TaskValue value = values.get(key);
        return value != null && !TaskKeys.all().get(key).isUsual(value.content());
    }

    private @Nullable Object typed(String name) {
        TaskKey key = TaskKeys.all().get(name);
        TaskValue value = values.get(name);
        if (value != null && value.content() != null && key.mistake(value.content()) == null) {
            return Scalars.of(key.type(), value.content());
        }
        return key.usual() == null ? null : Scalars.of(key.type(), key.usual());
    }

    private <T> Optional<T> typed(String name, TaskKey.Type expected, Class<T> type) {
        if (TaskKeys.all().get(name).type() != expected) {
            throw new IllegalArgumentException(name + " is no " + expected);
        }
        return Optional.ofNullable(typed(name)).map(type::cast);
    }

    /** The text of a key; empty when it has neither value nor default. An empty text counts as none. */
    public Optional<String> text(String key) {
        return typed(key, TaskKey.Type.TEXT, String.class).filter(text -> !text.isEmpty());
    }

    /** The whole number of a key; empty when it has neither value nor default. */
    public Optional<Integer> integer(String key) {
        Optional<Long> number = typed(key, TaskKey.Type.INT, Long.class);
        if (number.isPresent() && number.get().intValue() != number.get()) {
            refuse(key, "is " + number.get() + ", which is beyond what a whole number may be here");
            return Optional.empty();
        }
        return number.map(Long::intValue);
    }

    /** The number of a key; empty when it has neither value nor default. */
    public Optional<Double> number(String key) {
        return typed(key, TaskKey.Type.FLOAT, Double.class);
    }

    /** Whether a key is true; without value and default it is not. */
    public boolean flag(String key) {
        return typed(key, TaskKey.Type.BOOL, Boolean.class).orElse(false);
    }

    /** The names of a key, which stand with commas between or as a list. */
    public List<String> list(String key) {
        return typed(key, TaskKey.Type.LIST, List.class)
                .map(texts -> ((List<?>) texts).stream().map(String::valueOf).toList())
                .orElse(List.of());
    }

    /**
     * The values of a key that is a map, or the text of one: numbers and booleans where they look so, else texts, lists and maps. What is no
     * map is refused.
     */
    public Map<String, Object> map(String key) {
        TaskValue value = values.get(key);
        if (value == null || value.content() == null) {
            return Map.of();
        }
        if (!(parsed(value.content()) instanceof Map<?, ?> content)) {
            refuse(key, "is " + value.text() + "; expected a map such as {num_cycles: 2}");
            return Map.of();
        }
        Map<String, Object> result = new LinkedHashMap<>();
        content.forEach((name, part) -> {
            if (part != null) {
                result.put(String.valueOf(name), plain(part));
            }
        });
        return result;
    }

    private static @Nullable Object parsed(Object content) {
        try {
            return content instanceof String text ? YamlReader.value(text) : content;
        } catch (YamlReader.MalformedException e) {
            return null;
        }
    }

    private static Object plain(Object part) {
        for (TaskKey.Type type : List.of(TaskKey.Type.BOOL, TaskKey.Type.INT, TaskKey.Type.FLOAT)) {
            Object typed = part instanceof String ? Scalars.of(type, part) : null;
            if (typed != null) {
                return typed instanceof Long whole ? (Object) Math.toIntExact(whole) : typed;
            }
        }
        return part;
    }

    /** Where a key has its value, such as {@code line 12}; empty when it has the default. */
    public String place(String key) {
        TaskValue value = values.get(key);
        return value == null ? "" : value.place();
    }

    /** Adds that a key has a value with which the task cannot be done. */
    public void refuse(String key, String text) {
        problems.add(key, place(key), text);
    }

    /** Adds what is to be told about a key, though the task can be done. */
    public void note(String key, String text) {
        notes.add(key, place(key), text);
    }

    /** What is to be told about keys, a line for each thing: those that are of no meaning here, and what was noted since. */
    public List<String> notes() {
        return notes.plain();
    }

    /**
     * Checks that nothing was refused.
     *
     * @throws TaskFileException naming all that was
     */
    public void requireSound() {
        if (!problems.isEmpty()) {
            throw new TaskFileException(file, problems.withPlaces(), null);
        }
    }

    /** The keys that have values, with them, in the order of the file. */
    public Map<String, String> given() {
        return values.entrySet().stream()
                .filter(entry -> entry.getValue().content() != null)
                .collect(Collectors.toMap(
                        Map.Entry::getKey,
                        entry -> Objects.requireNonNull(entry.getValue()).text(),
                        (first, second) -> second,
                        LinkedHashMap::new));
    }
}
