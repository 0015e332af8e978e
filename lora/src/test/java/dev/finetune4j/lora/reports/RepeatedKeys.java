package dev.finetune4j.lora.reports;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Keys that stand twice in an object of a JSON file. */
final class RepeatedKeys {
    private RepeatedKeys() {}

    /** The first such key; null if there is none, or the file is not there or no JSON. */
    static @Nullable String of(Path file) {
        if (!Files.isRegularFile(file)) {
            return null;
        }
        Deque<Set<String>> open = new ArrayDeque<>();
        try (JsonParser parser = new JsonFactory().createParser(file.toFile())) {
            for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
                if (token == JsonToken.START_OBJECT) {
                    open.push(new HashSet<>());
                } else if (token == JsonToken.END_OBJECT) {
                    open.pop();
                } else if (token == JsonToken.FIELD_NAME && !open.getFirst().add(parser.currentName())) {
                    return parser.currentName();
                }
            }
        } catch (IOException e) {
            return null;
        }
        return null;
    }
}
