package dev.finetune4j.examples.server.http;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Listens at an address and hands each request to a handler. Thread-safe. */
public final class HttpListener implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(HttpListener.class);
    private static final int BACKLOG = 256;
    private static final long CHECK = TimeUnit.MILLISECONDS.toNanos(500);
    private static final long PAUSE = TimeUnit.MILLISECONDS.toNanos(20);

    private final ServerSocketChannel socket;
    private final HttpLimits limits;
    private final HttpHandler handler;
    private final ExecutorService threads;
    private final Set<HttpConnection> connections = ConcurrentHashMap.newKeySet();
    private volatile boolean closing;

    private HttpListener(ServerSocketChannel socket, HttpLimits limits, HttpHandler handler) {
        this.socket = socket;
        this.limits = limits;
        this.handler = handler;
        this.threads = ConnectionThreads.atMost(limits.maxConnections());
    }

    /**
     * Begins to listen.
     *
     * @param address port 0 for any that is free
     * @throws IOException when the address is taken or not this machine's
     */
    public static HttpListener start(InetSocketAddress address, HttpLimits limits, HttpHandler handler)
            throws IOException {
        ServerSocketChannel socket = ServerSocketChannel.open();
        try {
            socket.socket().setReuseAddress(true);
            socket.bind(address, BACKLOG);
        } catch (IOException | RuntimeException e) {
            socket.close();
            throw e;
        }
        HttpListener listener = new HttpListener(socket, limits, handler);
        thread("finetune4j-http-accept", listener::accept);
        thread("finetune4j-http-watch", listener::watch);
        return listener;
    }

    private static void thread(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.start();
    }

    /** Where it listens. */
    public InetSocketAddress address() {
        return (InetSocketAddress) socket.socket().getLocalSocketAddress();
    }

    /** How many connections are open. */
    public int connections() {
        return connections.size();
    }

    private void accept() {
        while (!closing) {
            try {
                take(socket.accept());
            } catch (ClosedChannelException e) {
                return;
            } catch (IOException e) {
                // Such as too many open files: the next one may succeed.
                LOG.warn("a connection could not be taken: {}", e.toString());
                LockSupport.parkNanos(PAUSE);
            }
        }
    }

    private void take(SocketChannel channel) throws IOException {
        Wire wire = new Wire(channel);
        if (connections.size() >= limits.maxConnections() && !closeIdle()) {
            // Fits into the socket's buffer, so this thread does not wait for the client.
            try (wire) {
                wire.write("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
                        + "Connection: close\r\n\r\n");
            }
            return;
        }
        HttpConnection connection = new HttpConnection(wire, limits, handler, () -> closing);
        connections.add(connection);
        try {
            threads.execute(() -> {
                try {
                    connection.run();
                } finally {
                    connections.remove(connection);
                }
            });
        } catch (RejectedExecutionException e) {
            // The listener is being closed.
            connections.remove(connection);
            connection.close();
        }
    }

    /** Closes the connection that has waited longest for a request; false when all are being answered. */
    private boolean closeIdle() {
        Optional<HttpConnection> idle = connections.stream()
                .filter(connection -> !connection.isBusy())
                .max(Comparator.comparingLong(HttpConnection::waitingFor));
        idle.ifPresent(connection -> {
            connections.remove(connection);
            connection.close();
        });
        return idle.isPresent();
    }

    private void watch() {
        while (socket.isOpen() || !connections.isEmpty()) {
            connections.forEach(HttpConnection::closeIfStuck);
            LockSupport.parkNanos(CHECK);
        }
    }

    /**
     * Takes no further connections and requests, waits for the answers in progress, and closes.
     *
     * @param grace how long it waits; connections that are busy then are closed
     */
    public void close(Duration grace) {
        closing = true;
        try {
            socket.close();
        } catch (IOException e) {
            LOG.debug("closing the listener: {}", e.toString());
        }
        long deadline = System.nanoTime() + grace.toNanos();
        while (!connections.isEmpty() && System.nanoTime() < deadline) {
            connections.stream().filter(connection -> !connection.isBusy()).forEach(HttpConnection::close);
            LockSupport.parkNanos(PAUSE);
        }
        List.copyOf(connections).forEach(HttpConnection::close);
        threads.shutdown();
    }

    /** Closes at once. Closing twice is fine. */
    @Override
    public void close() {
        close(Duration.ZERO);
    }
}
