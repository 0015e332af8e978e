package dev.finetune4j.examples.server.http;

import java.time.Duration;

/**
 * What a client may take of a listener.
 *
 * @param maxConnections how many are open at once; one more gets 503 and is closed
 * @param maxHeaderBytes of the request line and the headers together; more gets 431
 * @param maxBodyBytes of a request; more gets 413
 * @param headerTime for the request line and the headers, from their first byte; then the connection gets 408 and is closed
 * @param bodyTime for the body; then the connection gets 408 and is closed
 * @param idleTime how long a connection may wait for its next request
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
    /** 512 connections, 32 KiB of headers, 8 MiB of body, 10 s for headers, 30 s for a body, 60 s idle, 30 s for a piece of a response. */
    public static HttpLimits defaults() {
        return new HttpLimits(
                512,
                32 << 10,
                8 << 20,
                Duration.ofSeconds(10),
                Duration.ofSeconds(30),
                Duration.ofSeconds(60),
                Duration.ofSeconds(30));
    }

    /** The same with another limit on the body. */
    public HttpLimits withMaxBodyBytes(int bytes) {
        return new HttpLimits(maxConnections, maxHeaderBytes, bytes, headerTime, bodyTime, idleTime, writeTime);
    }

    /** The same with other times for headers and body. */
    public HttpLimits withReadTimes(Duration header, Duration body) {
        return new HttpLimits(maxConnections, maxHeaderBytes, maxBodyBytes, header, body, idleTime, writeTime);
    }
}
