package dev.finetune4j.core;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;

/** Where the test data lies: the project's own in the resources, more of it in a shared folder that may be absent. */
public final class TestData {
    public static final String ABSENT = "the shared fixtures folder is not beside this checkout";

    private TestData() {}

    /** A file or folder of the test resources, such as {@code io/valid.safetensors}. */
    public static Path resource(String path) {
        URL url = Objects.requireNonNull(TestData.class.getResource("/" + path), path);
        try {
            return Path.of(url.toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /** A folder of the shared fixtures. */
    public static Optional<Path> shared(String name) {
        return Stream.of("../shared", "../../shared", "shared")
                .map(folder -> Path.of(folder, "fixtures", name))
                .filter(Files::isDirectory)
                .findFirst();
    }

    public static JsonNode json(Path file) {
        try {
            return new ObjectMapper().readTree(Files.readString(file));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static JsonNode parse(String json) {
        try {
            return new ObjectMapper().readTree(json);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
