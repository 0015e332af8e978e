package dev.finetune4j.examples.server;

import dev.finetune4j.examples.server.http.HttpCall;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Locale;
import java.util.Set;

/** Who may ask: clients with the key, and no page of a site that was not named. */
final class Gate {
    private static final Set<String> LOOPBACK = Set.of("localhost", "127.0.0.1", "[::1]");
    private static final String BEARER = "Bearer ";

    private final ServerSettings settings;

    Gate(ServerSettings settings) {
        this.settings = settings;
    }

    /**
     * Checks that a request comes from where it may.
     *
     * @throws ApiException with 403
     */
    void requireOrigin(HttpCall call) {
        String host = call.header("host").toLowerCase(Locale.ROOT);
        if (settings.apiKey() == null && !LOOPBACK.contains(host.replaceAll(":[0-9]*$", ""))) {
            throw ApiException.invalid(
                    403,
                    "foreign_host",
                    "without an API key only requests to localhost are answered, but this is one to the host "
                            + Texts.shortened(host));
        }
        String origin = call.header("origin");
        if (settings.origins().contains(origin)) {
            call.set("Access-Control-Allow-Origin", origin).set("Vary", "Origin");
        } else if (!origin.isEmpty() && !host.equals(authority(origin))) {
            throw ApiException.invalid(
                    403,
                    "foreign_origin",
                    "pages of " + Texts.shortened(origin) + " may not use this server; name the site in its settings");
        }
    }

    /** Answers a browser that asks what a page of a site that was named may send; it does so before a request with a key. */
    static boolean answersPreflight(HttpCall call) throws IOException {
        boolean asks = call.method().equals("OPTIONS")
                && !call.header("origin").isEmpty()
                && !call.header("access-control-request-method").isEmpty();
        if (asks) {
            call.set("Access-Control-Allow-Methods", "GET, POST")
                    .set("Access-Control-Allow-Headers", "authorization, content-type")
                    .set("Access-Control-Max-Age", "600")
                    .respond(200, "text/plain; charset=utf-8", new byte[0]);
        }
        return asks;
    }

    private static String authority(String origin) {
        try {
            return String.valueOf(URI.create(origin).getAuthority()).toLowerCase(Locale.ROOT);
        } catch (IllegalArgumentException e) {
            return "";
        }
    }

    /**
     * Checks the key, in a time that does not tell how much of it is right.
     *
     * @throws ApiException with 401
     */
    void requireKey(HttpCall call) {
        String key = settings.apiKey();
        if (key == null) {
            return;
        }
        String given = call.header("authorization");
        boolean isBearer = given.regionMatches(true, 0, BEARER, 0, BEARER.length());
        byte[] sent = given.substring(isBearer ? BEARER.length() : 0).strip().getBytes(StandardCharsets.UTF_8);
        if (!isBearer || !MessageDigest.isEqual(sent, key.getBytes(StandardCharsets.UTF_8))) {
            throw ApiException.invalid(
                    401, "invalid_api_key", "the API key is missing or wrong; send Authorization: Bearer KEY");
        }
    }
}
