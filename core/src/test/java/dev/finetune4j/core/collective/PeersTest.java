package dev.finetune4j.core.collective;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.RankLostException;
import dev.finetune4j.testsupport.OwnThread;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A connection between two ranks of which one end says what it should not, or nothing more. */
@Timeout(30)
class PeersTest {
    private Socket near;
    private Socket far;

    @BeforeEach
    void connect() throws IOException {
        try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            far = new Socket(server.getInetAddress(), server.getLocalPort());
            near = server.accept();
        }
    }

    @AfterEach
    void disconnect() throws IOException {
        near.close();
        far.close();
    }

    /** A rank of two, at the near end. */
    private Peers rank(int rank, Duration silence) throws IOException {
        int other = 1 - rank;
        return new Peers(rank, 2, List.of(new PeerLink(other, "rank " + other + " (there)", near, silence)));
    }

    private static void assertLost(int rank, String message, Peers peers) {
        RankLostException lost = assertThrows(RankLostException.class, () -> peers.exchange(1));
        assertEquals(rank, lost.rank());
        assertEquals(message, lost.getMessage());
        lost = assertThrows(RankLostException.class, peers::requireAll);
        assertEquals(message, lost.getMessage());
    }

    @Test
    void whatIsNoMessageEndsTheTraining() throws IOException {
        try (Peers peers = rank(0, Peers.SILENCE)) {
            far.getOutputStream().write(77);
            assertLost(
                    1, "rank 1 (there) was lost: it cannot be understood: it said something that is no message", peers);
        }
    }

    @Test
    void aNumberOfRanksThatCannotBeTakesNoMemory() throws IOException {
        try (Peers peers = rank(1, Peers.SILENCE)) {
            DataOutputStream out = new DataOutputStream(far.getOutputStream());
            out.writeByte(2);
            out.writeInt(Integer.MAX_VALUE);
            assertLost(
                    0,
                    "rank 0 (there) was lost: it cannot be understood: it said that there are 2147483647 ranks",
                    peers);
        }
    }

    @Test
    void whoFallsSilentIsLost() throws IOException {
        try (Peers peers = rank(0, Duration.ofMillis(300))) {
            assertLost(
                    1,
                    "rank 1 (there) was lost: it has not been heard of any more; its machine or process hangs, or the"
                            + " network is down",
                    peers);
        }
    }

    @Test
    void whoEndsItsTrainingWhileTheOtherAsksIsNamed() throws Exception {
        Peers one = new Peers(1, 2, List.of(new PeerLink(0, "rank 0 (here)", far, Peers.SILENCE)));
        CompletableFuture<Void> left;
        try (Peers zero = rank(0, Peers.SILENCE)) {
            CompletableFuture<long[]> said = CompletableFuture.supplyAsync(() -> one.exchange(5), OwnThread.EACH);
            assertArrayEquals(new long[] {4, 5}, zero.exchange(4));
            assertArrayEquals(new long[] {4, 5}, said.get());
            left = CompletableFuture.runAsync(one::close, OwnThread.EACH);
            assertLost(
                    1,
                    "rank 1 (there) has ended its training, although rank 0 has not; start all with the same program",
                    zero);
        }
        left.get();
    }

    @Test
    void afterALossAFailureIsNoNews() throws IOException {
        AtomicInteger losses = new AtomicInteger();
        try (Peers peers = rank(0, Peers.SILENCE)) {
            peers.onLoss(losses::incrementAndGet);
            far.close();
            assertTrue(peers.findsLost());
            assertFalse(peers.fail("what came of it"));
            RankLostException lost = assertThrows(RankLostException.class, peers::requireAll);
            assertTrue(lost.getMessage().startsWith("rank 1 (there) was lost: it has ended"), lost.getMessage());
        }
        assertEquals(1, losses.get());
    }

    @Test
    void theFirstFailureIsNews() throws IOException {
        try (Peers peers = rank(0, Peers.SILENCE)) {
            assertTrue(peers.fail("out of patience"));
            assertFalse(peers.fail("once more"));
            assertLost(0, "out of patience", peers);
        }
    }
}
