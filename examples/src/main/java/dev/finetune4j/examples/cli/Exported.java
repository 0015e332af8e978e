package dev.finetune4j.examples.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.message.ByteCount;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * What was written.
 *
 * @param target file or folder
 * @param bytes of each file, by its path below the folder
 * @param comparison of a merged model with base and adapter, as finetune4j.json has it; a missing node where none was made
 */
record Exported(Path target, Map<String, Long> bytes, JsonNode comparison) {
    static Exported of(Path target) {
        Map<String, Long> bytes = new TreeMap<>();
        try (Stream<Path> files = Files.walk(target)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                bytes.put(target.equals(file) ? "" : target.relativize(file).toString(), Files.size(file));
            }
            Path record = target.resolve("finetune4j.json");
            JsonNode comparison = Files.isRegularFile(record)
                    ? new ObjectMapper().readTree(record.toFile()).path("merge")
                    : new ObjectMapper().missingNode();
            return new Exported(target, bytes, comparison);
        } catch (IOException e) {
            throw new FineTune4jException(target + " was written, but cannot be read: " + e, e);
        }
    }

    void print(Output output) {
        PrintWriter out = output.out();
        if (output.isJson()) {
            out.println(new Json()
                    .put("target", target.toString())
                    .put("bytes", bytes)
                    .put("comparison", comparison.isMissingNode() ? null : comparison));
            return;
        }
        long all = bytes.values().stream().mapToLong(Long::longValue).sum();
        out.println(target + "  " + ByteCount.text(all) + (bytes.size() > 1 ? " in " + bytes.size() + " files" : ""));
        if (!comparison.isMissingNode()) {
            out.println(String.format(
                    Locale.ROOT,
                    "compared with model and adapter on %d prompts: log-probabilities differ by %.2e at most, same likeliest"
                            + " token at %d of %d",
                    comparison.path("prompts").asInt(),
                    comparison.path("largest_difference").asDouble(),
                    comparison.path("same_choice").asInt(),
                    comparison.path("tokens").asInt()));
        }
    }
}
