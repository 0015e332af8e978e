package dev.finetune4j.core.hub;

import static dev.finetune4j.core.hub.HubFixture.assertModel;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.testsupport.OwnThread;
import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Downloads of processes that are killed, and of several at once. */
@Timeout(120)
class HubProcessesTest {
    private static final int SHARD_BYTES = 3 << 20;
    private static final int KILLS = Boolean.getBoolean("finetune4j.long") ? 20 : 3;

    @TempDir
    private Path home;

    private FakeHub hub;

    /** What fetches in a process of its own: hub, address, home. */
    public static final class Fetcher {
        public static void main(String[] args) {
            HubEnvironment environment = HubFixture.environment(Path.of(args[2]));
            Hub kind = args[0].equals("huggingface") ? new HuggingFace() : new ModelScope();
            System.out.print(new HubModel(kind, FakeHub.ID, environment)
                    .endpoint(URI.create(args[1]))
                    .fetch());
        }
    }

    @BeforeEach
    void start() throws IOException {
        hub = new FakeHub();
        hub.files.putAll(FakeHub.model(3, SHARD_BYTES));
    }

    @AfterEach
    void end() {
        hub.close();
    }

    private Process process(String kind) throws IOException {
        return new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Xmx64m",
                        "-XX:TieredStopAtLevel=1",
                        "-Xshare:auto",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Fetcher.class.getName(),
                        kind,
                        hub.address().toString(),
                        home.toString())
                .redirectErrorStream(true)
                .start();
    }

    private static String output(Process process) throws Exception {
        String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertTrue(process.waitFor(60, TimeUnit.SECONDS));
        assertEquals(0, process.exitValue(), text);
        return text;
    }

    @Test
    void killedDownloadsGoOnToTheSameBytes() throws Exception {
        Semaphore begun = new Semaphore(0);
        FakeHub.Fault slow = (exchange, bytes) -> {
            int from = FakeHub.rangeStart(exchange);
            exchange.getResponseHeaders()
                    .set("Content-Range", "bytes " + from + "-" + (bytes.length - 1) + "/" + bytes.length);
            exchange.sendResponseHeaders(from > 0 ? 206 : 200, bytes.length - from);
            OutputStream out = exchange.getResponseBody();
            for (int at = from; at < bytes.length; at += 1 << 16) {
                out.write(bytes, at, Math.min(1 << 16, bytes.length - at));
                out.flush();
                begun.release();
                HubDownloadTest.pause(8);
            }
            return true;
        };
        FakeHub.Fault[] always = new FakeHub.Fault[200];
        Arrays.fill(always, slow);
        hub.fault(FakeHub.Seen::storage, always);
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int kill = 0; kill < KILLS; kill++) {
            begun.drainPermits();
            Process process = process(kill % 2 == 0 ? "huggingface" : "modelscope");
            assertTrue(begun.tryAcquire(2 + random.nextInt(2 + 60 / KILLS), 60, TimeUnit.SECONDS), "seed " + seed);
            process.destroyForcibly().waitFor();
        }
        for (String kind : List.of("huggingface", "modelscope")) {
            assertModel(hub, Path.of(output(process(kind))));
        }
        List<String> ranges = hub.seen.stream()
                .filter(FakeHub.Seen::storage)
                .map(seen -> seen.header("Range"))
                .toList();
        assertTrue(
                ranges.stream().anyMatch(range -> !range.isEmpty()),
                "seed " + seed + ": nothing was resumed: " + ranges);
        try (var left = Files.walk(home)) {
            assertEquals(
                    List.of(),
                    left.filter(path -> path.toString().endsWith(".incomplete")).toList());
        }
    }

    @Test
    void ofTwoProcessesOneFetches() throws Exception {
        for (String kind : List.of("huggingface", "modelscope")) {
            hub.seen.clear();
            List<Process> processes = List.of(process(kind), process(kind));
            List<String> folders = new ArrayList<>();
            for (Process process : processes) {
                folders.add(output(process));
            }
            assertEquals(folders.get(0), folders.get(1));
            assertModel(hub, Path.of(folders.get(0)));
            assertEquals(
                    1,
                    hub.seen.stream()
                            .filter(FakeHub.api().and(seen -> !seen.path().endsWith("/repo")))
                            .count());
            assertEquals(2, hub.seen.stream().filter(FakeHub.Seen::storage).count(), "each shard came once");
        }
    }

    @Test
    void ofTwoThreadsOneFetches() {
        List<DownloadProgress.Phase> phases = new CopyOnWriteArrayList<>();
        HubModel model = HubFixture.huggingFace(hub, home).listener(progress -> phases.add(progress.phase()));
        CompletableFuture<Path> other = CompletableFuture.supplyAsync(model::fetch, OwnThread.EACH);
        assertEquals(model.fetch(), other.join());
        assertEquals(2, hub.seen.stream().filter(FakeHub.Seen::storage).count());
    }
}
