package dev.finetune4j.lora.train.loop;

import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.Objects;

/** Numbers written by transformers and peft for the tests of this package. */
public final class Goldens {
    private Goldens() {}

    /** A file of the test resources. */
    public static Path file(String name) {
        try {
            return Path.of(Objects.requireNonNull(Goldens.class.getResource("/train/" + name), name)
                    .toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }
}
