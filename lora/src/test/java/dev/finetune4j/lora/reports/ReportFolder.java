package dev.finetune4j.lora.reports;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.testsupport.Needs;
import dev.finetune4j.testsupport.TestData;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * The folder of one input.
 *
 * @param original the folder as it lies there
 * @param expected what its expected.json says
 */
record ReportFolder(Path original, JsonNode expected) {
    /** The system property that names a folder of such folders. */
    static final String PROPERTY = "finetune4j.reports";

    private static final String EXPECTED = "expected.json";
    private static final String LINKS = "LINKS.txt";
    private static final String DATA = "data";
    private static final String COLLECTION = "fixtures/reports";

    /**
     * The folders that the property names, else those of the wide collection where it is, else the part of it in the
     * resources.
     */
    static List<ReportFolder> selected() {
        Path root = root();
        try (Stream<Path> entries = Files.list(root)) {
            return entries.filter(Files::isDirectory)
                    .filter(folder -> !name(folder).equals(DATA))
                    .sorted()
                    .map(folder -> new ReportFolder(folder, TestData.json(folder.resolve(EXPECTED))))
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Path root() {
        String named = System.getProperty(PROPERTY);
        if (named == null) {
            return Needs.findShared(COLLECTION).orElseGet(() -> TestData.resource("reports"));
        }
        return inCheckout(named)
                .orElseThrow(() -> new IllegalStateException(
                        "-D" + PROPERTY + "=" + named + " is no folder; name one that holds a folder for each input"));
    }

    /** Maven starts tests in the module's folder: what is relative may be meant from the checkout's root. */
    private static Optional<Path> inCheckout(String path) {
        return Stream.of(Path.of(path), Path.of("..").resolve(path))
                .map(found -> found.toAbsolutePath().normalize())
                .filter(Files::exists)
                .findFirst();
    }

    String name() {
        return name(original);
    }

    private static String name(Path path) {
        return path.getFileName().toString();
    }

    boolean has(String file) {
        return Files.exists(original.resolve(file));
    }

    /** Whether it is a model folder, if need be with what it takes from elsewhere. */
    boolean isModel() {
        return has("config.json") && (has("model.safetensors") || links().containsKey("model.safetensors"));
    }

    boolean isAdapter() {
        return has("adapter_config.json");
    }

    /** The folder of the model that an adapter is for. */
    Path base() {
        String base = expected.path("base").asText();
        return Needs.findShared(base).orElseGet(() -> TestData.resource(base.replaceFirst("^fixtures/", "")));
    }

    /**
     * The folder with all of its files: itself, or a copy with what it takes from the checkout.
     *
     * @param scratch an empty folder for the copy
     */
    Path complete(Path scratch) throws IOException {
        Map<String, String> links = links();
        if (links.isEmpty()) {
            return original;
        }
        try (Stream<Path> files = Files.list(original)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                if (!List.of(EXPECTED, LINKS).contains(name(file))) {
                    Files.copy(file, scratch.resolve(name(file)));
                }
            }
        }
        for (Map.Entry<String, String> link : links.entrySet()) {
            Path source = inCheckout(link.getValue())
                    .orElseThrow(() -> new IllegalStateException(original + ": there is no " + link.getValue()));
            Files.copy(source, scratch.resolve(link.getKey()));
        }
        return scratch;
    }

    /** Files that are taken from the checkout: their names and where they lie. */
    private Map<String, String> links() {
        Path file = original.resolve(LINKS);
        Properties links = new Properties();
        if (Files.exists(file)) {
            try (var reader = Files.newBufferedReader(file)) {
                links.load(reader);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        Map<String, String> byName = new TreeMap<>();
        links.stringPropertyNames().forEach(name -> byName.put(name, links.getProperty(name)));
        return byName;
    }

    @Override
    public String toString() {
        return name();
    }
}
