package dev.finetune4j.examples.server.http;

import java.io.IOException;

/** Answers requests, each in a thread of its own. */
public interface HttpHandler {
    /**
     * Answers a request.
     *
     * @throws IOException when the client is gone, or {@link HttpFailure} when the request cannot be read; the connection is closed then
     */
    void handle(HttpCall call) throws IOException;

    /** Answers a request that could not be read; its status and message are those of the failure. */
    void refuse(HttpCall call, HttpFailure failure) throws IOException;
}
