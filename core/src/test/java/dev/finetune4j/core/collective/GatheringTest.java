package dev.finetune4j.core.collective;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.finetune4j.core.RankLostException;
import dev.finetune4j.testsupport.OwnThread;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Who may come to the socket at which rank 0 awaits the others, and what the log says of everybody else. */
@Timeout(60)
class GatheringTest {
    private final PrintStream console = System.err;
    private final ByteArrayOutputStream log = new ByteArrayOutputStream();

    @BeforeEach
    void hearTheLog() {
        System.setErr(new PrintStream(log, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void leaveTheLog() {
        System.setErr(console);
    }

    private static int freePort() throws IOException {
        try (ServerSocket probe = new ServerSocket(0)) {
            return probe.getLocalPort();
        }
    }

    private static Membership rank(int rank, int size, int port) {
        return new Membership(rank, size, "127.0.0.1", port, false, Duration.ofSeconds(30));
    }

    /** Rank 0, which waits for others. */
    private static CompletableFuture<Gathering> awaiting(int size, int port) {
        Membership first = rank(0, size, port);
        return CompletableFuture.supplyAsync(() -> Gathering.of(Rendezvous.next(first), first), OwnThread.EACH);
    }

    private static Gathering.Note note(Rendezvous.Notes notes) {
        return Gathering.Note.of(notes.read(Gathering.NOTE));
    }

    @FunctionalInterface
    private interface Greeting {
        void say(DataOutputStream to) throws IOException;
    }

    /** Says something to rank 0 and waits for the end of the connection. */
    private static int comeTo(Gathering.Note note, Greeting greeting) throws IOException {
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        greeting.say(new DataOutputStream(said));
        try (Socket socket = new Socket(note.host(), note.port())) {
            // At once: rank 0 does not listen to the end.
            socket.getOutputStream().write(said.toByteArray());
            assertEnds(socket);
            return socket.getLocalPort();
        }
    }

    private static void assertEnds(Socket socket) throws IOException {
        socket.setSoTimeout(10_000);
        try {
            assertEquals(-1, socket.getInputStream().read(), "rank 0 says nothing to strangers");
        } catch (SocketException e) {
            // A connection that is closed while there is more to read is reset.
            assertTrue(String.valueOf(e.getMessage()).contains("reset"), e.getMessage());
        }
    }

    private void assertRefused(int from, Gathering.Note note, String why) {
        String line = "a connection from /127.0.0.1:" + from + " to port " + note.port()
                + ", where the other ranks are awaited, was refused: " + why;
        List<String> lines = log.toString(StandardCharsets.UTF_8)
                .lines()
                .filter(each -> each.endsWith(line))
                .toList();
        assertEquals(1, lines.size(), () -> line + "\nis not in\n" + log.toString(StandardCharsets.UTF_8));
        assertTrue(lines.get(0).contains("WARN"), lines.get(0));
    }

    private static void leave(Gathering... all) throws Exception {
        CompletableFuture<?>[] leaving = new CompletableFuture<?>[all.length];
        for (int i = 0; i < all.length; i++) {
            Peers peers = all[i].peers();
            leaving[i] = CompletableFuture.runAsync(peers::close, OwnThread.EACH);
        }
        CompletableFuture.allOf(leaving).get(10, TimeUnit.SECONDS);
    }

    @Test
    void strangersAreRefusedAndTheRanksComeTogetherAllTheSame() throws Exception {
        int port = freePort();
        CompletableFuture<Gathering> zero = awaiting(2, port);
        Membership second = rank(1, 2, port);
        Rendezvous.Notes notes = Rendezvous.next(second);
        Gathering.Note note = note(notes);

        int browser = comeTo(note, to -> to.writeBytes("GET / HTTP/1.1\r\nHost: here\r\n\r\n"));
        int guess = comeTo(note, to -> {
            to.writeLong(note.secret() + 1);
            to.writeInt(1);
            to.writeUTF("rank 1");
        });
        int tooMany = comeTo(note, to -> {
            to.writeLong(note.secret());
            to.writeInt(2);
            to.writeUTF("rank 2");
        });
        int zeroAgain = comeTo(note, to -> {
            to.writeLong(note.secret());
            to.writeInt(0);
            to.writeUTF("rank 0");
        });
        int scan;
        try (Socket socket = new Socket(note.host(), note.port())) {
            socket.shutdownOutput();
            assertEnds(socket);
            scan = socket.getLocalPort();
        }

        Gathering one = Gathering.of(notes, second);
        assertRefused(browser, note, "it does not know the secret of this training");
        assertRefused(guess, note, "it does not know the secret of this training");
        assertRefused(tooMany, note, "it says that it is rank 2 of 2");
        assertRefused(zeroAgain, note, "it says that it is rank 0 of 2");
        assertRefused(scan, note, "it has ended before it said who it is");
        CompletableFuture<long[]> said =
                CompletableFuture.supplyAsync(() -> one.peers().exchange(11), OwnThread.EACH);
        assertArrayEquals(new long[] {10, 11}, zero.get().peers().exchange(10));
        assertArrayEquals(new long[] {10, 11}, said.get());

        // All have come, so nobody listens any more.
        assertThrows(IOException.class, () -> new Socket(note.host(), note.port()).close());
        leave(zero.get(), one);
    }

    @Test
    @Tag("slow")
    void whoSaysNothingKeepsTheRanksWaitingForSecondsOnly() throws Exception {
        int port = freePort();
        CompletableFuture<Gathering> zero = awaiting(2, port);
        Membership second = rank(1, 2, port);
        Rendezvous.Notes notes = Rendezvous.next(second);
        Gathering.Note note = note(notes);
        int silent = comeTo(note, to -> {});
        Gathering one = Gathering.of(notes, second);
        assertRefused(silent, note, "it has not said within 5 s who it is");
        leave(zero.get(), one);
    }

    @Test
    void theSecondOfOneNumberIsToldSo() throws Exception {
        int port = freePort();
        CompletableFuture<Gathering> zero = awaiting(3, port);
        Membership second = rank(1, 3, port);
        Rendezvous.Notes notes = Rendezvous.next(second);
        Gathering one = Gathering.of(notes, second);
        Gathering another = Gathering.of(notes, second);
        RankLostException lost =
                assertThrows(RankLostException.class, () -> another.peers().exchange(1));
        assertEquals(1, lost.rank());
        assertTrue(
                lost.getMessage().startsWith("there are two of rank 1, rank 1 (")
                        && lost.getMessage().contains("give each process a RANK of its own"),
                lost.getMessage());
        another.peers().close();

        Gathering two = Gathering.of(notes, rank(2, 3, port));
        leave(zero.get(), one, two);
    }

    @Test
    void whoWasToldAnotherNumberOfRanksDoesNotJoin() throws Exception {
        int port = freePort();
        CompletableFuture<Gathering> zero = awaiting(2, port);
        Membership wrong = rank(1, 3, port);
        Rendezvous.Notes notes = Rendezvous.next(wrong);
        RankLostException lost = assertThrows(RankLostException.class, () -> Gathering.of(notes, wrong));
        assertTrue(
                lost.getMessage()
                        .startsWith("rank 0 was told that there are 2 ranks, but rank 1 that there are 3; give all the"
                                + " same WORLD_SIZE"),
                lost.getMessage());
        leave(Gathering.of(notes, rank(1, 2, port)), zero.get());
    }

    @Test
    void anotherVersionIsNamed() {
        Gathering.Note note = new Gathering.Note(2, "10.0.0.7", 4000, -12, "rank 0 (here, process 1)");
        assertEquals(note, Gathering.Note.of(note.text()));
        RankLostException lost = assertThrows(
                RankLostException.class,
                () -> Gathering.Note.of("0" + note.text().substring(1)));
        assertTrue(lost.getMessage().contains("whose protocol is 0 instead of 1"), lost.getMessage());
    }
}
