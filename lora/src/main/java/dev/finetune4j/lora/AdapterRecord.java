package dev.finetune4j.lora;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.CheckpointException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

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

    static AdapterRecord of(LanguageModel base) {
        return new AdapterRecord(
                base.directory().fingerprint(), base.encoder().template().name());
    }

    void write(Path folder) {
        ObjectNode node = JSON.createObjectNode();
        node.put("format", FORMAT);
        node.put("base_fingerprint", baseFingerprint);
        node.put("chat_template", template);
        Path temporary = folder.resolve(FILE + ".tmp");
        try {
            JSON.writerWithDefaultPrettyPrinter().writeValue(temporary.toFile(), node);
            Files.move(temporary, folder.resolve(FILE), StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new UncheckedIOException(folder.resolve(FILE) + " could not be written: " + e.getMessage(), e);
        }
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
            throw new UncheckedIOException(file + " could not be read: " + e.getMessage(), e);
        }
        AdapterRecord expected = of(base);
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
