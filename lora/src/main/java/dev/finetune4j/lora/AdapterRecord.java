package dev.finetune4j.lora;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.CheckpointException;
import dev.finetune4j.core.FineTune4jException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * What {@code finetune4j.json} says beside an adapter: which base it was trained on and with which chat template, so that
 * using it on something else is an error and not a riddle. Adapters from elsewhere have no such file.
 *
 * @param baseFingerprint {@link dev.finetune4j.core.io.ModelDirectory#fingerprint()} of the base
 * @param template name of the chat template
 */
record AdapterRecord(String baseFingerprint, String template) {
    private static final String FILE = "finetune4j.json";
    private static final int FORMAT = 1;
    private static final ObjectMapper JSON = new ObjectMapper();

    /** The file's name and content, to be written with an adapter. */
    Map<String, JsonNode> file() {
        ObjectNode node = JSON.createObjectNode();
        node.put("format", FORMAT);
        node.put("base_fingerprint", baseFingerprint);
        node.put("chat_template", template);
        return Map.of(FILE, node);
    }

    /** Compares the record in the folder, if there is one, with the base that the adapter is to sit on. */
    static void check(Path folder, LanguageModel base) {
        Path file = folder.resolve(FILE);
        if (!Files.isRegularFile(file)) {
            return;
        }
        JsonNode node;
        try {
            node = JSON.readTree(file.toFile());
        } catch (JsonProcessingException e) {
            throw new CheckpointException(file + " is not valid JSON: " + e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw new FineTune4jException(file + " could not be read (" + e + "); check that it is readable", e);
        }
        AdapterRecord expected = base.record();
        String trainedOn = node.path("base_fingerprint").asText("");
        if (!trainedOn.equals(expected.baseFingerprint())) {
            throw new CheckpointException(folder + " was trained on another base model than "
                    + base.directory().folder() + " (fingerprints " + shorten(trainedOn) + " and "
                    + shorten(expected.baseFingerprint()) + "); load it on the model that it was trained on");
        }
        String template = node.path("chat_template").asText("");
        if (!template.equals(expected.template())) {
            throw new CheckpointException(folder + " was trained with the chat template \"" + template
                    + "\", but the base was loaded with \"" + expected.template() + "\"; load the base with template(\""
                    + template + "\")");
        }
    }

    private static String shorten(String fingerprint) {
        return fingerprint.length() > 12 ? fingerprint.substring(0, 12) + "…" : fingerprint;
    }
}
