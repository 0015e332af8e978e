package dev.finetune4j.examples.basemodel;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;

/** The JSON files that are bundled with the examples. */
final class Resources {
    private static final String FOLDER = "/dev/finetune4j/examples/";

    private Resources() {}

    /**
     * Reads a bundled file.
     *
     * @throws IllegalStateException when the file is not on the class path or is not JSON
     */
    static JsonNode json(String file) {
        try (InputStream in = Resources.class.getResourceAsStream(FOLDER + file)) {
            if (in == null) {
                throw new IllegalStateException("The bundled file " + FOLDER + file
                        + " is not on the class path: use the complete finetune4j-examples jar");
            }
            return new ObjectMapper().readTree(in);
        } catch (IOException e) {
            throw new IllegalStateException(
                    "The bundled file " + FOLDER + file + " is not valid JSON: restore it from the sources", e);
        }
    }

    /**
     * A field that must be there.
     *
     * @throws IllegalStateException when it is absent; the message names the file and the field
     */
    static JsonNode field(JsonNode parent, String name, String file) {
        JsonNode value = parent.get(name);
        if (value == null) {
            throw new IllegalStateException("The bundled file " + FOLDER + file + " lacks the field '" + name + "' in "
                    + parent + ": restore it from the sources");
        }
        return value;
    }

    static String text(JsonNode parent, String name, String file) {
        return field(parent, name, file).asText();
    }

    static List<String> texts(JsonNode array) {
        List<String> texts = new ArrayList<>(array.size());
        array.forEach(element -> texts.add(element.asText()));
        return texts;
    }
}
