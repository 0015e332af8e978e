package dev.finetune4j.core.hub;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.json.JsonFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A model in ModelScope's cache, a plain folder of one revision, in which {@code .finetune4j.json} says which one, and whether it is
 * complete. What the hub's own client has put there is read too; its index is a pickle and is neither read nor written.
 *
 * @param repository of the model
 */
record PlainCache(Repository repository) {
    static final String TEMPORARY = "._____temp";
    private static final String INDEX = ".finetune4j.json";
    private static final String VERSION_OF_CLIENT = ".mv";

    /** The folder for what is downloaded: the client's, in whose names a dot is three underscores. */
    Path folder() {
        List<Path> places = places();
        return places.stream().filter(Files::isDirectory).findFirst().orElse(places.get(0));
    }

    /** Where versions of the client put models. */
    private List<Path> places() {
        String id = repository.id();
        String masked = id.substring(0, id.indexOf('/') + 1)
                + id.substring(id.indexOf('/') + 1).replace(".", "___");
        Path models = repository.cache().resolve("models");
        return List.of(
                models.resolve(masked),
                models.resolve(id),
                repository.cache().resolve(masked),
                repository.cache().resolve(id));
    }

    /** For content that is not in the folder yet. */
    Path temporary() {
        return repository.cache().resolve(TEMPORARY).resolve(repository.id());
    }

    Path lock() {
        return repository.cache().resolve(TEMPORARY).resolve(repository.id() + ".finetune4j.lock");
    }

    /** The folder, if it has what is needed and is of the revision. */
    Optional<Path> find(FileSelection.Extent extent) {
        return places().stream()
                .filter(place -> extent.isIn(place) && isOfRevision(place))
                .findFirst();
    }

    private boolean isOfRevision(Path place) {
        ObjectNode index = index(place);
        if (index != null) {
            return index.path("complete").asBoolean()
                    && index.path("revision").asText().equals(repository.revision());
        }
        if (repository.revision().equals(repository.hub().defaultRevision())) {
            return true; // the client takes the latest release for it, under whatever name
        }
        try {
            Path version = place.resolve(VERSION_OF_CLIENT);
            String text =
                    Files.isRegularFile(version) ? Files.readString(version).strip() : "";
            return text.equals(repository.revision()) || text.startsWith("Revision:" + repository.revision() + ",");
        } catch (IOException e) {
            return false;
        }
    }

    /** The hashes of the files that a download has put into the folder, by path. */
    Map<String, String> hashes(Path place) {
        Map<String, String> hashes = new TreeMap<>();
        ObjectNode index = index(place);
        if (index != null) {
            index.path("files")
                    .properties()
                    .forEach(
                            entry -> hashes.put(entry.getKey(), entry.getValue().asText()));
        }
        return hashes;
    }

    /** Whether the folder is as its index says: not while files are being replaced. */
    boolean isSettled(Path place) {
        ObjectNode index = index(place);
        return index != null && index.path("complete").asBoolean();
    }

    private static @Nullable ObjectNode index(Path place) {
        try {
            return Files.isRegularFile(place.resolve(INDEX)) ? JsonFile.object(place.resolve(INDEX)) : null;
        } catch (FineTune4jException e) {
            return null;
        }
    }

    /** @param complete false while files are being replaced */
    void write(Path place, Map<String, String> hashes, boolean complete) {
        ObjectNode index = JsonNodeFactory.instance.objectNode();
        index.put("id", repository.id());
        index.put("revision", repository.revision());
        index.put("complete", complete);
        ObjectNode files = index.putObject("files");
        hashes.forEach(files::put);
        Disk.write(place.resolve(INDEX), index.toPrettyString() + "\n");
    }
}
