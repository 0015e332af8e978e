package dev.finetune4j.examples.server.http;

import java.io.IOException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** A request and the way to answer it: {@link #respond} or {@link #events}, once. Confined to the thread that handles it. */
public final class HttpCall {
    private final Wire wire;
    private final RequestReader reader;
    private final RequestHead head;
    private final Map<String, String> responseHeaders = new LinkedHashMap<>();
    private boolean bodyRead;
    private int status;
    private boolean keepsAlive;

    HttpCall(Wire wire, RequestReader reader, RequestHead head, boolean keepsAlive) {
        this.wire = wire;
        this.reader = reader;
        this.head = head;
        this.keepsAlive = keepsAlive && asksToKeepAlive();
    }

    private boolean asksToKeepAlive() {
        String connection = head.header("connection");
        return head.minor() == 0 ? connection.equalsIgnoreCase("keep-alive") : !connection.equalsIgnoreCase("close");
    }

    /** The method, such as {@code POST}. */
    public String method() {
        return head.method();
    }

    /** The path as it was sent, without the query and with its percent signs. */
    public String path() {
        int query = head.target().indexOf('?');
        return query < 0 ? head.target() : head.target().substring(0, query);
    }

    /** A parameter of the query, decoded; the first of that name. */
    public Optional<String> query(String name) {
        int query = head.target().indexOf('?');
        if (query >= 0) {
            for (String pair : head.target().substring(query + 1).split("&", -1)) {
                int equals = pair.indexOf('=');
                if (decode(equals < 0 ? pair : pair.substring(0, equals)).equals(name)) {
                    return Optional.of(equals < 0 ? "" : decode(pair.substring(equals + 1)));
                }
            }
        }
        return Optional.empty();
    }

    /** A text with its percent signs resolved; as it is where they are no such. */
    public static String decode(String text) {
        try {
            return URLDecoder.decode(text, StandardCharsets.UTF_8);
        } catch (IllegalArgumentException e) {
            return text;
        }
    }

    /** A header of the request; empty without it. */
    public String header(String name) {
        return head.header(name);
    }

    /**
     * The body of the request.
     *
     * @throws HttpFailure when it is too long, takes too long or is not HTTP
     */
    public byte[] body() throws IOException {
        byte[] body = reader.body(head);
        bodyRead = true;
        return body;
    }

    /** Whether the client has closed the connection, so that nobody waits for the answer any more. */
    public boolean isGone() {
        return wire.isGone();
    }

    /** Whether the response has begun. */
    public boolean isAnswered() {
        return status != 0;
    }

    /** The status of the response; 0 before it has begun. */
    public int status() {
        return status;
    }

    boolean keepsAlive() {
        return keepsAlive;
    }

    /** Sets a header of the response. */
    public HttpCall set(String name, String value) {
        responseHeaders.put(name, value);
        return this;
    }

    /** Ends the connection with this response. */
    public void closeAfterwards() {
        keepsAlive = false;
    }

    /** Sends a whole response. */
    public void respond(int newStatus, String contentType, byte[] body) throws IOException {
        if (!bodyRead && hasBody()) {
            keepsAlive = false;
        }
        begin(
                newStatus,
                contentType,
                "Content-Length: " + body.length + "\r\n",
                head.method().equals("HEAD") ? null : body);
    }

    private boolean hasBody() {
        String length = head.header("content-length");
        return !head.header("transfer-encoding").isEmpty() || !(length.isEmpty() || length.equals("0"));
    }

    /** Begins a response of server-sent events. */
    public EventStream events() throws IOException {
        boolean chunked = head.minor() == 1;
        keepsAlive &= chunked;
        set("Cache-Control", "no-cache");
        begin(200, "text/event-stream; charset=utf-8", chunked ? "Transfer-Encoding: chunked\r\n" : "", null);
        return new EventStream(wire, chunked);
    }

    private void begin(int newStatus, String contentType, String framing, byte @Nullable [] body) throws IOException {
        if (status != 0) {
            throw new IllegalStateException("the request is answered already");
        }
        status = newStatus;
        StringBuilder text = new StringBuilder("HTTP/1.1 " + status + " " + Statuses.reason(status) + "\r\n");
        responseHeaders.forEach((name, value) -> text.append(name)
                .append(": ")
                .append(value.replaceAll("[\\r\\n]", " "))
                .append("\r\n"));
        text.append("Content-Type: ").append(contentType).append("\r\n").append(framing);
        if (!keepsAlive) {
            text.append("Connection: close\r\n");
        } else if (head.minor() == 0) {
            text.append("Connection: keep-alive\r\n");
        }
        byte[] start = text.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1);
        if (body == null) {
            wire.write(start);
            return;
        }
        byte[] all = new byte[start.length + body.length];
        System.arraycopy(start, 0, all, 0, start.length);
        System.arraycopy(body, 0, all, start.length, body.length);
        wire.write(all);
    }
}
