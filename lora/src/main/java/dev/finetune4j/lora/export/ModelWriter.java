package dev.finetune4j.lora.export;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import java.nio.file.Path;

/** Writes a whole model in a file format. Immutable. */
public sealed interface ModelWriter permits HuggingFaceWriter {
    /** The number format in which it takes the tensors. */
    Precision precision();

    /**
     * Writes a model, one tensor in memory at a time.
     *
     * @param folder made if absent; a model or adapter of ours that is there is replaced as a whole, or stays when writing
     *     fails
     * @throws FineTune4jException when the folder cannot be written, or holds a model that is not ours to replace
     */
    void write(ModelContent model, Path folder);
}
