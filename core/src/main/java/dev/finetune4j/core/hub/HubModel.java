package dev.finetune4j.core.hub;

import dev.finetune4j.core.message.Arguments;
import java.net.URI;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A model of a hub. What its cache holds in full is used as it is, without asking the hub; what is missing is downloaded: settings,
 * tokenizer and weights in safetensors form, several files at the same time, each checked by size and hash. A download that was broken
 * off goes on where it was, and of several processes that want one model, one fetches it.
 *
 * <p>Immutable: each choice gives another object.
 */
public final class HubModel implements ModelSource {
    private final Choice choice;

    HubModel(Hub hub, String id, HubEnvironment environment) {
        if (!SafeName.isId(id)) {
            throw new IllegalArgumentException("\"" + id + "\" is no id of a model at " + hub.label()
                    + "; expected one such as org/name, of letters, digits, '-', '_' and '.'");
        }
        this.choice = new Choice(hub, id, environment);
    }

    private HubModel(Choice choice) {
        this.choice = choice;
    }

    /** What was chosen; changed before anybody else sees it. */
    private static final class Choice implements Cloneable {
        private final Hub hub;
        private final String id;
        private final HubEnvironment environment;
        private String revision;
        private @Nullable URI endpoint;
        private @Nullable AccessToken token;
        private @Nullable Path cache;
        private DownloadListener listener = progress -> {};
        private boolean refresh;
        private boolean offline;

        Choice(Hub hub, String id, HubEnvironment environment) {
            this.hub = hub;
            this.id = id;
            this.environment = environment;
            this.revision = hub.defaultRevision();
        }

        Choice with(Consumer<Choice> change) {
            try {
                Choice copy = (Choice) clone();
                change.accept(copy);
                return copy;
            } catch (CloneNotSupportedException e) {
                throw new IllegalStateException(e);
            }
        }

        Repository repository() {
            return new Repository(
                    hub,
                    id,
                    revision,
                    endpoint == null ? hub.endpoint(environment) : endpoint,
                    token == null ? hub.token(environment) : token,
                    cache == null ? hub.cache(environment) : cache,
                    environment);
        }
    }

    /**
     * A branch, tag or commit in place of the hub's default branch. A commit never changes, so trainings on it can be repeated.
     *
     * @throws IllegalArgumentException when it can be none
     */
    public HubModel revision(String revision) {
        if (!SafeName.isRevision(Arguments.given(revision, "revision(revision)"))) {
            throw new IllegalArgumentException("\"" + revision
                    + "\" is no revision; expected a branch, a tag or a commit, such as main or refs/pr/1");
        }
        return new HubModel(choice.with(next -> next.revision = revision));
    }

    /**
     * The user's token at the hub, in place of that of the environment ({@code HF_TOKEN}, {@code HF_TOKEN_PATH} or {@code
     * $HF_HOME/token}; {@code MODELSCOPE_API_TOKEN}). It is sent to the hub's own address alone, and appears in no log or message.
     *
     * @throws IllegalArgumentException when it cannot be one
     */
    public HubModel token(String token) {
        AccessToken checked =
                new AccessToken(Arguments.given(token, "token(token)").strip());
        return new HubModel(choice.with(next -> next.token = checked));
    }

    /**
     * The address of the hub or of a mirror, in place of {@code HF_ENDPOINT} or {@code MODELSCOPE_DOMAIN}. The token is sent there.
     *
     * @throws IllegalArgumentException when it is not one of http or https
     */
    public HubModel endpoint(URI endpoint) {
        URI checked =
                Endpoints.of(Arguments.given(endpoint, "endpoint(endpoint)").toString(), "endpoint(endpoint)");
        return new HubModel(choice.with(next -> next.endpoint = checked));
    }

    /**
     * The folder of the hub's cache, in place of {@code HF_HUB_CACHE}, {@code HF_HOME}{@code /hub} or {@code ~/.cache/huggingface/hub};
     * {@code MODELSCOPE_CACHE} or {@code ~/.cache/modelscope/hub}. It is shared with the hub's own client.
     */
    public HubModel cache(Path folder) {
        Arguments.given(folder, "cache(folder)");
        return new HubModel(choice.with(next -> next.cache = folder));
    }

    /** Is told how a download goes on. */
    public HubModel listener(DownloadListener listener) {
        Arguments.given(listener, "listener(listener)");
        return new HubModel(choice.with(next -> next.listener = listener));
    }

    /** Asks the hub what the revision is now, and fetches what has changed, though the cache has an earlier state of it. */
    public HubModel refresh() {
        return new HubModel(choice.with(next -> next.refresh = true));
    }

    /** Never contacts the hub, as {@code HF_HUB_OFFLINE} and {@code TRANSFORMERS_OFFLINE} say for all models. */
    public HubModel offline() {
        return new HubModel(choice.with(next -> next.offline = true));
    }

    /** The folder in the cache; empty when it is not there in full. The hub is not asked. */
    public Optional<Path> cached() {
        return choice.hub.cached(choice.repository(), FileSelection.Extent.ALL);
    }

    /** The folder of the hub's cache, whether it is there yet or not. */
    public Path cacheFolder() {
        return choice.repository().cache();
    }

    @Override
    public Path fetch(BooleanSupplier cancelled) {
        Arguments.given(cancelled, "fetch(cancelled)");
        return fetch(choice.repository(), FileSelection.Extent.ALL, choice.refresh, cancelled);
    }

    @Override
    public Path fetchSettings() {
        Optional<Path> whole = choice.refresh ? Optional.empty() : cached();
        return whole.isPresent()
                ? whole.get()
                : fetch(
                        choice.hub.forSettings(choice.repository()),
                        FileSelection.Extent.SETTINGS,
                        choice.refresh,
                        () -> false);
    }

    private Path fetch(Repository repository, FileSelection.Extent extent, boolean refresh, BooleanSupplier cancelled) {
        boolean asks = refresh && !isOffline();
        Optional<Path> there = asks ? Optional.empty() : choice.hub.cached(repository, extent);
        if (there.isPresent()) {
            return there.get();
        }
        if (isOffline()) {
            throw new HubException(
                    HubException.Reason.NOT_CACHED,
                    repository + " is not complete in " + repository.cache() + ", and the hub is not asked, because "
                            + (choice.offline
                                    ? "offline() was called"
                                    : "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set")
                            + "; allow it, or copy the model into the cache");
        }
        return new DownloadRun(repository, extent, choice.listener, asks).await(cancelled);
    }

    @Override
    public String name() {
        return choice.id;
    }

    private boolean isOffline() {
        return choice.offline || choice.environment.isOffline();
    }

    @Override
    public String toString() {
        return choice.hub.label() + ": " + choice.id + " (" + choice.revision + ")";
    }
}
