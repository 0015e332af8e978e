package dev.finetune4j.core.model;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.ModelFiles;
import dev.finetune4j.core.io.WeightSource;
import java.util.Set;

/**
 * Whether the projection to the vocabulary shares the embedding's weight, by what the files hold: {@code
 * tie_word_embeddings} of config.json is often wrong. Two tensors with different numbers are two; one tensor serves both.
 */
final class HeadWeight {
    private static final String EMBEDDING = "model.embed_tokens.weight";
    private static final String HEAD = ModuleNames.OUTPUT_HEAD + ".weight";

    private HeadWeight() {}

    /** The configuration with what the weights say about the head. */
    static ModelConfig decide(ModelConfig config, WeightSource weights) {
        Set<String> names = weights.names();
        boolean announced = config.projections().tiedHead();
        if (names.contains(EMBEDDING) && names.contains(HEAD)) {
            return config.withTiedHead(announced && weights.areEqual(EMBEDDING, HEAD));
        }
        return config.withTiedHead(announced || names.contains(EMBEDDING));
    }

    /** The same with the weights of a folder; without any, config.json alone decides. */
    static ModelConfig decide(ModelConfig config, ModelFiles directory) {
        if (!directory.hasWeights()) {
            return config;
        }
        try (WeightSource weights = directory.weights()) {
            return decide(config, weights);
        } catch (ModelFileException e) {
            return config; // loading says what is wrong with them
        }
    }
}
