package dev.finetune4j.data.format;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.StringJoiner;

/** Explains why a row is of no format that can be read: what it looks like, and what to do. */
final class UnknownFormat {
    /** What a column tells about a file that is no plain Alpaca file. */
    private static final Map<String, String> OTHER_FORMATS = otherFormats();

    private UnknownFormat() {}

    private static Map<String, String> otherFormats() {
        Map<String, String> formats = new LinkedHashMap<>();
        formats.put("chosen", "preference pairs");
        formats.put("rejected", "preference pairs");
        formats.put("kto_tag", "KTO feedback");
        formats.put("conversations", "ShareGPT conversations");
        formats.put("messages", "lists of messages");
        formats.put("text", "plain text for pre-training");
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
            return "describes data sets, as LLaMA-Factory's dataset_info.json does; give the file that \"file_name\" names";
        }
        boolean fits = row.has("instruction") || row.has("output");
        String missing = fits ? "" : "fields \"instruction\" and \"output\" are missing: ";
        return missing + "the row cannot be read as alpaca, the only format so far; found the columns "
                + columns(row) + guess
                + "; an alpaca row needs \"instruction\" and \"output\": rename the columns or convert the file";
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
