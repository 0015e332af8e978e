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
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * How the connections between rank 0 and the others are made: rank 0 notes down where it listens and a number that only ranks know, and
 * each of the others calls and says who it is.
 *
 * @param peers the connections
 * @param host this machine's address that the others reach
 */
record Gathering(Peers peers, String host) {
    private static final int GREETING_MILLIS = 5_000;
    private static final String NOTE = "peers";

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
        try (ServerSocket server = new ServerSocket()) {
            server.bind(new InetSocketAddress(own, 0), membership.size());
            long secret = new SecureRandom().nextLong();
            notes.write(NOTE, own.getHostAddress() + " " + server.getLocalPort() + " " + secret + " " + name(0));
            Map<Integer, PeerLink> links = new TreeMap<>();
            while (links.size() < membership.size() - 1) {
                long left = (end - System.nanoTime()) / 1_000_000;
                if (left <= 0) {
                    links.values().forEach(PeerLink::close);
                    throw missing(membership, links);
                }
                server.setSoTimeout((int) Math.min(left, Integer.MAX_VALUE));
                greet(server, membership, secret, links);
            }
            List<PeerLink> all = links.values().stream()
                    .sorted(Comparator.comparing(PeerLink::rank))
                    .toList();
            return new Gathering(new Peers(0, membership.size(), all), own.getHostAddress());
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

    @SuppressWarnings("EmptyCatch")
    private static void greet(ServerSocket server, Membership membership, long secret, Map<Integer, PeerLink> links)
            throws IOException {
        Socket socket;
        try {
            socket = server.accept();
        } catch (SocketTimeoutException e) {
            return;
        }
        try {
            socket.setSoTimeout(GREETING_MILLIS);
            DataInputStream in = new DataInputStream(socket.getInputStream());
            boolean welcome = in.readLong() == secret;
            int rank = in.readInt();
            String name = in.readUTF();
            if (welcome && rank > 0 && rank < membership.size() && !links.containsKey(rank)) {
                links.put(rank, new PeerLink(rank, name, socket, Peers.SILENCE));
                return;
            }
        } catch (IOException e) {
            // Somebody else, who has lost the way.
        }
        socket.close();
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
        String[] note = notes.read(NOTE).split(" ", 4);
        // Its listener takes the connection over, and frees it.
        Socket socket = new Socket();
        socket.connect(
                new InetSocketAddress(note[0], Integer.parseInt(note[1])),
                Math.toIntExact(Math.min(membership.joining().toMillis(), Integer.MAX_VALUE)));
        DataOutputStream out = new DataOutputStream(socket.getOutputStream());
        out.writeLong(Long.parseLong(note[2]));
        out.writeInt(membership.rank());
        out.writeUTF(name(membership.rank()));
        out.flush();
        String host = socket.getLocalAddress().getHostAddress();
        PeerLink link = new PeerLink(0, note[3], socket, Peers.SILENCE);
        return new Gathering(new Peers(membership.rank(), membership.size(), List.of(link)), host);
    }

    /** What a rank is called in messages. */
    static String name(int rank) {
        String host;
        try {
            host = InetAddress.getLocalHost().getHostName();
        } catch (UnknownHostException e) {
            host = "unknown host";
        }
        return "rank " + rank + " (" + host + ", process "
                + ProcessHandle.current().pid() + ")";
    }
}
