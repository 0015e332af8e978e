package dev.finetune4j.core.model;

import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.io.WeightSource;
import dev.finetune4j.core.nn.LinearSpec;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A pretrained model's folder, opened: its files, and what its config.json means, which is read here and nowhere else.
 *
 * <p>Immutable and thread-safe. Nothing stays open; a config.json that is replaced later does not change what this says.
 */
public final class PretrainedFolder {
    private final ModelFiles files;
    private final ModelConfig declared;
    private final ModelConfig config;
    private final Set<String> ignoredKeys;

    private PretrainedFolder(ModelFiles files, ModelConfig declared, ModelConfig config, Set<String> ignoredKeys) {
        this.files = files;
        this.declared = declared;
        this.config = config;
        this.ignoredKeys = ignoredKeys;
    }

    /**
     * Opens a folder: reads config.json and, where there are weights, from them whether the head shares the embedding's.
     *
     * @throws dev.finetune4j.core.ModelFileException when the folder is none of a model, when one of its JSON files cannot be
     *     understood, or when the model type or a value in config.json is not supported
     */
    public static PretrainedFolder open(Path folder) {
        ModelFiles files = ModelFiles.open(folder);
        ConfigReader reader = new ConfigReader(folder.resolve("config.json"), files.config());
        ModelConfig declared = ModelFamily.readConfig(reader);
        return new PretrainedFolder(files, declared, HeadWeight.decide(declared, files), reader.passedOver());
    }

    /** The files, as they lie in the folder. */
    public ModelFiles files() {
        return files;
    }

    /** The folder, as it was given. */
    public Path path() {
        return files.folder();
    }

    /** The numbers that define the model. */
    public ModelConfig config() {
        return config;
    }

    /** The module paths of all parts that the model will have. */
    public ModuleNames moduleNames() {
        return new ModelBuilder(config).weightSpecs().moduleNames();
    }

    /** The shapes of all projections that the weights hold, by module path; a head that shares the embedding is not there. */
    public Map<String, LinearSpec> linearSpecs() {
        return Collections.unmodifiableMap(
                new ModelBuilder(config).weightSpecs().linears());
    }

    /** The module paths of the routers, which choose the experts of tokens. */
    public List<String> routers() {
        String router = ".gate.weight";
        return new ModelBuilder(config)
                .weightSpecs().tensors().keySet().stream()
                        .filter(name -> name.endsWith(router))
                        .map(name -> name.substring(0, name.length() - ".weight".length()))
                        .toList();
    }

    /** The module paths of the norms that have a bias. */
    public Set<String> biasedNorms() {
        return new ModelBuilder(config).weightSpecs().biasedNorms();
    }

    /** What config.json says, before the weights were asked about the head. */
    ModelConfig declared() {
        return declared;
    }

    /** The configuration of a model with this config.json whose weights come from elsewhere. */
    ModelConfig configWith(WeightSource weights) {
        return HeadWeight.decide(declared, weights);
    }

    /** The keys of config.json that have no part in the numbers, in alphabetical order. */
    Set<String> ignoredKeys() {
        return ignoredKeys;
    }
}
