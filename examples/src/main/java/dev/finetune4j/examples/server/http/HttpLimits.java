package dev.finetune4j.examples.server.http;

import java.time.Duration;

/**
 * What a client may take of a listener.
 *
 * @param maxConnections how many are open at once; for one more that which has waited longest for a request is closed, and while all are
 *     being answered it gets 503
 * @param maxHeaderBytes of the request line and the headers together; more gets 431
 * @param maxBodyBytes of a request; more gets 413
 * @param headerTime for the request line and the headers, from their first byte; then the connection gets 408 and is closed
 * @param bodyTime for the body; then the connection gets 408 and is closed
 * @param idleTime how long a connection may wait for its next request; long, because a client may send one just when it is closed
 * @param writeTime how long a client may leave a piece of the response unread; then the connection is closed
 */
public record HttpLimits(
        int maxConnections,
        int maxHeaderBytes,
        int maxBodyBytes,
        Duration headerTime,
        Duration bodyTime,
        Duration idleTime,
        Duration writeTime) {
    /** 512 connections, 32 KiB of headers, 8 MiB of body, 10 s for headers, 30 s for a body, 5 minutes idle, 30 s for a piece of a response. */
    public static HttpLimits defaults() {
        return new HttpLimits(
                512,
                32 << 10,
                8 << 20,
                Duration.ofSeconds(10),
                Duration.ofSeconds(30),
                Duration.ofMinutes(5),
                Duration.ofSeconds(30));
    }

    /** The same with another limit on the body. */
    public HttpLimits withMaxBodyBytes(int bytes) {
        return new HttpLimits(maxConnections, maxHeaderBytes, bytes, headerTime, bodyTime, idleTime, writeTime);
    }

    /** The same with another number of connections. */
    public HttpLimits withMaxConnections(int connections) {
        return new HttpLimits(connections, maxHeaderBytes, maxBodyBytes, headerTime, bodyTime, idleTime, writeTime);
    }

    /** The same with other times for headers and body. */
    public HttpLimits withReadTimes(Duration header, Duration body) {
        return new HttpLimits(maxConnections, maxHeaderBytes, maxBodyBytes, header, body, idleTime, writeTime);
    }
}
