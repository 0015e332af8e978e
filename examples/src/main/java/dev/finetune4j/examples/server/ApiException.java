package dev.finetune4j.examples.server;

import org.jspecify.annotations.Nullable;

/** Ends a request with an error in OpenAI's form. */
final class ApiException extends RuntimeException {
    private final int status;
    private final String type;
    private final @Nullable String param;
    private final @Nullable String code;

    ApiException(int status, String type, @Nullable String param, @Nullable String code, String message) {
        super(message);
        this.status = status;
        this.type = type;
        this.param = param;
        this.code = code;
    }

    /** A request that is wrong in one of its fields. */
    static ApiException invalid(@Nullable String param, String message) {
        return new ApiException(400, "invalid_request_error", param, null, message);
    }

    static ApiException invalid(int status, String code, String message) {
        return new ApiException(status, "invalid_request_error", null, code, message);
    }

    static ApiException noModel(String name) {
        return new ApiException(
                404,
                "invalid_request_error",
                "model",
                "model_not_found",
                "there is no model \"" + Texts.shortened(name) + "\" here; GET /v1/models lists those that are");
    }

    /** Too much is in progress; the same request may succeed soon. */
    static ApiException busy(String message) {
        return new ApiException(429, "rate_limit_error", null, "rate_limit_exceeded", message);
    }

    static ApiException unavailable(String message) {
        return new ApiException(503, "unavailable_error", null, "unavailable", message);
    }

    static ApiException failed(String message) {
        return new ApiException(500, "server_error", null, "internal_error", message);
    }

    int status() {
        return status;
    }

    String type() {
        return type;
    }

    @Nullable
    String param() {
        return param;
    }

    @Nullable
    String code() {
        return code;
    }
}
