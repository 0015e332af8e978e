package dev.finetune4j.core.hub;

import java.net.URI;
import java.time.Duration;

/** Addresses of hubs, and what their answers have in common. Stateless. */
final class Endpoints {
    private Endpoints() {}

    /**
     * The address of a hub, without a slash at its end.
     *
     * @param source where it was given, for the message
     * @throws IllegalArgumentException when it is none
     */
    static URI of(String text, String source) {
        String cut = text.strip().replaceAll("/+$", "");
        URI uri;
        try {
            uri = URI.create(cut);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(
                    source + " is no address; expected one such as https://huggingface.co", e);
        }
        boolean web = "https".equalsIgnoreCase(uri.getScheme()) || "http".equalsIgnoreCase(uri.getScheme());
        if (!web
                || uri.getHost() == null
                || uri.getUserInfo() != null
                || uri.getQuery() != null
                || uri.getFragment() != null) {
            throw new IllegalArgumentException(
                    source + " is \"" + (uri.getUserInfo() == null ? cut : "an address with a user")
                            + "\"; expected an address such as https://huggingface.co");
        }
        return uri;
    }

    static HubException noHub(Repository repository, URI asked) {
        return new HubException(
                HubException.Reason.UNREACHABLE,
                HubReply.shown(asked) + " did not answer as " + repository.hub().label()
                        + " does; see whether the address is right and no login page of a proxy is in between");
    }

    /**
     * What helps where the user is not known or not allowed.
     *
     * @param setToken how to send a token, where none was sent
     */
    static String login(Repository repository, String setToken) {
        return repository.token() == null
                ? setToken
                : "the token that was sent has no access to it: see its permissions, or use another one";
    }

    /**
     * What a status says without a code of the hub.
     *
     * @param missing whether the hub says that there is no such repository
     * @param login what helps where the user is not known or not allowed
     */
    static HubException failure(Repository repository, HubReply reply, boolean missing, String login) {
        int status = reply.status();
        String found = repository + " (status " + status + ")";
        if (missing || status == 404) {
            return new HubException(
                    HubException.Reason.MISSING,
                    "there is no " + found + ", or it is private; see how its id is spelled, and if it is private, "
                            + login);
        }
        if (status == 401 || status == 403) {
            return new HubException(HubException.Reason.FORBIDDEN, found + " is not open to this user; " + login);
        }
        if (status == 429) {
            Duration wait = reply.retryAfter();
            return new HubException(
                    HubException.Reason.RATE_LIMITED,
                    found + " refuses more requests for now; try again "
                            + (wait == null ? "later" : "in " + wait.toSeconds() + " s")
                            + (repository.token() == null ? ", or with a token, which may ask more often" : ""));
        }
        return new HubException(
                HubException.Reason.UNREACHABLE,
                found + " fails at " + HubReply.shown(reply.uri())
                        + "; try again later, or name a mirror with endpoint(address)");
    }
}
