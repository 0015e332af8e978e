package dev.finetune4j;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.DeviceMemory;
import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.OutOfDeviceMemoryException;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.SettingsException;
import dev.finetune4j.core.generate.ChatRequest;
import dev.finetune4j.core.generate.Completion;
import dev.finetune4j.core.generate.Reply;
import dev.finetune4j.core.generate.TokenLogprob;
import dev.finetune4j.core.text.ChatMessage;
import dev.finetune4j.lora.adapter.LoraSettings;
import dev.finetune4j.lora.adapter.layer.InitSources;
import dev.finetune4j.lora.adapter.peft.AdapterKinds;
import dev.finetune4j.lora.plan.ServingPlan;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Scanner;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Adapters by name on one base, in float32. */
@Timeout(240)
class AdaptersTest {
    @TempDir
    private Path folder;

    private LanguageModel model() {
        return LanguageModel.loader(Fixtures.tinyChatModel(folder.resolve("model")))
                .device(Fixtures.device())
                .precision(Precision.FP32)
                .load();
    }

    /** An adapter on disk, unlike those of other seeds. */
    private Path saved(LanguageModel model, long seed) {
        Path path = folder.resolve("adapter" + seed);
        try (Adapter adapter = new Adapter(model, DecoderCases.adapter(model.model(), seed, 0.2))) {
            adapter.save(path);
        }
        return path;
    }

    private static ChatRequest request(String question, String adapter) {
        ChatRequest.Builder request =
                ChatRequest.builder().messages(ChatMessage.user(question)).settings(s -> s.maxNewTokens(12));
        return (adapter == null ? request : request.adapter(adapter)).build();
    }

    @Test
    void aRequestChoosesItsAdapter() {
        try (LanguageModel model = model()) {
            Path first = saved(model, 1);
            Path second = saved(model, 2);
            Adapter loaded = model.adapters().load("first", first);
            model.adapters().load("second", second);
            assertEquals(Set.of("first", "second"), model.adapters().names());
            assertEquals(loaded, model.adapters().get("first").orElseThrow());
            List<ChatRequest> mixed = List.of(request("Hi", null), request("Hi", "first"), request("Hi", "second"));
            List<Reply> replies = model.generate(mixed);
            assertEquals(3, replies.stream().map(Reply::text).distinct().count());
            for (int i = 0; i < 3; i++) {
                assertEquals(model.reply(mixed.get(i)), replies.get(i));
            }
            assertEquals(loaded.reply(request("Hi", null)), replies.get(1));
            IllegalArgumentException unknown =
                    assertThrows(IllegalArgumentException.class, () -> model.reply(request("Hi", "third")));
            assertTrue(unknown.getMessage().contains("the names are first, second"), unknown.getMessage());
            assertThrows(IllegalArgumentException.class, () -> loaded.reply(request("Hi", "second")));
            assertTrue(model.adapters().unload("first"));
            assertFalse(model.adapters().unload("first"));
            assertThrows(IllegalArgumentException.class, () -> model.submit(request("Hi", "first"), delta -> {}));
            assertThrows(IllegalStateException.class, () -> loaded.ask("Hi"));
        }
    }

    @Test
    void aReplacedAdapterAnswersWhatItHasBegun() throws Exception {
        try (LanguageModel model = model()) {
            Path first = saved(model, 1);
            Path second = saved(model, 2);
            Adapter old = model.adapters().load("live", first);
            ChatRequest longer = request("Hello", "live").toBuilder().build();
            ChatRequest endless = ChatRequest.builder()
                    .messages(ChatMessage.user("Hello"))
                    .settings(s -> s.maxNewTokens(300))
                    .adapter("live")
                    .build();
            Reply expected = model.reply(endless);
            CountDownLatch begun = new CountDownLatch(3);
            Completion inProgress = model.submit(endless, delta -> begun.countDown());
            begun.await();
            model.adapters().load("live", second);
            Reply after = model.reply(longer);
            assertEquals(expected, inProgress.join(), "what was begun goes on with the old one");
            model.adapters().load("old", first);
            assertNotEquals(model.reply(request("Hello", "old")), after);
            awaitClosed(old);
            assertThrows(ModelFileException.class, () -> model.adapters().load("live", folder.resolve("nothing")));
            assertEquals(after, model.reply(longer), "a failed load leaves the one that serves");
        }
    }

    private static void awaitClosed(Adapter adapter) throws InterruptedException {
        for (int i = 0; i < 100; i++) {
            try {
                adapter.parameterCount();
                Thread.sleep(20);
            } catch (IllegalStateException e) {
                return;
            }
        }
        throw new AssertionError("the adapter that was replaced is still open");
    }

    @Test
    void aScaleMultipliesWhatIsAdded() {
        try (LanguageModel model = model()) {
            Path path = saved(model, 1);
            model.adapters().load("none", path, 0);
            model.adapters().load("half", path, 0.5);
            model.adapters().load("whole", path, 1);
            assertEquals(
                    model.score("Hello there").toString(),
                    model.adapters()
                            .get("none")
                            .orElseThrow()
                            .score("Hello there")
                            .toString());
            double base = sum(model.score("Hello there"));
            double half = sum(model.adapters().get("half").orElseThrow().score("Hello there"));
            double whole = sum(model.adapters().get("whole").orElseThrow().score("Hello there"));
            assertNotEquals(base, half, 1e-6);
            assertNotEquals(half, whole, 1e-6);
            Path dora = folder.resolve("dora");
            try (Adapter adapter = new Adapter(
                    model,
                    AdapterKinds.create(
                            model.model(), LoraSettings.builder().useDora(true).build(), InitSources.seed(1)))) {
                adapter.save(dora);
            }
            SettingsException refused =
                    assertThrows(SettingsException.class, () -> model.adapters().load("dora", dora, 0.5));
            assertTrue(refused.getMessage().contains("only plain LoRA can be scaled"), refused.getMessage());
        }
    }

    private static double sum(List<TokenLogprob> scores) {
        return scores.stream().mapToDouble(TokenLogprob::logprob).sum();
    }

    /** Sixty-four threads over eight adapters, two of which are replaced all the time: every answer is that of one of the two. */
    @Test
    void manyThreadsWhileAdaptersAreReplaced(TestReporter reporter) throws Exception {
        boolean isLong = Boolean.getBoolean("finetune4j.long");
        Duration time = isLong ? Duration.ofSeconds(60) : Duration.ofMillis(1500);
        try (LanguageModel model = model()) {
            List<Path> paths = new ArrayList<>();
            for (int i = 0; i < 10; i++) {
                paths.add(saved(model, i));
            }
            List<Set<String>> expected = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                expected.add(new HashSet<>());
            }
            for (int i = 0; i < 10; i++) {
                model.adapters().load("a" + i % 8, paths.get(i));
                for (int question = 0; question < 4; question++) {
                    expected.get(i % 8)
                            .add(question
                                    + model.reply(request("Question " + question, "a" + i % 8))
                                            .text());
                }
            }
            AtomicBoolean stop = new AtomicBoolean();
            AtomicInteger answers = new AtomicInteger();
            ExecutorService threads = Executors.newFixedThreadPool(65);
            List<Future<?>> running = new ArrayList<>();
            for (int client = 0; client < 64; client++) {
                int number = client;
                running.add(threads.submit(() -> client(model, number, expected, stop, answers)));
            }
            Instant end = Instant.now().plus(time);
            int swaps = 0;
            long early = 0;
            while (Instant.now().isBefore(end)) {
                for (int i = 0; i < 2; i++) {
                    model.adapters().load("a" + i, paths.get(swaps % 2 == 0 ? i : i + 8));
                }
                swaps++;
                if (early == 0 && Instant.now().isAfter(end.minus(time.dividedBy(2)))) {
                    early = rss();
                }
                Thread.sleep(20);
            }
            long late = rss();
            stop.set(true);
            for (Future<?> one : running) {
                one.get(60, TimeUnit.SECONDS);
            }
            threads.shutdown();
            reporter.publishEntry(
                    "answers " + answers + ", swaps " + swaps, "RSS " + (early >> 20) + " -> " + (late >> 20) + " MiB");
            assertTrue(answers.get() >= 64 && swaps > 2, answers + " answers, " + swaps + " swaps");
            if (isLong) {
                assertTrue(late - early < 64L << 20, "RSS " + early + " -> " + late);
            }
        }
    }

    private static void client(
            LanguageModel model, int number, List<Set<String>> expected, AtomicBoolean stop, AtomicInteger answers) {
        for (int turn = number; !stop.get(); turn++) {
            int adapter = turn % 8;
            int question = turn / 8 % 4;
            String text =
                    model.reply(request("Question " + question, "a" + adapter)).text();
            assertTrue(
                    expected.get(adapter).contains(question + text),
                    () -> "adapter " + adapter + ", question " + question + ": " + text);
            answers.incrementAndGet();
        }
    }

    /** Resident bytes of this process; 0 where Linux does not say. */
    private static long rss() throws IOException {
        Path status = Path.of("/proc/self/statm");
        if (!Files.exists(status)) {
            return 0;
        }
        try (Scanner pages = new Scanner(status, StandardCharsets.US_ASCII)) {
            pages.nextLong();
            return pages.nextLong() * 4096;
        }
    }

    @Test
    void aPlanSaysWhatFitsAndWhatWould() {
        Path path = Fixtures.tinyChatModel(folder.resolve("model"));
        Path adapter;
        try (LanguageModel model = LanguageModel.load(path)) {
            adapter = saved(model, 1);
        }
        LanguageModel.Loader loader =
                LanguageModel.loader(path).device(Fixtures.device()).precision(Precision.FP32);
        ServingPlan small = loader.servingPlan(8, 256, adapter);
        assertTrue(small.fits(), small.toString());
        assertTrue(small.weights() > 0 && small.adapters() > 0 && small.logits() > 0);
        assertEquals(2 * small.cache(), loader.servingPlan(16, 256, adapter).cache());
        assertEquals(small, small.requireFits());
        assertTrue(small.memory().free() <= DeviceMemory.of(Fixtures.device()).total());
        ServingPlan large = loader.servingPlan(64, 1 << 30, adapter);
        assertFalse(large.fits());
        OutOfDeviceMemoryException refused = assertThrows(OutOfDeviceMemoryException.class, large::requireFits);
        for (String part : List.of("serving 64 texts of 1073741824 tokens", "keep texts to ", "4 bits")) {
            assertTrue(refused.getMessage().contains(part), refused.getMessage());
        }
    }
}
