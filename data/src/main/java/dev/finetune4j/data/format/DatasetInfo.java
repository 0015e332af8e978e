package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.json.JsonFile;
import dev.finetune4j.core.message.EditDistance;
import dev.finetune4j.data.DatasetException;
import dev.finetune4j.data.DatasetFormat;
import dev.finetune4j.data.DatasetFormat.Column;
import dev.finetune4j.data.DatasetFormat.Tag;
import dev.finetune4j.data.DatasetProblem;
import dev.finetune4j.data.DatasetProblems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * LLaMA-Factory's <a href="https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md">dataset_info.json</a>: for each name a
 * file or folder, how its rows are laid out and what their columns are called.
 */
public final class DatasetInfo {
    private static final String FILE = "dataset_info.json";
    private static final List<String> HUBS =
            List.of("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name");
    private static final List<String> KEYS = List.of(
            "hf_hub_url",
            "ms_hub_url",
            "om_hub_url",
            "script_url",
            "cloud_file_name",
            "file_name",
            "formatting",
            "ranking",
            "subset",
            "split",
            "folder",
            "num_samples",
            "columns",
            "tags");
    private static final List<String> FORMATS = List.of("alpaca", "sharegpt", "openai");
    private static final List<String> MEDIA = List.of("images", "videos", "audios");
    private static final Map<String, Column> COLUMNS = columns();
    private static final Map<String, Tag> TAGS = tags();

    private static Map<String, Column> columns() {
        Map<String, Column> columns = new LinkedHashMap<>();
        columns.put("prompt", Column.PROMPT);
        columns.put("query", Column.QUERY);
        columns.put("response", Column.RESPONSE);
        columns.put("history", Column.HISTORY);
        columns.put("messages", Column.MESSAGES);
        columns.put("system", Column.SYSTEM);
        columns.put("tools", Column.TOOLS);
        columns.put("chosen", Column.CHOSEN);
        columns.put("rejected", Column.REJECTED);
        columns.put("kto_tag", Column.KTO_TAG);
        return columns;
    }

    private static Map<String, Tag> tags() {
        Map<String, Tag> tags = new LinkedHashMap<>();
        tags.put("role_tag", Tag.ROLE);
        tags.put("content_tag", Tag.CONTENT);
        tags.put("user_tag", Tag.USER);
        tags.put("assistant_tag", Tag.ASSISTANT);
        tags.put("observation_tag", Tag.OBSERVATION);
        tags.put("function_tag", Tag.FUNCTION);
        tags.put("system_tag", Tag.SYSTEM);
        return tags;
    }

    /**
     * A data set that is described.
     *
     * @param path its file or folder
     * @param rows how many of its rows count, or null for all
     */
    public record Entry(
            Path path, DatasetFormat format, @Nullable Integer rows) {}

    private final Path file;
    private final String name;
    private final JsonNode entry;
    private final DatasetProblems problems = new DatasetProblems();

    private DatasetInfo(Path file, String name, JsonNode entry) {
        this.file = file;
        this.name = name;
        this.entry = entry;
    }

    /**
     * Looks a data set up.
     *
     * @param description the file, or the folder that holds it
     * @throws DatasetException if there is none of that name, or its entry has a mistake or needs a hub
     */
    public static Entry named(Path description, String name) {
        Path file = Files.isDirectory(description) ? description.resolve(FILE) : description;
        ObjectNode all;
        try {
            all = JsonFile.object(file);
        } catch (ModelFileException e) {
            throw new DatasetException(
                    DatasetProblem.ofFile(
                            file.toString(), String.valueOf(e.getMessage()).replace(file + " ", "")),
                    e);
        }
        JsonNode entry = all.path(name);
        if (!entry.isObject()) {
            List<String> names = all.propertyStream().map(Map.Entry::getKey).toList();
            throw new DatasetException(DatasetProblem.ofFile(
                    file.toString(),
                    "describes no data set \"" + name + "\"" + nearest(name, names) + "; it has "
                            + String.join(", ", names)));
        }
        return new DatasetInfo(file, name, entry).read();
    }

    private Entry read() {
        requireKnown(entry, KEYS, "");
        HUBS.stream()
                .filter(entry::hasNonNull)
                .findFirst()
                .ifPresent(hub -> report(
                        hub,
                        "names a data set that has to be fetched ("
                                + entry.path(hub).asText() + "); download it and give its place as \"file_name\""));
        for (String foreign : List.of("subset", "folder")) {
            if (entry.hasNonNull(foreign)) {
                report(
                        foreign,
                        "chooses a part of a data set on a hub; take it out, and give the file as \"file_name\"");
            }
        }
        if (entry.hasNonNull("split") && !entry.path("split").asText().equals("train")) {
            report("split", "chooses a part of a data set on a hub; take it out, and give the file as \"file_name\"");
        }
        DatasetFormat format = format();
        Path path = path();
        Integer rows = rows();
        problems.throwIfAny();
        return new Entry(path, format, rows);
    }

    private Path path() {
        JsonNode value = entry.path("file_name");
        if (!value.isTextual()) {
            if (problems.count() == 0) {
                report("file_name", "is missing; it says which file or folder has the rows");
            }
            return file;
        }
        return file.resolveSibling(value.textValue());
    }

    private @Nullable Integer rows() {
        JsonNode value = entry.path("num_samples");
        if (value.isMissingNode() || value.isNull()) {
            return null;
        }
        if (!value.isInt() || value.intValue() < 1) {
            report("num_samples", "is " + value + ", expected a number of rows, at least 1");
            return null;
        }
        return value.intValue();
    }

    private DatasetFormat format() {
        String formatting = entry.path("formatting").asText("alpaca");
        if (!FORMATS.contains(formatting)) {
            report(
                    "formatting",
                    "is \"" + formatting + "\"" + nearest(formatting, FORMATS) + "; expected one of "
                            + String.join(", ", FORMATS));
        }
        DatasetFormat format = formatting.equals("alpaca") ? DatasetFormat.alpaca() : messages(formatting);
        format = withColumns(format, entry.path("columns"));
        format = withTags(format, entry.path("tags"));
        JsonNode ranking = entry.path("ranking");
        if (!ranking.isMissingNode() && !ranking.isBoolean()) {
            report("ranking", "is " + ranking + ", expected true or false");
        }
        if (!ranking.asBoolean(false)) {
            return format.without(Column.CHOSEN).without(Column.REJECTED);
        }
        for (Column column : List.of(Column.CHOSEN, Column.REJECTED)) {
            if (format.columns().getOrDefault(column, "").isEmpty()) {
                report(
                        "ranking",
                        "is true, but \"columns\" does not name the column \""
                                + column.usualNames().get(0) + "\"; add it");
            }
        }
        return format;
    }

    private static DatasetFormat messages(String formatting) {
        DatasetFormat format = DatasetFormat.messages().with(Column.MESSAGES, "conversations");
        if (formatting.equals("openai")) {
            return format;
        }
        return format.with(Tag.ROLE, "from")
                .with(Tag.CONTENT, "value")
                .with(Tag.USER, "human")
                .with(Tag.ASSISTANT, "gpt")
                .with(Tag.OBSERVATION, "observation")
                .with(Tag.FUNCTION, "function_call")
                .with(Tag.SYSTEM, "system");
    }

    /** Where columns are named, those that are not do not exist. */
    private DatasetFormat withColumns(DatasetFormat format, JsonNode columns) {
        List<Column> optional =
                List.of(Column.HISTORY, Column.SYSTEM, Column.TOOLS, Column.CHOSEN, Column.REJECTED, Column.KTO_TAG);
        boolean named = columns.isObject();
        DatasetFormat result = format;
        for (Column column : named ? COLUMNS.values() : optional) {
            result = result.without(column);
        }
        if (!named) {
            if (!columns.isMissingNode()) {
                report("columns", "is " + columns.getNodeType() + ", expected an object of names");
            }
            return result;
        }
        List<String> known = new ArrayList<>(COLUMNS.keySet());
        known.addAll(MEDIA);
        requireKnown(columns, known, "columns.");
        for (Map.Entry<String, JsonNode> column : columns.properties()) {
            Column meaning = COLUMNS.get(column.getKey());
            String place = "columns." + column.getKey();
            if (MEDIA.contains(column.getKey())) {
                report(place, "is for rows with pictures, films or sound, which cannot be trained");
            } else if (!column.getValue().isTextual()) {
                report(place, "is " + column.getValue() + ", expected the name of a column");
            } else if (meaning != null) {
                result = result.with(meaning, column.getValue().textValue());
            }
        }
        return result;
    }

    private DatasetFormat withTags(DatasetFormat format, JsonNode tags) {
        if (!tags.isObject()) {
            return format;
        }
        requireKnown(tags, TAGS.keySet(), "tags.");
        DatasetFormat result = format;
        for (Map.Entry<String, Tag> tag : TAGS.entrySet()) {
            JsonNode value = tags.path(tag.getKey());
            if (value.isTextual()) {
                result = result.with(tag.getValue(), value.textValue());
            } else if (!value.isMissingNode() && !value.isNull()) {
                report("tags." + tag.getKey(), "is " + value + ", expected a name");
            }
        }
        return result;
    }

    private void requireKnown(JsonNode object, Collection<String> known, String prefix) {
        object.fieldNames().forEachRemaining(key -> {
            if (!known.contains(key)) {
                report(prefix + key, "is no key of an entry" + nearest(key, known) + "; it would be ignored");
            }
        });
    }

    private void report(String key, String text) {
        problems.add(new DatasetProblem(
                file.toString(), null, null, null, key, "entry \"" + name + "\": \"" + key + "\" " + text));
    }

    private static String nearest(String word, Collection<String> words) {
        Optional<String> best = words.stream()
                .min(Comparator.comparingInt(other -> EditDistance.between(word, other)))
                .filter(other ->
                        EditDistance.between(word, other) <= Math.max(2, word.length() / 3) || other.startsWith(word));
        return best.map(other -> ", did you mean \"" + other + "\"?").orElse("");
    }
}
