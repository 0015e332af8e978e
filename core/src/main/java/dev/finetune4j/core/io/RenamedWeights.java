package dev.finetune4j.core.io;

import dev.finetune4j.core.ModelFileException;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import org.bytedeco.pytorch.Tensor;

/** Weights under other names than those of their file. */
public final class RenamedWeights implements WeightSource {
    private final WeightSource weights;
    private final Map<String, String> inFile;

    /**
     * Gives tensors other names.
     *
     * @param weights closed with this
     * @param inFile the names there by the new ones; those that are not in it are not seen
     */
    public RenamedWeights(WeightSource weights, Map<String, String> inFile) {
        this.weights = weights;
        this.inFile = Collections.unmodifiableMap(inFile);
    }

    private String inFile(String name) {
        String there = inFile.get(name);
        if (there == null) {
            if (!weights.names().contains(name)) {
                weights.info(name); // says which files have no such tensor
            }
            throw new ModelFileException("there is no tensor " + name + " among the " + inFile.size()
                    + " of the weights; use the weights that belong to this config.json");
        }
        return there;
    }

    @Override
    public Set<String> names() {
        weights.names(); // tells when it is closed
        return inFile.keySet();
    }

    @Override
    public TensorInfo info(String name) {
        return weights.info(inFile(name));
    }

    @Override
    public Tensor read(String name) {
        return weights.read(inFile(name));
    }

    @Override
    public Tensor readRows(String name, long first, long count) {
        return weights.readRows(inFile(name), first, count);
    }

    @Override
    public boolean areEqual(String name, String other) {
        return weights.areEqual(inFile(name), inFile(other));
    }

    @Override
    public void close() {
        weights.close();
    }
}
