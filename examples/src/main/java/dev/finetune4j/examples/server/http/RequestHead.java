package dev.finetune4j.examples.server.http;

import java.util.Map;

/**
 * A request without its body.
 *
 * @param method such as {@code POST}
 * @param target path and query as they were sent
 * @param minor 0 or 1, of HTTP/1.0 and 1.1
 * @param headers by names in small letters; of those that came twice the values joined by a comma
 */
record RequestHead(String method, String target, int minor, Map<String, String> headers) {
    static final RequestHead NONE = new RequestHead("", "/", 1, Map.of());

    RequestHead {
        headers = Map.copyOf(headers);
    }

    String header(String name) {
        return headers.getOrDefault(name, "");
    }
}
