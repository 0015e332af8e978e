package dev.finetune4j.examples;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/** Files that come with the examples: the small base model and its data, unpacked when they lie in a jar. */
public final class Bundled {
    private static final List<String> MODEL_FILES = List.of(
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json");

    private Bundled() {}

    /** The folder of the small base model, in Hugging Face's layout. */
    public static Path baseModel() {
        URL config = resource("base-model/config.json");
        if (config.getProtocol().equals("file")) {
            return Objects.requireNonNull(path(config).getParent());
        }
        try {
            Path folder = Files.createTempDirectory("finetune4j-base-model");
            for (String name : MODEL_FILES) {
                copy("base-model/" + name, folder.resolve(name));
            }
            return folder;
        } catch (IOException e) {
            throw new UncheckedIOException("the base model could not be unpacked: " + e.getMessage(), e);
        }
    }

    /** The identity data set, an alpaca file with the placeholders {@code name} and {@code author}. */
    public static Path identityDataset() {
        URL file = resource("identity.json");
        if (file.getProtocol().equals("file")) {
            return path(file);
        }
        try {
            Path target = Files.createTempDirectory("finetune4j-data").resolve("identity.json");
            copy("identity.json", target);
            return target;
        } catch (IOException e) {
            throw new UncheckedIOException("the data set could not be unpacked: " + e.getMessage(), e);
        }
    }

    private static void copy(String name, Path target) throws IOException {
        try (InputStream in = resource(name).openStream()) {
            Files.copy(in, target);
        }
        target.toFile().deleteOnExit();
    }

    private static URL resource(String name) {
        URL url = Bundled.class.getResource(name);
        if (url == null) {
            throw new IllegalStateException(name + " is not on the class path beside the examples");
        }
        return url;
    }

    private static Path path(URL file) {
        try {
            return Path.of(new URI(file.toString()));
        } catch (URISyntaxException e) {
            throw new IllegalStateException("unreadable location " + file, e);
        }
    }
}
