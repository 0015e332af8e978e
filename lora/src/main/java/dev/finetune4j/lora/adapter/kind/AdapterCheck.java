package dev.finetune4j.lora.adapter.kind;

import dev.finetune4j.core.ModelFileException;
import dev.finetune4j.core.io.Dtype;
import dev.finetune4j.core.io.TensorInfo;
import dev.finetune4j.core.io.TensorProblems;
import dev.finetune4j.core.io.WeightSource;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;

/** Compares the tensors of an adapter's file with those that its settings and the base ask for. */
public final class AdapterCheck {
    private static final Set<Dtype> NUMBERS = EnumSet.of(Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16);

    private final Path file;
    private final WeightSource weights;
    private final Set<String> unread;
    private final Map<String, long[]> missing = new LinkedHashMap<>();
    private final TensorProblems problems = new TensorProblems();

    public AdapterCheck(Path file, WeightSource weights) {
        this.file = file;
        this.weights = weights;
        this.unread = new LinkedHashSet<>(weights.names());
    }

    /** A tensor that must be there. */
    public void tensor(String name, long[] shape) {
        if (!unread.remove(name)) {
            missing.put(name, shape);
            return;
        }
        TensorInfo info = weights.info(name);
        if (!Arrays.equals(info.shape(), shape)) {
            problems.misshapen(info, name, shape);
        }
        if (!NUMBERS.contains(info.dtype())) {
            problems.mistyped(name, "is of the type " + info.dtype() + "; an adapter's are one of " + NUMBERS);
        }
    }

    /**
     * Ends the comparison.
     *
     * @throws ModelFileException naming all differences, one cause in one line
     */
    public void finish() {
        problems.otherBeginning(
                missing, unread, "save the adapter anew with save_pretrained(…) of PEFT, or rename its tensors");
        missing.forEach(problems::missing);
        unread.forEach(name -> problems.unwanted(
                name,
                Arrays.toString(weights.info(name).shape()) + " belongs to no module that " + StoredAdapter.CONFIG
                        + " names"));
        if (!problems.lines().isEmpty()) {
            throw new ModelFileException(file + " does not fit this base model:\n  - "
                    + String.join("\n  - ", problems.lines())
                    + "\nLoad the adapter on the model that it was trained on.");
        }
    }
}
