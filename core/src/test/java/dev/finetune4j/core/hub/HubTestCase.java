package dev.finetune4j.core.hub;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A test with a hub of its own, and a home folder for the caches. */
abstract class HubTestCase {
    static final String SHARD = "model-00001-of-00002.safetensors";

    @TempDir
    Path home;

    FakeHub hub;

    @BeforeEach
    void start() throws IOException {
        hub = new FakeHub();
    }

    @AfterEach
    void end() {
        hub.close();
    }
}
