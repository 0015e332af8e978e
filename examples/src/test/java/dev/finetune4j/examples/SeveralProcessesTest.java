package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;

/** The program as its users start it. */
@Tag("slow")
@EnabledIfSystemProperty(named = "finetune4j.long", matches = "true", disabledReason = "takes a minute")
class SeveralProcessesTest {
    @TempDir
    private Path folder;

    @Test
    void twoProcessesLearnTheIdentity() throws Exception {
        Path adapter = folder.resolve("adapter");
        Path output = folder.resolve("output.txt");
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Dfile.encoding=UTF-8",
                        "-Dstdout.encoding=UTF-8",
                        "-cp",
                        System.getProperty("java.class.path"),
                        SeveralProcesses.class.getName(),
                        "2",
                        adapter.toString())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        int status = process.waitFor();
        List<String> lines = Files.readAllLines(output, StandardCharsets.UTF_8);
        assertEquals(0, status, lines::toString);
        assertTrue(
                lines.stream().anyMatch(line -> line.startsWith("[rank 0] ") && line.contains("张三")), lines::toString);
        assertTrue(Files.exists(adapter.resolve("adapter_model.safetensors")));
    }
}
