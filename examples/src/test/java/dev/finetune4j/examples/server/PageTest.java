package dev.finetune4j.examples.server;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.data.Dataset;
import dev.finetune4j.testsupport.Needs;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * The page of the server in headless Chromium, by {@code src/test/page/page.mjs}. It takes Node.js, Chromium, and the npm packages
 * Playwright and axe-core, which npm installs in {@code target/page} or the folder that the system property {@value #PROPERTY} names.
 */
class PageTest {
    static final String PROPERTY = "finetune4j.page";
    /** Where screenshots shall be left, for people to look at. */
    static final String PICTURES = "finetune4j.page.pictures";

    private static final List<String> PACKAGES = List.of("playwright-core@1.65.1", "axe-core@4.14.1");
    private static final List<String> BROWSERS = List.of("chromium", "chromium-browser", "google-chrome");
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int STEPS = 40;

    @TempDir
    Path temporary;

    @TestFactory
    Stream<DynamicTest> page() throws IOException {
        Needs.that(program("node").isPresent() && program("npm").isPresent(), "there is no Node.js with npm here");
        Optional<Path> browser =
                BROWSERS.stream().flatMap(name -> program(name).stream()).findFirst();
        Needs.that(browser.isPresent(), "there is no Chromium here");
        Path modules = modules();
        writeLog(Files.createDirectories(temporary.resolve("runs/lora")).resolve("trainer_log.jsonl"));
        ServerSettings settings = ServerSettings.builder("demo")
                .address(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .runs(temporary.resolve("runs"))
                .build();
        List<String> lines;
        try (ModelServer server = ModelServer.start(settings)) {
            server.serve(new PageModel());
            lines = run(List.of(
                    "node",
                    Path.of("src/test/page/page.mjs").toAbsolutePath().toString(),
                    server.address() + "/",
                    modules.toString(),
                    browser.get().toString(),
                    temporary.toString(),
                    System.getProperty(PICTURES, "")));
        }
        Path history = temporary.resolve("history.jsonl");
        assertEquals(2, Dataset.read(history).size(), "conversations that the page has exported");
        assertTrue(lines.size() > 30, () -> "the script has not come far: " + lines);
        return lines.stream().map(PageTest::test);
    }

    private static DynamicTest test(String line) {
        String found = line.replaceFirst("^(not )?ok - ", "");
        return DynamicTest.dynamicTest(found, () -> assertTrue(line.startsWith("ok - "), line));
    }

    /** The folder with the packages; the test is skipped where npm cannot install them. */
    private Path modules() throws IOException {
        Path folder = Path.of(System.getProperty(PROPERTY, "target/page")).toAbsolutePath();
        Path modules = folder.resolve("node_modules");
        if (!Files.isRegularFile(modules.resolve("axe-core/axe.min.js"))
                || !Files.isRegularFile(modules.resolve("playwright-core/index.mjs"))) {
            Files.createDirectories(folder);
            List<String> command = new ArrayList<>(List.of("npm", "install", "--prefix", folder.toString()));
            command.addAll(List.of("--save-exact", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"));
            command.addAll(PACKAGES);
            Needs.that(code(command, temporary.resolve("npm.log")) == 0, "npm cannot install " + PACKAGES);
        }
        return modules;
    }

    private List<String> run(List<String> command) throws IOException {
        Path output = temporary.resolve("page.log");
        int code = code(command, output);
        List<String> lines = Files.readAllLines(output);
        if (code != 0) {
            fail("the script ended with " + code + ": " + lines);
        }
        return lines;
    }

    private static int code(List<String> command, Path output) throws IOException {
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        try {
            if (process.waitFor(2, TimeUnit.MINUTES)) {
                return process.exitValue();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
        return -1;
    }

    private static Optional<Path> program(String name) {
        return Stream.of(System.getenv("PATH").split(":"))
                .map(folder -> Path.of(folder, name))
                .filter(Files::isExecutable)
                .findFirst();
    }

    /** The log of a run that is half done, as the library writes it. */
    private static void writeLog(Path file) throws IOException {
        List<String> lines = new ArrayList<>();
        for (int step = 1; step <= STEPS; step++) {
            lines.add(line(step).put("loss", 0.5 + 1.0 / step).put("lr", 1e-4).toString());
            if (step % 20 == 0) {
                lines.add(line(step).put("eval_loss", 0.5 + 4.0 / step).toString());
            }
        }
        assertEquals(STEPS + 2, lines.size());
        Files.write(file, lines);
    }

    private static ObjectNode line(int step) {
        return JSON.createObjectNode()
                .put("current_steps", step)
                .put("total_steps", 2 * STEPS)
                .put("epoch", 1.0 * step / STEPS)
                .put("percentage", 50.0 * step / STEPS)
                .put("elapsed_time", String.format(Locale.ROOT, "0:00:%02d", step))
                .put("remaining_time", "0:00:" + (2 * STEPS - step))
                .put("throughput", 100)
                .put("total_tokens", 100 * step);
    }
}
