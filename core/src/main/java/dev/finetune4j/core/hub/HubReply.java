package dev.finetune4j.core.hub;

import com.fasterxml.jackson.databind.JsonNode;
import dev.finetune4j.core.json.JsonReader;
import java.io.IOException;
import java.io.StringReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeParseException;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What a hub has answered, at the end of its redirects.
 *
 * @param uri that was asked last
 * @param status of HTTP
 * @param headers by name in small letters; of the answers of the hub's own origin before it too, where the last one has none
 * @param body as far as it was read; empty when it went into a file
 */
record HubReply(URI uri, int status, Map<String, String> headers, byte[] body) {
    private static final Set<Integer> PASSING = Set.of(408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524);
    private static final Pattern RESET = Pattern.compile(";\\s*t=(\\d{1,9})");

    @Nullable
    String header(String name) {
        return headers.get(name.toLowerCase(Locale.ROOT));
    }

    boolean isGood() {
        return status >= 200 && status < 300;
    }

    /** Whether the same request may succeed later. */
    boolean isPassing() {
        return PASSING.contains(status);
    }

    /** The number that a header holds; -1 when there is none. */
    long number(String name) {
        String value = header(name);
        return value != null && value.matches("\\d{1,18}") ? Long.parseLong(value) : -1;
    }

    /** How long the hub asks to wait, by {@code Retry-After} or {@code RateLimit}; null when it does not say. */
    @Nullable
    Duration retryAfter() {
        String value = header("retry-after");
        if (value != null && value.strip().matches("\\d{1,9}")) {
            return Duration.ofSeconds(Long.parseLong(value.strip()));
        }
        if (value != null) {
            try {
                ZonedDateTime then = ZonedDateTime.parse(value.strip(), DateTimeFormatter.RFC_1123_DATE_TIME);
                Duration until = Duration.between(ZonedDateTime.now(then.getZone()), then);
                return until.isNegative() ? Duration.ZERO : until;
            } catch (DateTimeParseException e) {
                return null;
            }
        }
        String limit = status == 429 ? header("ratelimit") : null;
        Matcher reset = RESET.matcher(limit == null ? "" : limit);
        return reset.find() ? Duration.ofSeconds(Long.parseLong(reset.group(1))) : null;
    }

    /** The JSON value that the body is; null when it is none. */
    @Nullable
    JsonNode json() {
        try {
            return new JsonReader(new StringReader(new String(body, StandardCharsets.UTF_8))).next();
        } catch (IOException e) {
            return null;
        }
    }

    /** An address as messages may show it: queries of storage servers hold signatures. */
    static String shown(URI uri) {
        String port = uri.getPort() < 0 ? "" : ":" + uri.getPort();
        return uri.getScheme() + "://" + uri.getHost() + port + (uri.getPath() == null ? "" : uri.getPath());
    }
}
