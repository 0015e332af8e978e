package dev.finetune4j.core.hub;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The files of a repository that a model needs: settings, tokenizer, chat templates and weights in safetensors form. */
final class FileSelection {
    private static final Set<String> SMALL = Set.of(
            ModelFolder.CONFIG,
            "generation_config.json",
            ModelFolder.TOKENIZER,
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "tokenizer.model",
            "vocab.json",
            "merges.txt",
            "chat_template.jinja",
            "chat_template.json");

    /** How much of a model is needed. */
    enum Extent {
        SETTINGS,
        ALL;

        /** Whether a folder has it. */
        boolean isIn(Path folder) {
            return this == ALL ? ModelFolder.isComplete(folder) : ModelFolder.hasSettings(folder);
        }
    }

    private static final String TEMPLATES = "additional_chat_templates/[^/]+\\.jinja";

    private final Repository repository;
    private final Map<String, RepoFile> files = new LinkedHashMap<>();

    FileSelection(Repository repository, Listing listing) {
        this.repository = repository;
        listing.files().forEach(file -> files.put(file.path(), file));
    }

    /** @throws HubException when there is no model in the repository, or none that can be used, saying what there is instead */
    void check() {
        if (!has(ModelFolder.CONFIG)) {
            throw unusable(
                    has("adapter_config.json")
                            ? "is an adapter, not a model; give the model that it was trained on, and load this with loadAdapter(folder)"
                            : any(".*\\.gguf")
                                    ? "has GGUF files and no config.json; use the repository that they were made from"
                                    : "has no config.json, so it holds no model of transformers; see how its id is spelled");
        }
        if (!has(ModelFolder.WEIGHTS) && !has(ModelFolder.INDEX)) {
            throw unusable(
                    any("(.*/)?(pytorch_model|consolidated).*\\.(bin|pth|pt)")
                            ? "has weights in PyTorch's pickle form only, which can run code when they are read and are not fetched;"
                                    + " name a revision with safetensors, or convert them once in Python with"
                                    + " AutoModelForCausalLM.from_pretrained(id).save_pretrained(folder)"
                            : "has no " + ModelFolder.WEIGHTS + " and no " + ModelFolder.INDEX
                                    + "; use a repository with weights in safetensors form");
        }
        if (!has(ModelFolder.TOKENIZER)) {
            throw unusable(
                    "has no " + ModelFolder.TOKENIZER
                            + ", which this library reads; make it once in Python with"
                            + " AutoTokenizer.from_pretrained(id, use_fast=True).save_pretrained(folder), and give a folder that has all");
        }
    }

    private HubException unusable(String why) {
        return new HubException(HubException.Reason.UNUSABLE, repository + " " + why);
    }

    /** The index of the weights, which says what else is needed; empty where one file holds them, which wins as in transformers. */
    Optional<RepoFile> index() {
        return has(ModelFolder.WEIGHTS) ? Optional.empty() : Optional.ofNullable(files.get(ModelFolder.INDEX));
    }

    /** All files but those of the weights. */
    List<RepoFile> settings() {
        return files.values().stream()
                .filter(file -> SMALL.contains(file.path()) || file.path().matches(TEMPLATES))
                .toList();
    }

    /**
     * All files that are needed. The index comes behind the weights, so that it stands for them where files are published in turn.
     *
     * @param index the index of the weights as it came; null where there is none
     */
    List<RepoFile> needed(@Nullable Path index) {
        List<RepoFile> needed = new ArrayList<>(settings());
        if (index == null) {
            needed.add(file(ModelFolder.WEIGHTS));
        } else {
            ModelFolder.shards(index).forEach(shard -> needed.add(file(shard)));
            needed.add(file(ModelFolder.INDEX));
        }
        return needed;
    }

    private RepoFile file(String path) {
        RepoFile file = files.get(path);
        if (file == null) {
            throw unusable("has no " + path + ", which its " + ModelFolder.INDEX
                    + " names; the upload may be incomplete: try another revision");
        }
        return file;
    }

    private boolean has(String path) {
        return files.containsKey(path);
    }

    private boolean any(String pattern) {
        return files.keySet().stream().anyMatch(path -> path.matches(pattern));
    }
}
