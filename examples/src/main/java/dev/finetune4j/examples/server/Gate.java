package dev.finetune4j.examples.server;

import dev.finetune4j.examples.server.http.HttpCall;
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
        if (!origin.isEmpty() && !settings.origins().contains(origin) && !host.equals(authority(origin))) {
            throw ApiException.invalid(
                    403,
                    "foreign_origin",
                    "pages of " + Texts.shortened(origin) + " may not use this server; name the site in its settings");
        }
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
