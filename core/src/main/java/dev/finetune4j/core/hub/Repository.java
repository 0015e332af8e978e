package dev.finetune4j.core.hub;

import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A model's repository at a hub, with all that a download of it needs.
 *
 * @param hub of which kind the endpoint is
 * @param id of the model
 * @param revision branch, tag or commit
 * @param endpoint address of the hub, without a slash at its end
 * @param token null to ask without one
 * @param cache the folder of the hub's cache
 * @param environment for what else it says
 */
record Repository(
        Hub hub,
        String id,
        String revision,
        URI endpoint,
        @Nullable AccessToken token,
        Path cache,
        HubEnvironment environment) {

    /** The same with another cache. */
    Repository with(Path otherCache) {
        return new Repository(hub, id, revision, endpoint, token, otherCache, environment);
    }

    /** What identifies the user, as headers for the endpoint's origin alone. */
    Map<String, String> credentials() {
        return token == null ? Map.of() : hub.credentials(token);
    }

    /** Whether an address is of the origin that the credentials are for. */
    boolean isOwn(URI uri) {
        return String.valueOf(endpoint.getScheme()).equalsIgnoreCase(uri.getScheme())
                && String.valueOf(endpoint.getHost()).equalsIgnoreCase(uri.getHost())
                && port(endpoint) == port(uri);
    }

    private static int port(URI uri) {
        return uri.getPort() >= 0 ? uri.getPort() : "https".equalsIgnoreCase(uri.getScheme()) ? 443 : 80;
    }

    /** An address below the endpoint. */
    URI at(String path) {
        return URI.create(endpoint + path);
    }

    /** A part of an address, or the value of a parameter. */
    static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    /** The name in messages. */
    @Override
    public String toString() {
        return id + (revision.equals(hub.defaultRevision()) ? "" : " (" + revision + ")") + " at "
                + HubReply.shown(endpoint);
    }
}
