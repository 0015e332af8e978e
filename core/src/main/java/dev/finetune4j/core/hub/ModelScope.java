package dev.finetune4j.core.hub;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.URI;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The API of <a href="https://www.modelscope.cn">ModelScope</a>, as its own client uses it, and that client's variables and cache. */
record ModelScope() implements Hub {
    @Override
    public String label() {
        return "ModelScope";
    }

    @Override
    public String defaultRevision() {
        return "master";
    }

    @Override
    public String call(String id) {
        return "ModelSource.modelScope(\"" + id + "\")";
    }

    /** The variable holds a host, as with the hub's own client; an address is understood too. */
    @Override
    public URI endpoint(HubEnvironment environment) {
        String domain = environment.value("MODELSCOPE_DOMAIN");
        String host = domain == null ? "www.modelscope.cn" : domain;
        return Endpoints.of(host.contains("://") ? host : "https://" + host, "MODELSCOPE_DOMAIN");
    }

    @Override
    public Path cache(HubEnvironment environment) {
        return environment.folder(
                "MODELSCOPE_CACHE",
                environment.home().resolve(".cache").resolve("modelscope").resolve("hub"));
    }

    /** The hub's own client keeps its cookies as a pickle, which is not read. */
    @Override
    public @Nullable AccessToken token(HubEnvironment environment) {
        String token = environment.value("MODELSCOPE_API_TOKEN");
        return token == null ? null : new AccessToken(token);
    }

    @Override
    public Map<String, String> credentials(AccessToken token) {
        return Map.of("Authorization", "Bearer " + token.value(), "Cookie", "m_session_id=" + token.value());
    }

    @Override
    public Optional<Path> cached(Repository repository, FileSelection.Extent extent) {
        return new PlainCache(repository).find(extent);
    }

    /** Apart from the model's folder, which may hold another revision with its weights. */
    @Override
    public Repository forSettings(Repository repository) {
        return repository.with(repository.cache().resolve(PlainCache.TEMPORARY).resolve("settings"));
    }

    @Override
    public Path lock(Repository repository) {
        return new PlainCache(repository).lock();
    }

    @Override
    public Listing list(Repository repository, HubClient client) {
        String revision = Repository.encoded(repository.revision());
        URI uri = repository.at(
                "/api/v1/models/" + repository.id() + "/repo/files?Revision=" + revision + "&Recursive=true");
        HubReply reply = client.get(uri);
        JsonNode answer = reply.json();
        JsonNode entries = answer == null ? null : answer.path("Data").path("Files");
        if (answer != null && answer.path("Code").asInt(200) != 200) {
            throw failure(repository, reply);
        }
        if (entries == null || !entries.isArray()) {
            throw Endpoints.noHub(repository, uri);
        }
        List<RepoFile> files = new ArrayList<>();
        for (JsonNode entry : entries) {
            if (!entry.path("Type").asText().equals("tree")) {
                files.add(new RepoFile(
                        entry.path("Path").asText(),
                        entry.path("Size").asLong(-1),
                        Checksum.of(entry.path("Sha256").asText())));
            }
        }
        return new Listing(repository.revision(), files);
    }

    @Override
    public RepoFile described(Repository repository, Listing listing, RepoFile file, HubClient client) {
        return file;
    }

    @Override
    public URI address(Repository repository, Listing listing, RepoFile file) {
        return repository.at("/api/v1/models/" + repository.id() + "/repo?Revision="
                + Repository.encoded(listing.commit()) + "&FilePath=" + Repository.encoded(file.path()));
    }

    @Override
    public FileStore store(Repository repository, Listing listing) {
        return new PlainStore(new PlainCache(repository));
    }

    @Override
    public HubException failure(Repository repository, HubReply reply) {
        String login = Endpoints.login(
                repository,
                "set MODELSCOPE_API_TOKEN to a token of yours (" + repository.at("/my/myaccesstoken") + ")");
        return Endpoints.failure(repository, reply, reply.isGood(), login);
    }
}
