package dev.finetune4j.examples.server.http;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.SocketTimeoutException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;

/** The bytes of a connection: read before a deadline, written with a note of when. Confined to the connection's thread but for {@link #close}. */
final class Wire implements AutoCloseable {
    private static final int SIZE = 16 << 10;

    private final SocketChannel channel;
    private final InputStream in;
    private final OutputStream out;
    private final byte[] buffer = new byte[SIZE];
    private int position;
    private int limit;
    private boolean ended;
    /** When the write in progress began, as {@link System#nanoTime}; 0 for none. */
    private volatile long writing;

    Wire(SocketChannel channel) throws IOException {
        this.channel = channel;
        channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
        this.in = channel.socket().getInputStream();
        this.out = channel.socket().getOutputStream();
    }

    /**
     * The next byte.
     *
     * @param deadline as {@link System#nanoTime}
     * @return -1 at the end
     * @throws SocketTimeoutException after the deadline
     */
    int read(long deadline) throws IOException {
        if (position == limit && !fill(deadline)) {
            return -1;
        }
        return buffer[position++] & 0xff;
    }

    /**
     * Reads a number of bytes; memory is taken as they come.
     *
     * @throws EOFException if the client has gone before
     */
    void read(ByteArrayOutputStream target, long bytes, long deadline) throws IOException {
        long left = bytes;
        while (left > 0) {
            if (position == limit && !fill(deadline)) {
                throw new EOFException("the client has gone");
            }
            int count = (int) Math.min(left, limit - position);
            target.write(buffer, position, count);
            position += count;
            left -= count;
        }
    }

    private boolean fill(long deadline) throws IOException {
        if (ended) {
            return false;
        }
        long left = (deadline - System.nanoTime()) / 1_000_000;
        if (left <= 0) {
            throw new SocketTimeoutException("the time is over");
        }
        channel.socket().setSoTimeout((int) Math.min(left, Integer.MAX_VALUE));
        int count = in.read(buffer, 0, SIZE);
        position = 0;
        limit = Math.max(0, count);
        ended = count < 0;
        return count > 0;
    }

    /** Whether the client has closed its side; what it has sent before is kept for the next request. */
    boolean isGone() {
        if (ended || position < limit) {
            return ended;
        }
        try {
            channel.configureBlocking(false);
            try {
                int count = channel.read(ByteBuffer.wrap(buffer));
                position = 0;
                limit = Math.max(0, count);
                ended = count < 0;
            } finally {
                channel.configureBlocking(true);
            }
        } catch (IOException e) {
            ended = true;
        }
        return ended;
    }

    void write(String text) throws IOException {
        write(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    void write(byte[] bytes) throws IOException {
        writing = Math.max(1, System.nanoTime());
        try {
            out.write(bytes);
        } finally {
            writing = 0;
        }
    }

    /** For how long the write in progress has waited for the client, in nanoseconds; for any thread. */
    long writingFor() {
        long since = writing;
        return since == 0 ? 0 : System.nanoTime() - since;
    }

    /** Reads away what the client still sends, for a moment: a reset could keep it from reading the response. */
    void drain(long deadline) {
        try {
            channel.shutdownOutput();
            while (fill(deadline)) {
                position = limit;
            }
        } catch (IOException e) {
            // It is closed in any case.
        }
    }

    /** For any thread; what is in progress ends with an exception. */
    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            // Nobody reads or writes it any more.
        }
    }
}
