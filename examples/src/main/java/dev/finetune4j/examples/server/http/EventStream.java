package dev.finetune4j.examples.server.http;

import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** A response of <a href="https://html.spec.whatwg.org/multipage/server-sent-events.html">server-sent events</a>. Each is sent at once. */
public final class EventStream {
    private final Wire wire;
    private final boolean chunked;

    EventStream(Wire wire, boolean chunked) {
        this.wire = wire;
        this.chunked = chunked;
    }

    /**
     * Sends an event.
     *
     * @param data in one line
     * @throws IOException when the client is gone
     */
    public void data(String data) throws IOException {
        send("data: " + data + "\n\n");
    }

    /** Sends a comment, which keeps proxies from closing a connection that rests. */
    public void comment(String text) throws IOException {
        send(": " + text + "\n\n");
    }

    private void send(String text) throws IOException {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        if (!chunked) {
            wire.write(bytes);
            return;
        }
        byte[] head = (Integer.toHexString(bytes.length) + "\r\n").getBytes(StandardCharsets.ISO_8859_1);
        byte[] chunk = new byte[head.length + bytes.length + 2];
        System.arraycopy(head, 0, chunk, 0, head.length);
        System.arraycopy(bytes, 0, chunk, head.length, bytes.length);
        chunk[chunk.length - 2] = '\r';
        chunk[chunk.length - 1] = '\n';
        wire.write(chunk);
    }

    /** Ends the response. */
    public void end() throws IOException {
        if (chunked) {
            wire.write("0\r\n\r\n");
        }
    }
}
