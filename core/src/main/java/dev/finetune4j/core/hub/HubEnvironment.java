package dev.finetune4j.core.hub;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What the process's environment says about hubs, in the variables of the hubs' own clients.
 *
 * @param variables environment variables by name
 * @param home the user's home folder
 * @param hub the setting {@code finetune4j.hub}; null when there is none
 * @param pace how patient a download is
 */
record HubEnvironment(
        Variables variables, Path home, @Nullable String hub, Pace pace) {
    private static final Set<String> TRUE = Set.of("1", "ON", "YES", "TRUE");
    private static final Pattern VARIABLE = Pattern.compile("\\$(?:\\{(\\w+)\\}|(\\w+))");

    /** Looks up an environment variable. */
    @FunctionalInterface
    interface Variables {
        @Nullable
        String get(String name);
    }

    /**
     * How patient a download is.
     *
     * @param attempts that may fail one after another without a byte of progress
     * @param firstPause after a failure; doubled after each further one
     * @param longestPause that a hub may ask for
     * @param silence after which a connection counts as broken
     * @param parallelFiles that come at the same time
     */
    record Pace(int attempts, Duration firstPause, Duration longestPause, Duration silence, int parallelFiles) {
        static Pace usual(Duration silence) {
            return new Pace(5, Duration.ofSeconds(1), Duration.ofMinutes(5), silence, 4);
        }
    }

    static HubEnvironment ofProcess() {
        Variables variables = System::getenv;
        String property = System.getProperty("finetune4j.hub");
        String hub = property == null ? variables.get("FINETUNE4J_HUB") : property;
        return new HubEnvironment(variables, Path.of(System.getProperty("user.home", ".")), hub, pace(variables));
    }

    private static Pace pace(Variables variables) {
        String seconds = variables.get("HF_HUB_DOWNLOAD_TIMEOUT");
        boolean given = seconds != null && seconds.matches("[1-9]\\d{0,5}");
        return Pace.usual(Duration.ofSeconds(given ? Long.parseLong(seconds) : 10));
    }

    /** A variable's value; null when it is not set or blank. */
    @Nullable
    String value(String name) {
        String value = variables.get(name);
        return value == null || value.isBlank() ? null : value.strip();
    }

    boolean isTrue(String name) {
        String value = value(name);
        return value != null && TRUE.contains(value.toUpperCase(Locale.ROOT));
    }

    /** Whether the user wants no network: Hugging Face's variables, heeded for every hub. */
    boolean isOffline() {
        return value("HF_HUB_OFFLINE") != null ? isTrue("HF_HUB_OFFLINE") : isTrue("TRANSFORMERS_OFFLINE");
    }

    /** The folder that a variable names, with {@code ~} and variables in it replaced; the other one when it is not set. */
    Path folder(String variable, Path otherwise) {
        String value = value(variable);
        return value == null ? otherwise : path(value);
    }

    private Path path(String text) {
        Matcher matcher = VARIABLE.matcher(text);
        String expanded = matcher.replaceAll(match -> {
            String value = variables.get(match.group(1) == null ? match.group(2) : match.group(1));
            return Matcher.quoteReplacement(value == null ? match.group() : value);
        });
        if (expanded.equals("~")) {
            return home;
        }
        return expanded.startsWith("~/") ? home.resolve(expanded.substring(2)) : Path.of(expanded);
    }

    /** The token in a file; null when there is none. */
    @Nullable
    AccessToken tokenIn(Path file) {
        try {
            String text = Files.isRegularFile(file) ? Files.readString(file).strip() : "";
            return text.isEmpty() ? null : new AccessToken(text);
        } catch (IOException e) {
            return null; // as in Python: a file that cannot be read is none, and a hub that wants a token says so
        }
    }
}
