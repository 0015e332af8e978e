package dev.finetune4j.core.hub;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The API of <a href="https://huggingface.co/docs/hub/api">Hugging Face's hub</a>, as its own client uses it, and that client's
 * variables and cache.
 */
record HuggingFace() implements Hub {
    @Override
    public String label() {
        return "Hugging Face";
    }

    @Override
    public String defaultRevision() {
        return "main";
    }

    @Override
    public String call(String id) {
        return "ModelSource.huggingFace(\"" + id + "\")";
    }

    @Override
    public URI endpoint(HubEnvironment environment) {
        String endpoint = environment.value("HF_ENDPOINT");
        return Endpoints.of(endpoint == null ? "https://huggingface.co" : endpoint, "HF_ENDPOINT");
    }

    @Override
    public Path cache(HubEnvironment environment) {
        Path usual =
                environment.folder("HUGGINGFACE_HUB_CACHE", home(environment).resolve("hub"));
        return environment.folder("HF_HUB_CACHE", usual);
    }

    private static Path home(HubEnvironment environment) {
        Path caches = environment.folder("XDG_CACHE_HOME", environment.home().resolve(".cache"));
        return environment.folder("HF_HOME", caches.resolve("huggingface"));
    }

    @Override
    public @Nullable AccessToken token(HubEnvironment environment) {
        if (environment.isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
            return null;
        }
        String token = environment.value("HF_TOKEN");
        if (token == null) {
            token = environment.value("HUGGING_FACE_HUB_TOKEN");
        }
        return token == null
                ? environment.tokenIn(
                        environment.folder("HF_TOKEN_PATH", home(environment).resolve("token")))
                : new AccessToken(token);
    }

    @Override
    public Map<String, String> credentials(AccessToken token) {
        return Map.of("Authorization", "Bearer " + token.value());
    }

    @Override
    public Optional<Path> cached(Repository repository, FileSelection.Extent extent) {
        return new SnapshotCache(repository).find(repository.revision(), extent);
    }

    /** A snapshot is of one commit, so weights can join the settings later. */
    @Override
    public Repository forSettings(Repository repository) {
        return repository;
    }

    @Override
    public Path lock(Repository repository) {
        return new SnapshotCache(repository).lock();
    }

    @Override
    public Listing list(Repository repository, HubClient client) {
        URI uri = repository.at("/api/models/" + repository.id() + "/revision/"
                + Repository.encoded(repository.revision()) + "?blobs=true");
        JsonNode answer = client.get(uri).json();
        String commit = answer == null ? "" : answer.path("sha").asText();
        if (answer == null
                || !SnapshotCache.isCommit(commit)
                || !answer.path("siblings").isArray()) {
            throw Endpoints.noHub(repository, uri);
        }
        List<RepoFile> files = new ArrayList<>();
        for (JsonNode entry : answer.path("siblings")) {
            JsonNode large = entry.path("lfs");
            Checksum checksum = large.isObject()
                    ? Checksum.of(large.path("sha256").asText())
                    : Checksum.of(entry.path("blobId").asText());
            JsonNode size = entry.has("size") ? entry.path("size") : large.path("size");
            files.add(new RepoFile(entry.path("rfilename").asText(), size.asLong(-1), checksum));
        }
        return new Listing(commit, files);
    }

    /** Mirrors that list names alone state size and hash in the headers of each file. */
    @Override
    public RepoFile described(Repository repository, Listing listing, RepoFile file, HubClient client) {
        if (file.size() >= 0 && file.checksum() != null) {
            return file;
        }
        HubReply reply = client.head(address(repository, listing, file));
        String tag = reply.header("x-linked-etag") == null ? reply.header("etag") : reply.header("x-linked-etag");
        long linked = reply.number("x-linked-size");
        long size = linked >= 0 || !reply.isGood() ? linked : reply.number("content-length");
        return new RepoFile(file.path(), size, Checksum.of(tag == null ? null : tag.replaceAll("^W/|\"", "")));
    }

    @Override
    public URI address(Repository repository, Listing listing, RepoFile file) {
        StringBuilder path = new StringBuilder("/" + repository.id() + "/resolve/" + listing.commit());
        for (String part : file.path().split("/", -1)) {
            path.append('/').append(Repository.encoded(part));
        }
        return repository.at(path.toString());
    }

    @Override
    public FileStore store(Repository repository, Listing listing) {
        return new SnapshotStore(new SnapshotCache(repository), listing.commit(), repository);
    }

    @Override
    public HubException failure(Repository repository, HubReply reply) {
        String code = reply.header("x-error-code") == null ? "" : reply.header("x-error-code");
        String page = repository.at("/" + repository.id()).toString();
        String login = Endpoints.login(
                repository, "set HF_TOKEN to a token with read access (" + repository.at("/settings/tokens") + ")");
        return switch (code) {
            case "GatedRepo" ->
                new HubException(
                        HubException.Reason.GATED,
                        repository + " is gated: agree to its licence at " + page + ", wait until that is granted, and "
                                + login);
            case "RevisionNotFound" ->
                new HubException(
                        HubException.Reason.MISSING,
                        repository.id() + " has no revision " + repository.revision()
                                + "; see its branches and tags at " + page);
            case "EntryNotFound" ->
                new HubException(
                        HubException.Reason.MISSING,
                        repository + " has no " + reply.uri().getPath() + " any more; fetch it again");
            default -> Endpoints.failure(repository, reply, code.equals("RepoNotFound"), login);
        };
    }
}
