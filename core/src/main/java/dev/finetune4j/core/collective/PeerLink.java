package dev.finetune4j.core.collective;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.time.Duration;

/** A connection between rank 0 and another rank. Written by any thread, read by one of its own. */
final class PeerLink implements AutoCloseable {
    private static final byte VALUE = 1;
    private static final byte ALL = 2;
    private static final byte ALIVE = 3;
    private static final byte LOST = 4;
    private static final byte LEAVING = 5;

    /** More ranks than there are; a greater number was not written by a rank. */
    private static final int MOST_RANKS = 1 << 16;

    /** Hears what the other end says; called on the thread that reads. */
    interface Listener {
        /** The value of the other rank. */
        void onValue(PeerLink from, long value);

        /** The values of all ranks, from rank 0. */
        void onAll(long[] values);

        /** A rank was lost or fails: the other end itself, or one that it knows of. */
        void onLost(int rank, String message);

        /** The other end is through with everything. */
        void onLeaving(PeerLink from);

        /** Nothing more will come. */
        void onEnd(PeerLink from, String why);
    }

    private final int rank;
    private final String name;
    private final Socket socket;
    private final DataInputStream in;
    private final DataOutputStream out;

    /**
     * @param rank of the other end
     * @param name of the other end, for messages
     * @param silence after which it is taken for dead
     */
    PeerLink(int rank, String name, Socket socket, Duration silence) throws IOException {
        this.rank = rank;
        this.name = name;
        this.socket = socket;
        socket.setTcpNoDelay(true);
        socket.setSoTimeout(Math.toIntExact(silence.toMillis()));
        in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
        out = new DataOutputStream(new BufferedOutputStream(socket.getOutputStream()));
    }

    int rank() {
        return rank;
    }

    String name() {
        return name;
    }

    /** Reads on a daemon thread until nothing more comes. */
    void listen(Listener listener) {
        Thread thread = new Thread(() -> read(listener), "finetune4j-peer-" + rank);
        thread.setDaemon(true);
        thread.start();
    }

    private void read(Listener listener) {
        String end = "has ended its connection; its process was probably killed";
        try {
            while (true) {
                switch (in.readByte()) {
                    case VALUE -> listener.onValue(this, in.readLong());
                    case ALL -> listener.onAll(readAll());
                    case ALIVE -> {}
                    case LOST -> listener.onLost(in.readInt(), in.readUTF());
                    case LEAVING -> listener.onLeaving(this);
                    default -> throw new IOException("it said something that is no message");
                }
            }
        } catch (SocketTimeoutException e) {
            end = "has not been heard of any more; its machine or process hangs, or the network is down";
        } catch (EOFException | SocketException e) {
            // As is said above.
        } catch (IOException e) {
            end = "cannot be understood: " + e.getMessage();
        }
        listener.onEnd(this, end);
    }

    private long[] readAll() throws IOException {
        int count = in.readInt();
        if (count < 1 || count > MOST_RANKS) {
            throw new IOException("it said that there are " + count + " ranks");
        }
        long[] values = new long[count];
        for (int i = 0; i < values.length; i++) {
            values[i] = in.readLong();
        }
        return values;
    }

    @FunctionalInterface
    private interface Message {
        void write(DataOutputStream to) throws IOException;
    }

    /** What cannot be written is not missed: the end that it comes to is heard on the reading side. */
    @SuppressWarnings("EmptyCatch")
    private void send(byte kind, Message message) {
        synchronized (out) {
            try {
                out.writeByte(kind);
                message.write(out);
                out.flush();
            } catch (IOException e) {
                // See above.
            }
        }
    }

    void sendValue(long value) {
        send(VALUE, to -> to.writeLong(value));
    }

    void sendAll(long[] values) {
        send(ALL, to -> {
            to.writeInt(values.length);
            for (long value : values) {
                to.writeLong(value);
            }
        });
    }

    void sendAlive() {
        send(ALIVE, to -> {});
    }

    void sendLost(int lost, String message) {
        send(LOST, to -> {
            to.writeInt(lost);
            to.writeUTF(message);
        });
    }

    void sendLeaving() {
        send(LEAVING, to -> {});
    }

    @Override
    @SuppressWarnings("EmptyCatch")
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            // It is of no use any more.
        }
    }
}
