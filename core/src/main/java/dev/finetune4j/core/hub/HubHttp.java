package dev.finetune4j.core.hub;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * The requests of a download. Redirects are followed one by one, so that the credentials stay at the hub's own origin; a connection on
 * which nothing comes counts as broken; and a request ends at once when the download is to end. Thread-safe.
 */
final class HubHttp {
    private static final Set<Integer> REDIRECTS = Set.of(301, 302, 303, 307, 308);
    private static final int MAX_REDIRECTS = 8;
    private static final long POLL_MILLIS = 50;

    private final Repository repository;
    private final Map<String, String> credentials;
    private final Stop stop;
    private final HttpClient client;

    HubHttp(Repository repository, Stop stop) {
        this.repository = repository;
        this.credentials = repository.credentials();
        this.stop = stop;
        this.client = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1) // one connection for each file: a stream of HTTP/2 is slower
                .followRedirects(HttpClient.Redirect.NEVER)
                .build();
    }

    /** Asks for a small answer. */
    HubReply get(URI uri) throws IOException {
        return follow("GET", uri, null);
    }

    /** Asks for the headers of the hub itself: a redirect to another origin is not followed. */
    HubReply head(URI uri) throws IOException {
        return follow("HEAD", uri, null);
    }

    /**
     * Fetches a file, from where it is on. What comes goes into the file even if the connection breaks.
     *
     * @return the answer; its status tells whether anything went into the file (200, 206)
     */
    HubReply download(URI uri, PartialFile into) throws IOException {
        return follow("GET", uri, into);
    }

    private HubReply follow(String method, URI start, @Nullable PartialFile into) throws IOException {
        Map<String, String> own = new HashMap<>();
        URI uri = start;
        boolean trusted = repository.isOwn(start);
        for (int i = 0; i <= MAX_REDIRECTS; i++) {
            HubReply reply = exchange(method, uri, trusted, into);
            String location = reply.header("location");
            if (trusted) {
                own.putAll(reply.headers());
            }
            URI next = REDIRECTS.contains(reply.status()) && location != null ? target(uri, location) : null;
            if (next == null || (method.equals("HEAD") && !repository.isOwn(next))) {
                Map<String, String> headers = new HashMap<>(own);
                headers.putAll(reply.headers());
                return new HubReply(uri, reply.status(), headers, reply.body());
            }
            trusted &= repository.isOwn(next);
            uri = next;
        }
        throw new IOException("more than " + MAX_REDIRECTS + " redirects from " + HubReply.shown(start));
    }

    private static URI target(URI from, String location) throws IOException {
        URI next;
        try {
            next = from.resolve(URI.create(location));
        } catch (IllegalArgumentException e) {
            throw new IOException(HubReply.shown(from) + " redirects to no address", e);
        }
        String scheme = next.getScheme() == null ? "" : next.getScheme().toLowerCase(Locale.ROOT);
        boolean secure = scheme.equals("https");
        boolean downgraded = "https".equalsIgnoreCase(from.getScheme()) && !secure;
        if ((!secure && !scheme.equals("http")) || downgraded || next.getHost() == null || next.getUserInfo() != null) {
            throw new HubException(
                    HubException.Reason.UNREACHABLE,
                    HubReply.shown(from) + " redirects to " + HubReply.shown(next)
                            + ", which is not followed: expected an https address without a user; see whether a proxy is in between");
        }
        return next;
    }

    private HubReply exchange(String method, URI uri, boolean trusted, @Nullable PartialFile into) throws IOException {
        HttpRequest.Builder request = HttpRequest.newBuilder(uri)
                .method(method, HttpRequest.BodyPublishers.noBody())
                .header("Accept-Encoding", "identity")
                .header("User-Agent", "finetune4j; java/" + Runtime.version().feature());
        if (trusted) {
            credentials.forEach(request::header);
        }
        long offset = into == null ? 0 : into.length();
        if (offset > 0) {
            request.header("Range", "bytes=" + offset + "-");
        }
        try (BodyReceiver receiver = new BodyReceiver(into)) {
            HttpResponse<byte[]> response = await(client.sendAsync(request.build(), receiver), receiver);
            Map<String, String> headers = new HashMap<>();
            response.headers()
                    .map()
                    .forEach((name, values) -> headers.put(name.toLowerCase(Locale.ROOT), String.join(", ", values)));
            return new HubReply(uri, response.statusCode(), headers, response.body());
        }
    }

    private HttpResponse<byte[]> await(CompletableFuture<HttpResponse<byte[]>> answer, BodyReceiver receiver)
            throws IOException {
        Duration silence = repository.environment().pace().silence();
        try {
            while (true) {
                try {
                    return answer.get(POLL_MILLIS, TimeUnit.MILLISECONDS);
                } catch (TimeoutException e) {
                    stop.check();
                    if (receiver.silentFor().compareTo(silence) > 0) {
                        throw new HttpTimeoutException("nothing came for " + silence.toMillis() / 1000.0 + " s");
                    }
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            stop.set();
            stop.check();
            throw new IllegalStateException(e);
        } catch (ExecutionException e) {
            throw cause(e);
        } finally {
            answer.cancel(true);
        }
    }

    /** What went wrong, without what the client wraps around it. */
    private static IOException cause(ExecutionException failure) {
        for (Throwable cause = failure.getCause(); cause != null; cause = cause.getCause()) {
            if (cause instanceof HubException known) {
                throw known;
            }
            if (cause instanceof PartialFile.RestartException restart) {
                return restart;
            }
        }
        return failure.getCause() instanceof IOException io ? io : new IOException(failure.getCause());
    }
}
