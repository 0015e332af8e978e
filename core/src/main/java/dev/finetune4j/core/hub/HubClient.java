package dev.finetune4j.core.hub;

import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Repeats what fails in passing, with growing pauses or those that the hub asks for. Thread-safe. */
final class HubClient {
    private static final Logger LOG = LoggerFactory.getLogger(HubClient.class);

    private final Repository repository;
    private final HubHttp http;
    private final Stop stop;

    HubClient(Repository repository, HubHttp http, Stop stop) {
        this.repository = repository;
        this.http = http;
        this.stop = stop;
    }

    /** One try. */
    @FunctionalInterface
    private interface Try {
        HubReply run() throws IOException;
    }

    /** A small answer; a good one. */
    HubReply get(URI uri) {
        return repeat(() -> http.get(uri));
    }

    /** The hub's headers for an address. */
    HubReply head(URI uri) {
        return repeat(() -> http.head(uri));
    }

    private HubReply repeat(Try request) {
        for (int failed = 0; ; ) {
            IOException broken = null;
            HubReply reply = null;
            try {
                reply = request.run();
                if (!reply.isPassing()) {
                    // The headers of a HEAD that leads elsewhere are what was asked for.
                    if (reply.isGood() || reply.status() / 100 == 3) {
                        return reply;
                    }
                    throw repository.hub().failure(repository, reply);
                }
            } catch (IOException e) {
                broken = e;
            }
            pause(++failed, reply, broken);
        }
    }

    /**
     * Fetches a file from where it is on, until it is whole.
     *
     * @throws HubException when that cannot be done
     */
    void download(URI uri, PartialFile into) {
        long most = into.length();
        for (int failed = 0; ; ) {
            IOException broken = null;
            HubReply reply = null;
            try {
                reply = http.download(uri, into);
                if (reply.status() == 200 || reply.status() == 206) {
                    if (into.isEnded()) {
                        return;
                    }
                    broken = new IOException("the connection ended after " + into.length() + " bytes");
                } else if (reply.status() == 416) {
                    into.restart();
                } else if (!repository.isOwn(reply.uri())) {
                    // A link of the hub that has expired, as a rule; the next try asks it for another.
                    broken = new IOException(HubReply.shown(reply.uri()) + " answers with status " + reply.status());
                } else if (!reply.isPassing()) {
                    throw repository.hub().failure(repository, reply);
                }
            } catch (PartialFile.RestartException e) {
                broken = e;
                restart(into);
            } catch (IOException e) {
                broken = e;
            }
            failed = into.length() > most ? 0 : failed;
            most = Math.max(most, into.length());
            pause(++failed, reply, broken);
        }
    }

    private static void restart(PartialFile file) {
        try {
            file.restart();
        } catch (IOException e) {
            throw Disk.failure(file.path(), e);
        }
    }

    /** Waits before the next try, or says that there is none. */
    private void pause(int failed, @Nullable HubReply reply, @Nullable IOException broken) {
        stop.check();
        HubEnvironment.Pace pace = repository.environment().pace();
        Duration asked = reply == null || reply.isGood() ? null : reply.retryAfter();
        boolean tooLong = asked != null && asked.compareTo(pace.longestPause()) > 0;
        if (failed >= pace.attempts() || tooLong) {
            throw (broken != null && !tooLong) || reply == null
                    ? unreachable(broken)
                    : repository.hub().failure(repository, reply);
        }
        Duration pause = asked == null ? pace.firstPause().multipliedBy(1L << (failed - 1)) : asked;
        LOG.debug("{}: {}; again in {} ms", repository, broken == null ? reply : broken, pause.toMillis());
        stop.sleep(pause);
    }

    private HubException unreachable(@Nullable IOException cause) {
        return new HubException(
                HubException.Reason.UNREACHABLE,
                repository + " cannot be reached: " + cause + "; see whether this machine has the network and a proxy"
                        + " (-Dhttps.proxyHost, -Dhttps.proxyPort), or name a mirror with endpoint(address)",
                cause);
    }
}
