package dev.finetune4j.core.hub;

import java.net.URI;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** What the hubs differ in: addresses, answers, and the layout of their caches. Stateless. */
sealed interface Hub permits HuggingFace, ModelScope {
    /** For messages. */
    String label();

    /** The revision where none is named. */
    String defaultRevision();

    /** The call by which a program asks for a model of it. */
    String call(String id);

    /** Its address, as the environment has it. */
    URI endpoint(HubEnvironment environment);

    /** The folder of its cache, as the environment has it. */
    Path cache(HubEnvironment environment);

    /** The token that the environment has; null when there is none. */
    @Nullable
    AccessToken token(HubEnvironment environment);

    /** How the user is named to it, as headers. */
    Map<String, String> credentials(AccessToken token);

    /** The folder of the model in the cache, if it has what is needed: all of it, or the settings alone. */
    Optional<Path> cached(Repository repository, FileSelection.Extent extent);

    /** The same with a cache in which settings without weights may be put. */
    Repository forSettings(Repository repository);

    /** The file by whose lock one process at a time fetches the model. */
    Path lock(Repository repository);

    /** Asks what there is. */
    Listing list(Repository repository, HubClient client);

    /** The file with its size and hash, asked for where the listing has them not. */
    RepoFile described(Repository repository, Listing listing, RepoFile file, HubClient client);

    /** Where a file's content is. */
    URI address(Repository repository, Listing listing, RepoFile file);

    /** Where the files of a download go. */
    FileStore store(Repository repository, Listing listing);

    /** Why an answer is no good one, and what helps. */
    HubException failure(Repository repository, HubReply reply);
}
