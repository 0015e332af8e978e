package dev.finetune4j.core.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.testsupport.OwnThread;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class LifetimeTest {
    private final AtomicInteger freed = new AtomicInteger();

    private static CompletableFuture<Void> async(Runnable work) {
        return CompletableFuture.runAsync(work, OwnThread.EACH);
    }

    private static String refused(Runnable call) {
        return assertThrows(IllegalStateException.class, call::run).getMessage();
    }

    @Test
    void whatIsAttachedIsClosedBeforeTheMemoryIsFreed() {
        Lifetime lifetime = Lifetime.shared("gone");
        List<String> order = new ArrayList<>();
        Lifetime.Dependent stays = () -> order.add("stays");
        Lifetime.Dependent leaves = () -> order.add("leaves");
        assertTrue(lifetime.attach(stays));
        assertTrue(lifetime.attach(leaves));
        lifetime.detach(leaves);
        lifetime.close(() -> order.add("freed"));
        assertEquals(List.of("stays", "freed"), order);
        assertFalse(lifetime.attach(leaves));
        lifetime.close(() -> order.add("freed again"));
        assertEquals(List.of("stays", "freed"), order);
    }

    @Test
    void closingWaitsForTheUsesInProgressAndRefusesNewOnes() throws Exception {
        Lifetime lifetime = Lifetime.shared("gone");
        Lifetime.Use use = lifetime.use();
        CompletableFuture<Void> closing = async(() -> lifetime.close(freed::incrementAndGet));
        while (!lifetime.isClosed()) {
            Thread.onSpinWait();
        }
        ExecutionException late = assertThrows(
                ExecutionException.class, () -> async(lifetime::use).get(30, TimeUnit.SECONDS));
        assertEquals("gone", late.getCause().getMessage());
        // Who is inside comes to its end, whatever it has to begin for that.
        lifetime.use().close();
        Thread.sleep(20);
        assertEquals(0, freed.get());
        use.close();
        closing.get(30, TimeUnit.SECONDS);
        assertEquals(1, freed.get());
        assertEquals("gone", refused(lifetime::use));
        assertEquals("gone", refused(lifetime::requireOpen));
        lifetime.close(freed::incrementAndGet);
        assertEquals(1, freed.get());
    }

    @Test
    void closingWithinAUseOfTheSameThreadIsRefusedInsteadOfWaitingForever() {
        for (Lifetime lifetime : List.of(Lifetime.shared("gone"), Lifetime.confined("gone", "busy"))) {
            freed.set(0);
            try (Lifetime.Use use = lifetime.use()) {
                assertTrue(
                        refused(() -> lifetime.close(freed::incrementAndGet)).contains("when the call has returned"));
                assertFalse(lifetime.isClosed());
            }
            assertEquals(0, freed.get());
            lifetime.close(freed::incrementAndGet);
            assertEquals(1, freed.get());
        }
    }

    @Test
    void whatServesOneThreadRefusesASecondAtOnce() throws Exception {
        Lifetime lifetime = Lifetime.confined("gone", "busy");
        try (Lifetime.Use outer = lifetime.use();
                Lifetime.Use inner = lifetime.use()) {
            ExecutionException second = assertThrows(
                    ExecutionException.class, () -> async(lifetime::use).get(30, TimeUnit.SECONDS));
            assertEquals("busy", second.getCause().getMessage());
        }
        async(() -> lifetime.use().close()).get(30, TimeUnit.SECONDS);
        lifetime.close(freed::incrementAndGet);
        assertEquals("gone", refused(lifetime::use));
    }

    @Test
    void aUseOfSeveralIsOneOfAllOrNone() {
        Lifetime first = Lifetime.shared("first gone");
        Lifetime second = Lifetime.shared("second gone");
        Lifetime.Use both = Lifetime.useAll(List.of(first, second));
        both.close();
        second.close(freed::incrementAndGet);
        assertEquals("second gone", refused(() -> Lifetime.useAll(List.of(first, second))));
        first.close(freed::incrementAndGet); // waits forever if the refused use had kept the first
        assertEquals(2, freed.get());
    }

    @Test
    void closingDoesNotStarveUnderContinuousUse() throws Exception {
        Lifetime lifetime = Lifetime.shared("gone");
        AtomicBoolean inside = new AtomicBoolean(true);
        CountDownLatch begun = new CountDownLatch(8);
        List<CompletableFuture<Void>> users = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            users.add(async(() -> {
                int turns = 0;
                while (true) {
                    try (Lifetime.Use use = lifetime.use()) {
                        assertTrue(inside.get(), "freed while in use");
                        Thread.onSpinWait();
                    } catch (IllegalStateException e) {
                        return;
                    }
                    if (++turns == 100) {
                        begun.countDown();
                    }
                }
            }));
        }
        begun.await();
        long start = System.nanoTime();
        lifetime.close(() -> inside.set(false));
        Duration waited = Duration.ofNanos(System.nanoTime() - start);
        for (CompletableFuture<Void> user : users) {
            user.get(30, TimeUnit.SECONDS);
        }
        assertTrue(waited.toSeconds() < 10, "waited " + waited);
    }
}
