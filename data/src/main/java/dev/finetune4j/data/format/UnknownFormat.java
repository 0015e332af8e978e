package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;

/** Explains why a row is of no format that can be read: what it looks like, and what to do. */
final class UnknownFormat {
    /** What a column tells about a file that cannot be read. */
    private static final Map<String, String> OTHER_FORMATS = otherFormats();

    private UnknownFormat() {}

    private static Map<String, String> otherFormats() {
        Map<String, String> formats = new LinkedHashMap<>();
        formats.put("chosen", "preference pairs without a prompt; put the question into \"prompt\"");
        formats.put("rejected", "preference pairs without a prompt; put the question into \"prompt\"");
        formats.put("kto_tag", "KTO feedback; put question and answer into \"instruction\" and \"output\"");
        formats.put("text", "plain text for pre-training; say so with DatasetFormat.text()");
        formats.put("dialog", "dialogs; put each into \"messages\", a list of {\"role\", \"content\"}");
        formats.put(
                "mapping",
                "the export of a chat program, a tree of messages; write each conversation into \"messages\", a list of"
                        + " {\"role\", \"content\"}");
        formats.put("images", "rows with images, which cannot be trained");
        formats.put("audios", "rows with sound, which cannot be trained");
        formats.put("input_ids", "tokens, which cannot be read; give the text they were made from");
        return formats;
    }

    static String explain(JsonNode row) {
        String guess = "";
        for (Map.Entry<String, String> format : OTHER_FORMATS.entrySet()) {
            if (row.has(format.getKey())) {
                guess = ", which looks like " + format.getValue();
                break;
            }
        }
        if (row.path("data").isArray()) {
            return "the rows lie under \"data\": write that list alone into the file, as a JSON array of rows";
        }
        if (isDescription(row)) {
            return "describes data sets, as LLaMA-Factory's dataset_info.json does; read one of them with"
                    + " Dataset.named(file, \"…\")";
        }
        return "the columns are not recognised: found " + columns(row) + guess
                + "; rename them to \"instruction\" and \"output\", to \"messages\", to \"prompt\" and \"completion\" or to"
                + " \"text\", or say what they mean, such as"
                + " DatasetFormat.alpaca().with(Column.PROMPT, \"" + name(row, 0) + "\").with(Column.RESPONSE, \""
                + name(row, 1) + "\")";
    }

    /** A column that may be question or answer, where there are just two; in a table the first line has their names. */
    private static String name(JsonNode row, int index) {
        List<String> names = new ArrayList<>();
        row.fieldNames().forEachRemaining(names::add);
        return names.size() == 2 ? names.get(index) : "…";
    }

    /** Whether each value describes a data set by the file or the hub id that has it. */
    private static boolean isDescription(JsonNode row) {
        return !row.isEmpty() && row.valueStream().allMatch(value -> value.has("file_name") || value.has("hf_hub_url"));
    }

    static String columns(JsonNode row) {
        StringJoiner names = new StringJoiner(", ");
        names.setEmptyValue("(none)");
        row.fieldNames().forEachRemaining(name -> names.add("\"" + name + "\""));
        return names.toString();
    }
}
