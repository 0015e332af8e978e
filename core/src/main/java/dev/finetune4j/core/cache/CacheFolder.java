package dev.finetune4j.core.cache;

import java.nio.file.Path;
import java.util.Locale;

/** The folder of this library in the user's cache folder, where each platform has it. Stateless; nothing is made. */
public final class CacheFolder {
    private CacheFolder() {}

    /** Its part with the given name. */
    public static Path of(String part) {
        return cache().resolve("finetune4j").resolve(part);
    }

    private static Path cache() {
        String home = System.getProperty("user.home", ".");
        String os = System.getProperty("os.name", "").toLowerCase(Locale.ROOT);
        if (os.startsWith("win")) {
            return environment("LOCALAPPDATA", Path.of(home, "AppData", "Local"));
        }
        return os.startsWith("mac")
                ? Path.of(home, "Library", "Caches")
                : environment("XDG_CACHE_HOME", Path.of(home, ".cache"));
    }

    private static Path environment(String variable, Path otherwise) {
        String value = System.getenv(variable);
        return value == null || value.isBlank() ? otherwise : Path.of(value);
    }
}
