package dev.finetune4j.core.collective;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.finetune4j.core.DeviceException;
import dev.finetune4j.core.RankLostException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Waiting for a library that connects, which ends also when the library does not. */
@Timeout(30)
class ConnectingTest {
    private static void allAreThere() {}

    @Test
    void whatWasMadeIsHandedOver() {
        assertEquals(
                "made",
                Connecting.await("Test", () -> "made", made -> fail("it is in use"), ConnectingTest::allAreThere));
    }

    @Test
    void whatIsMadeTooLateIsFreed() throws Exception {
        CountDownLatch given = new CountDownLatch(1);
        CompletableFuture<String> freed = new CompletableFuture<>();
        RankLostException lost = new RankLostException(1, "rank 1 was lost", null);
        RankLostException thrown = assertThrows(
                RankLostException.class,
                () -> Connecting.await("Test", () -> late(given), freed::complete, () -> {
                    throw lost;
                }));
        assertSame(lost, thrown);
        given.countDown();
        assertEquals("late", freed.get(10, TimeUnit.SECONDS));
    }

    private static String late(CountDownLatch given) {
        try {
            given.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        return "late";
    }

    @Test
    void failuresReachWhoWaits() {
        IllegalStateException own = new IllegalStateException("no network");
        IllegalStateException thrown = assertThrows(
                IllegalStateException.class,
                () -> Connecting.await(
                        "Test",
                        () -> {
                            throw own;
                        },
                        made -> fail("nothing was made"),
                        ConnectingTest::allAreThere));
        assertSame(own, thrown);
        DeviceException missing = assertThrows(
                DeviceException.class,
                () -> Connecting.await(
                        "Test",
                        () -> {
                            throw new UnsatisfiedLinkError("no such library");
                        },
                        made -> fail("nothing was made"),
                        ConnectingTest::allAreThere));
        assertTrue(
                missing.getMessage().startsWith("Test cannot be used")
                        && missing.getMessage().contains("no such library"),
                missing.getMessage());
    }

    @Test
    void anInterruptionEndsTheWaitAndIsNotLost() {
        CountDownLatch given = new CountDownLatch(1);
        Thread.currentThread().interrupt();
        DeviceException thrown = assertThrows(
                DeviceException.class,
                () -> Connecting.await("Test", () -> late(given), made -> {}, ConnectingTest::allAreThere));
        assertTrue(Thread.interrupted(), "the thread stays interrupted");
        assertEquals("interrupted while Test was connecting the ranks", thrown.getMessage());
        given.countDown();
    }
}
