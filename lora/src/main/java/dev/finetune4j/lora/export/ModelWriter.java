package dev.finetune4j.lora.export;

import dev.finetune4j.core.FineTune4jException;
import dev.finetune4j.core.Precision;
import java.nio.file.Path;

/** Writes a whole model in a file format. Immutable. */
public interface ModelWriter {
    /** The number format in which it takes the tensors. */
    Precision precision();

    /**
     * Writes a model, one tensor in memory at a time.
     *
     * @param target a folder or a file, as the format has it; made if absent. A model or adapter of ours that is there is replaced as a
     *     whole, or stays when writing fails
     * @throws FineTune4jException when the target cannot be written, or holds a model that is not ours to replace
     */
    void write(ModelContent model, Path target);
}
