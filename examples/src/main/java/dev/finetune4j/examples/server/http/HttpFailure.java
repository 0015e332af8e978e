package dev.finetune4j.examples.server.http;

import java.io.IOException;

/** A request that cannot be read as HTTP or goes beyond a limit; the connection ends with it. */
public final class HttpFailure extends IOException {
    private final int status;

    HttpFailure(int status, String message) {
        super(message);
        this.status = status;
    }

    /** The status of the response, such as 413. */
    public int status() {
        return status;
    }
}
