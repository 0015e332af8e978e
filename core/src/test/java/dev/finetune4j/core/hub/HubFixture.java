package dev.finetune4j.core.hub;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.function.Executable;

/** What the tests of this package share: an impatient environment of their own, and looks into caches. */
final class HubFixture {
    static final HubEnvironment.Pace QUICK =
            new HubEnvironment.Pace(3, Duration.ofMillis(5), Duration.ofSeconds(3), Duration.ofMillis(700), 4);

    private HubFixture() {}

    static HubEnvironment environment(Path home, String... variables) {
        Map<String, String> values = new HashMap<>();
        for (int i = 0; i < variables.length; i += 2) {
            values.put(variables[i], variables[i + 1]);
        }
        return new HubEnvironment(values::get, home, null, QUICK);
    }

    static HubModel huggingFace(FakeHub hub, Path home, String... variables) {
        return new HubModel(new HuggingFace(), FakeHub.ID, environment(home, variables)).endpoint(hub.address());
    }

    static HubModel modelScope(FakeHub hub, Path home, String... variables) {
        return new HubModel(new ModelScope(), FakeHub.ID, environment(home, variables)).endpoint(hub.address());
    }

    /** Checks that a folder holds the needed files of the hub, byte by byte, and no others but hidden ones. */
    static void assertModel(FakeHub hub, Path folder) throws IOException {
        TreeSet<String> expected = new TreeSet<>(hub.files.keySet());
        expected.remove("README.md");
        expected.remove("pytorch_model.bin");
        TreeSet<String> found = new TreeSet<>();
        try (Stream<Path> paths = Files.walk(folder)) {
            paths.filter(Files::isRegularFile)
                    .map(path -> folder.relativize(path).toString())
                    .filter(name -> !name.startsWith("."))
                    .forEach(found::add);
        }
        assertEquals(expected, found);
        for (String name : expected) {
            assertArrayEquals(hub.files.get(name), Files.readAllBytes(folder.resolve(name)), name);
        }
    }

    static HubException refused(HubException.Reason reason, Executable call) {
        HubException refusal = assertThrows(HubException.class, call);
        assertEquals(reason, refusal.reason(), refusal.getMessage());
        for (Throwable cause = refusal; cause != null; cause = cause.getCause()) {
            assertFalse(String.valueOf(cause.getMessage()).contains(FakeHub.TOKEN), "the token is in a message");
            assertFalse(
                    String.valueOf(cause.getMessage()).contains("secret-of-storage"), "a signature is in a message");
        }
        return refusal;
    }
}
