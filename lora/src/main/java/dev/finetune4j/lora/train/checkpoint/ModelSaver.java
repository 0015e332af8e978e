package dev.finetune4j.lora.train.checkpoint;

import java.nio.file.Path;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;

/** Writes what is trained in the format that others read. */
@FunctionalInterface
public interface ModelSaver {
    /**
     * Takes down what is trained as it is now, called between two steps.
     *
     * @param values the parameters by name, copied or, if it is written at once, themselves; what else the training changes is
     *     copied here
     */
    Capture capture(Map<String, Tensor> values);

    /** What is to be written; by another thread, while the training goes on. */
    interface Capture extends AutoCloseable {
        /**
         * Writes it into a folder, all the way to the disk.
         *
         * @throws dev.finetune4j.core.FineTune4jException when that fails
         */
        void write(Path folder);

        /** Frees what was copied. */
        @Override
        void close();
    }
}
