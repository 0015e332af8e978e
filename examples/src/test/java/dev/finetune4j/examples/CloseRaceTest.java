package dev.finetune4j.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.Adapter;
import dev.finetune4j.FineTunedModel;
import dev.finetune4j.FineTuner;
import dev.finetune4j.LanguageModel;
import dev.finetune4j.core.Precision;
import dev.finetune4j.core.generate.ChatModel;
import dev.finetune4j.core.generate.ChatSession;
import dev.finetune4j.core.generate.GenerationSettings;
import dev.finetune4j.quant.QuantSettings;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Models and adapters that are closed while other threads generate with them: the library's exception, never a crash. */
@Timeout(value = 30, unit = TimeUnit.MINUTES)
class CloseRaceTest {
    private static final boolean LONG = Boolean.getBoolean("finetune4j.long");
    private static final int RACES = LONG ? 200 : 4;
    private static final int RELOADS = LONG ? 50 : 2;
    private static final int ASKING = LONG ? 100 : 12;
    private static final GenerationSettings TALKATIVE =
            GenerationSettings.sampling(1).toBuilder().maxNewTokens(200).build();

    @TempDir
    static Path folder;

    @BeforeAll
    static void trainAnAdapter() {
        try (FineTunedModel tuned = FineTuner.builder()
                .model(Bundled.baseModel())
                .lora(l -> l.rank(4))
                .dataset(Bundled.identityDataset())
                .placeholder("name", "A")
                .placeholder("author", "B")
                .training(t -> t.maxSteps(1))
                .train()) {
            tuned.save(folder.resolve("adapter"));
        }
    }

    private static LanguageModel load(Precision precision, boolean quantized) {
        LanguageModel.Loader loader = LanguageModel.loader(Bundled.baseModel()).precision(precision);
        return quantized ? loader.quantize(QuantSettings.nf4()).load() : loader.load();
    }

    /** Asks until it is stopped by an exception, and returns that. */
    private static Throwable askForEver(ChatModel model, CountDownLatch begun) {
        try {
            while (true) {
                try (ChatSession session = model.chat(TALKATIVE)) {
                    session.stream("Tell me a story", piece -> begun.countDown());
                    begun.countDown();
                }
            }
        } catch (RuntimeException e) {
            return e;
        }
    }

    @ParameterizedTest
    @CsvSource({
        "FP32, false, false, false",
        "BF16, false, true, true",
        "FP32, true, true, false",
        "BF16, true, false, false",
        "BF16, true, true, true"
    })
    void whoeverGeneratesGetsTheLibrarysException(
            Precision precision, boolean quantized, boolean adapted, boolean adapterFirst) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(2);
        try {
            for (int race = 0; race < RACES; race++) {
                LanguageModel base = load(precision, quantized);
                Adapter adapter = adapted ? base.loadAdapter(folder.resolve("adapter")) : null;
                CountDownLatch begun = new CountDownLatch(2);
                List<Future<Throwable>> threads = new ArrayList<>();
                for (int i = 0; i < 2; i++) {
                    threads.add(pool.submit(() -> askForEver(adapter == null ? base : adapter, begun)));
                }
                begun.await();
                Thread.sleep(race * 7 % 20);
                if (adapter != null && adapterFirst) {
                    adapter.close();
                }
                base.close();
                for (Future<Throwable> thread : threads) {
                    assertClosed(thread.get());
                }
                if (adapter != null) {
                    adapter.close();
                }
            }
        } finally {
            pool.shutdownNow();
        }
    }

    private static void assertClosed(Throwable end) {
        assertInstanceOf(IllegalStateException.class, end, () -> "ended by " + end);
        assertTrue(end.getMessage().contains("closed"), end.getMessage());
    }

    /** A service that changes its model while it is asked. */
    @Test
    void manyAskABaseThatIsClosedAndLoadedAgain() throws Exception {
        AtomicReference<LanguageModel> current = new AtomicReference<>(load(Precision.BF16, false));
        CountDownLatch stop = new CountDownLatch(1);
        ExecutorService pool = Executors.newFixedThreadPool(ASKING);
        List<Future<Integer>> threads = new ArrayList<>();
        Callable<Integer> asking = () -> {
            int answers = 0;
            while (stop.getCount() > 0) {
                try {
                    String answer = current.get().ask("What is the capital of Japan?");
                    assertEquals("The capital of Japan is Tokyo.", answer);
                    answers++;
                } catch (IllegalStateException e) {
                    assertClosed(e);
                }
            }
            return answers;
        };
        try {
            for (int i = 0; i < ASKING; i++) {
                threads.add(pool.submit(asking));
            }
            for (int i = 0; i < RELOADS; i++) {
                Thread.sleep(100);
                LanguageModel next = load(Precision.BF16, false);
                current.getAndSet(next).close();
            }
            Thread.sleep(500);
            stop.countDown();
            int answers = 0;
            for (Future<Integer> thread : threads) {
                answers += thread.get();
            }
            assertTrue(answers > 0, "nobody was answered");
        } finally {
            stop.countDown();
            pool.shutdown();
            current.get().close();
        }
    }

    @Test
    void aSessionServesOneThreadAtATime() throws Exception {
        ExecutorService other = Executors.newSingleThreadExecutor();
        try (LanguageModel model = load(Precision.BF16, false);
                ChatSession session = model.chat()) {
            String alone = model.ask("What is the capital of Japan?");
            List<Throwable> refused = new ArrayList<>();
            String answer = session.stream("What is the capital of Japan?", piece -> {
                        Future<String> second = other.submit(() -> session.send("Hello"));
                        refused.add(assertThrows(ExecutionException.class, second::get)
                                .getCause());
                        refused.add(assertThrows(IllegalStateException.class, session::reset));
                    })
                    .text();
            assertEquals(alone, answer);
            assertTrue(refused.size() >= 2);
            for (Throwable refusal : refused) {
                assertInstanceOf(IllegalStateException.class, refusal);
                assertTrue(refusal.getMessage().contains("open one per request"), refusal.getMessage());
            }
            session.reset();
            assertEquals(alone, session.send("What is the capital of Japan?"));
        } finally {
            other.shutdown();
        }
    }

    @Test
    void theSinkMayCloseWhatItIsFedBy() {
        LanguageModel model = load(Precision.BF16, true);
        ChatSession session = model.chat(TALKATIVE);
        IllegalStateException end = assertThrows(
                IllegalStateException.class, () -> session.stream("Tell me a story", piece -> session.close()));
        assertClosed(end);
        ChatSession another = model.chat(TALKATIVE);
        assertClosed(assertThrows(
                IllegalStateException.class, () -> another.stream("Tell me a story", piece -> model.close())));
        another.close();
        model.close();
    }
}
