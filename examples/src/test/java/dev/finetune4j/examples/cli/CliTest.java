package dev.finetune4j.examples.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.finetune4j.core.hub.DownloadProgress;
import dev.finetune4j.examples.Bundled;
import dev.finetune4j.examples.LocalHub;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The commands of the command line: what they print, in both forms, and their exit codes. */
class CliTest {
    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(String... arguments) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Finetune4j.commandLine(new PrintWriter(out, true), new PrintWriter(err, true))
                .execute(arguments);
    }

    private static JsonNode json(StringWriter printed) throws Exception {
        return new ObjectMapper().readTree(printed.toString());
    }

    @Test
    void downloadPrintsTheFolder() throws Exception {
        try (LocalHub hub = new LocalHub()) {
            String[] arguments = {"download", "org/tiny", "--endpoint", hub.address(), "--cache", folder.toString()};
            assertEquals(0, run(arguments), err.toString());
            Path expected = folder.resolve("models--org--tiny/snapshots/" + LocalHub.COMMIT);
            assertEquals(expected + System.lineSeparator(), out.toString());
            assertEquals("", err.toString(), "no progress where nobody watches");
            assertTrue(Files.isRegularFile(expected.resolve("model.safetensors")));

            assertEquals(0, run("download", "org/tiny", "--cache", folder.toString(), "--json"), err.toString());
            assertEquals(expected.toString(), json(out).path("folder").asText());
            assertEquals(1 + LocalHub.names().size(), hub.requests(), "what is cached is not asked for");

            assertEquals(
                    0,
                    run("download", "org/other", "--endpoint", hub.address(), "--cache", folder.toString(), "--json"));
            JsonNode last = new ObjectMapper()
                    .readTree(err.toString().lines().reduce((a, b) -> b).orElseThrow());
            assertEquals("DONE", last.path("phase").asText());
            assertEquals(last.path("totalBytes").asLong(), last.path("bytes").asLong());
        }
    }

    @Test
    void aFailureIsOneLineOrOneObject() throws Exception {
        String[] arguments = {
            "download", "org/tiny", "--hub", "modelscope", "--cache", folder.toString(), "--endpoint", "ftp://x"
        };
        assertEquals(1, run(arguments));
        assertTrue(err.toString().startsWith("finetune4j: endpoint(endpoint) is"), err.toString());
        assertEquals(1, err.toString().lines().count());
        assertEquals(1, run("plan", "org/absent-model", "--json"));
        assertEquals("HubException", json(err).path("error").asText());
        assertEquals("NOT_CACHED", json(err).path("reason").asText());
        assertEquals("", out.toString());
        assertEquals(1, run("plan", "org/absent-model"));
        assertTrue(err.toString().strip().endsWith("finetune4j download org/absent-model"), err.toString());
    }

    @ParameterizedTest
    @CsvSource({"download, Missing required parameter", "download a/b --hub x, Invalid value", "fly, Unmatched argument"
    })
    void wrongUsageIsSaid(String line, String said) {
        assertEquals(2, run(line.split(" ")));
        assertTrue(err.toString().contains(said), err.toString());
    }

    @Test
    void helpNamesTheCommands() {
        assertEquals(0, run("--help"));
        for (String command :
                new String[] {"chat", "eval", "merge", "export", "demo", "download", "env", "plan", "data"}) {
            assertTrue(out.toString().contains(command), out.toString());
        }
        assertEquals(0, run("--version"));
        assertTrue(out.toString().startsWith("finetune4j "), out.toString());
    }

    @Test
    void aPlanThatDoesNotFitHasACodeOfItsOwn() throws Exception {
        String model = Bundled.baseModel().toString();
        assertEquals(0, run("plan", model, "--device", "cpu", "--max-length", "256"), err.toString());
        assertTrue(out.toString().contains("it fits"), out.toString());
        assertEquals(3, run("plan", model, "--device", "cpu", "--batch-size", "100000", "--json"), err.toString());
        assertFalse(json(out).path("fits").asBoolean());
        assertTrue(json(out).path("peak").asLong() > json(out).path("free").asLong());
        assertTrue(json(out).path("bytes").path("weights").asLong() > 0);
        assertEquals(1, run("plan", model, "--device", "tpu"));
        assertTrue(err.toString().contains("expected cpu, cuda or cuda:N"), err.toString());
    }

    @Test
    void theReportOnDataIsTextJsonAndAPage() throws Exception {
        String model = Bundled.baseModel().toString();
        String rows = Bundled.identityDataset().toString();
        Path page = folder.resolve("report.html");
        assertEquals(
                0,
                run(
                        "data",
                        model,
                        rows,
                        "--placeholder",
                        "name=张三",
                        "--placeholder",
                        "author=某某",
                        "--html",
                        page.toString()),
                err.toString());
        assertTrue(out.toString().contains("张三"), out.toString());
        assertTrue(Files.readString(page).contains("<html"));
        assertEquals(0, run("data", model, rows, "--json", "--placeholder", "name=A", "--placeholder", "author=B"));
        assertEquals(json(out).path("rows").asInt(), json(out).path("examples").asInt());
        assertTrue(json(out).path("learnedTokens").asLong() > 0);
    }

    @Test
    void theEnvironmentIsToldWithWhatIsWrong() throws Exception {
        int code = run("env", "--json");
        JsonNode told = json(out);
        for (String name :
                new String[] {"system", "java", "libtorch", "CPU kernels", "memory", "Hugging Face cache", "tokens"}) {
            assertFalse(told.path("environment").path(name).asText().isEmpty(), name + " in " + out);
        }
        assertEquals(told.path("problems").isEmpty() ? 0 : 1, code, out.toString());
        run("env");
        assertTrue(out.toString().contains("natives from"), out.toString());
    }

    @Test
    void theLineOfADownloadSaysWhatGoesOn() {
        DownloadProgress progress =
                new DownloadProgress("org/tiny", DownloadProgress.Phase.DOWNLOADING, 3 << 20, 12L << 30, 1, 5, 7 << 20);
        assertEquals("org/tiny  1/5 files  3.0 MiB of 12.0 GiB  7.0 MiB/s", DownloadCommand.line(progress));
        assertTrue(DownloadCommand.line(new DownloadProgress("a/b", DownloadProgress.Phase.WAITING, 0, 0, 0, 0, 0))
                .startsWith("another process"));
    }
}
