package dev.finetune4j.examples.server.http;

import java.io.IOException;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A connection: one request after the other, until either side closes it. */
final class HttpConnection implements Runnable {
    private static final Logger LOG = LoggerFactory.getLogger(HttpConnection.class);
    private static final long LINGER = TimeUnit.SECONDS.toNanos(1);

    private final Wire wire;
    private final HttpLimits limits;
    private final HttpHandler handler;
    private final BooleanSupplier closing;
    private volatile boolean busy;
    /** When it began to wait for a request, as {@link System#nanoTime}. */
    private volatile long waiting = System.nanoTime();

    /** @param closing whether the listener takes no further requests */
    HttpConnection(Wire wire, HttpLimits limits, HttpHandler handler, BooleanSupplier closing) {
        this.wire = wire;
        this.limits = limits;
        this.handler = handler;
        this.closing = closing;
    }

    @Override
    public void run() {
        try (wire) {
            RequestReader reader = new RequestReader(wire, limits);
            boolean goesOn = true;
            while (goesOn && !closing.getAsBoolean()) {
                goesOn = next(reader);
            }
        } catch (IOException e) {
            LOG.debug("a connection has ended: {}", e.toString());
        }
    }

    private boolean next(RequestReader reader) throws IOException {
        RequestHead head = RequestHead.NONE;
        HttpCall call = null;
        try {
            head = reader.head();
            if (head == null) {
                return false;
            }
            busy = true;
            call = new HttpCall(wire, reader, head, !closing.getAsBoolean());
            handler.handle(call);
            if (!call.keepsAlive()) {
                wire.drain(System.nanoTime() + LINGER);
            }
            return call.keepsAlive();
        } catch (HttpFailure e) {
            if (call == null || !call.isAnswered()) {
                HttpCall refused = call == null ? new HttpCall(wire, reader, RequestHead.NONE, false) : call;
                refused.closeAfterwards();
                handler.refuse(refused, e);
                wire.drain(System.nanoTime() + LINGER);
            }
            return false;
        } finally {
            waiting = System.nanoTime();
            busy = false;
        }
    }

    /** Whether a request is being answered. */
    boolean isBusy() {
        return busy;
    }

    /** For how many nanoseconds it has waited for a request, or for the rest of one. */
    long waitingFor() {
        return System.nanoTime() - waiting;
    }

    /** Closes it if the client has left a piece of the response unread for too long; for any thread. */
    void closeIfStuck() {
        if (wire.writingFor() > limits.writeTime().toNanos()) {
            close();
        }
    }

    /** For any thread; what the connection does ends with an exception. */
    void close() {
        wire.close();
    }
}
