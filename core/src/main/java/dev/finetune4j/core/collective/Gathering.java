package dev.finetune4j.core.collective;

import dev.finetune4j.core.RankLostException;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.security.SecureRandom;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How the connections between rank 0 and the others are made: rank 0 notes down where it listens and a number that only ranks know, and
 * each of the others calls and says who it is.
 *
 * @param peers the connections
 * @param host this machine's address that the others reach
 */
record Gathering(Peers peers, String host) {
    private static final Logger LOG = LoggerFactory.getLogger(Gathering.class);

    static final String NOTE = "peers";

    /** Changes with anything that ranks say to each other. */
    private static final String PROTOCOL = "1";

    private static final int GREETING_MILLIS = 5_000;

    /**
     * What rank 0 notes down.
     *
     * @param size how many ranks it was told that there are
     * @param host where it listens
     * @param secret what a rank that calls has to say
     * @param name of rank 0, for messages
     */
    record Note(int size, String host, int port, long secret, String name) {
        String text() {
            return String.join(
                    " ", PROTOCOL, String.valueOf(size), host, String.valueOf(port), String.valueOf(secret), name);
        }

        /** @throws RankLostException if rank 0 notes down other things, as another version of the library may */
        static Note of(String text) {
            String[] words = text.split(" ", 6);
            if (!words[0].equals(PROTOCOL)) {
                throw new RankLostException(
                        0,
                        "rank 0 runs another version of this library, whose protocol is " + words[0] + " instead of "
                                + PROTOCOL + "; start all ranks with the same",
                        null);
            }
            return new Note(
                    Integer.parseInt(words[1]),
                    words[2],
                    Integer.parseInt(words[3]),
                    Long.parseLong(words[4]),
                    words[5]);
        }
    }

    /** @throws RankLostException if not all have come in time */
    static Gathering of(Rendezvous.Notes notes, Membership membership) {
        try {
            return membership.rank() == 0 ? wait(notes, membership) : call(notes, membership);
        } catch (IOException e) {
            throw new RankLostException(
                    0, "rank " + membership.rank() + " cannot connect with rank 0: " + e.getMessage(), e);
        }
    }

    private static Gathering wait(Rendezvous.Notes notes, Membership membership) throws IOException {
        InetAddress own = ownAddress(membership);
        long end = System.nanoTime() + membership.joining().toNanos();
        Map<Integer, PeerLink> links = new TreeMap<>();
        try (ServerSocket server = new ServerSocket()) {
            server.bind(new InetSocketAddress(own, 0), membership.size());
            Note note = new Note(
                    membership.size(),
                    own.getHostAddress(),
                    server.getLocalPort(),
                    new SecureRandom().nextLong(),
                    name(0));
            notes.write(NOTE, note.text());
            while (links.size() < membership.size() - 1) {
                long left = (end - System.nanoTime()) / 1_000_000;
                if (left <= 0) {
                    throw missing(membership, links);
                }
                server.setSoTimeout((int) Math.min(left, Integer.MAX_VALUE));
                greet(server, note, links);
            }
            return new Gathering(new Peers(0, membership.size(), List.copyOf(links.values())), note.host());
        } catch (IOException | RuntimeException e) {
            links.values().forEach(PeerLink::close);
            throw e;
        }
    }

    /** The address by which rank 0 is known where it is this machine's, as it is without a proxy or a container between them. */
    private static InetAddress ownAddress(Membership membership) throws IOException {
        InetAddress known = InetAddress.getByName(membership.address());
        try (ServerSocket probe = new ServerSocket()) {
            probe.bind(new InetSocketAddress(known, 0));
            return known;
        } catch (IOException e) {
            return InetAddress.getLocalHost();
        }
    }

    private static void greet(ServerSocket server, Note note, Map<Integer, PeerLink> links) throws IOException {
        Socket socket;
        try {
            socket = server.accept();
        } catch (SocketTimeoutException e) {
            return;
        }
        String wrong;
        try {
            wrong = introduce(socket, note, links);
        } catch (SocketTimeoutException e) {
            wrong = "it has not said within " + GREETING_MILLIS / 1000 + " s who it is";
        } catch (IOException e) {
            wrong = "it has ended before it said who it is";
        }
        if (wrong != null) {
            LOG.warn(
                    "a connection from {} to port {}, where the other ranks are awaited, was refused: {}",
                    socket.getRemoteSocketAddress(),
                    note.port(),
                    wrong);
            close(socket);
        }
    }

    /** @return why it is none of the ranks; null for one of them */
    private static @Nullable String introduce(Socket socket, Note note, Map<Integer, PeerLink> links)
            throws IOException {
        socket.setSoTimeout(GREETING_MILLIS);
        DataInputStream in = new DataInputStream(socket.getInputStream());
        if (in.readLong() != note.secret()) {
            return "it does not know the secret of this training";
        }
        int rank = in.readInt();
        String name = in.readUTF();
        if (rank <= 0 || rank >= note.size()) {
            return "it says that it is rank " + rank + " of " + note.size();
        }
        welcome(new PeerLink(rank, name, socket, Peers.SILENCE), links);
        return null;
    }

    @SuppressWarnings("EmptyCatch")
    private static void close(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // It is of no use any more.
        }
    }

    private static void welcome(PeerLink link, Map<Integer, PeerLink> links) {
        PeerLink before = links.putIfAbsent(link.rank(), link);
        if (before != null) {
            link.sendLost(
                    link.rank(),
                    "there are two of rank " + link.rank() + ", " + before.name() + " and " + link.name()
                            + "; give each process a RANK of its own, and each training a MASTER_PORT of its own");
            link.close();
        }
    }

    private static RankLostException missing(Membership membership, Map<Integer, PeerLink> links) {
        List<Integer> absent = IntStream.range(1, membership.size())
                .filter(i -> !links.containsKey(i))
                .boxed()
                .toList();
        return new RankLostException(
                absent.get(0),
                "after " + membership.joining().toSeconds() + " s "
                        + absent.stream().map(i -> "rank " + i).collect(Collectors.joining(", ")) + " of "
                        + membership.size() + " have not come; see whether they were started, and reach "
                        + membership.place(),
                null);
    }

    private static Gathering call(Rendezvous.Notes notes, Membership membership) throws IOException {
        Note note = Note.of(notes.read(NOTE));
        if (note.size() != membership.size()) {
            throw new RankLostException(
                    0,
                    "rank 0 was told that there are " + note.size() + " ranks, but rank " + membership.rank()
                            + " that there are "
                            + membership.size() + "; give all the same WORLD_SIZE, and each training a MASTER_PORT of"
                            + " its own",
                    null);
        }
        // Its listener takes the connection over, and frees it.
        Socket socket = new Socket();
        try {
            socket.connect(
                    new InetSocketAddress(note.host(), note.port()),
                    Math.toIntExact(Math.min(membership.joining().toMillis(), Integer.MAX_VALUE)));
            DataOutputStream out = new DataOutputStream(socket.getOutputStream());
            out.writeLong(note.secret());
            out.writeInt(membership.rank());
            out.writeUTF(name(membership.rank()));
            out.flush();
            PeerLink link = new PeerLink(0, note.name(), socket, Peers.SILENCE);
            return new Gathering(
                    new Peers(membership.rank(), membership.size(), List.of(link)),
                    socket.getLocalAddress().getHostAddress());
        } catch (IOException | RuntimeException e) {
            close(socket);
            throw e;
        }
    }

    /** What this machine is called. */
    static String hostName() {
        try {
            return InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException e) {
            return "unknown host";
        }
    }

    /** What a rank is called in messages. */
    static String name(int rank) {
        return "rank " + rank + " (" + hostName() + ", process "
                + ProcessHandle.current().pid() + ")";
    }
}
