package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.Tensors;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** A norm as kernels take it: the fields of the struct in {@code norm.cuh}. */
final class CudaNorm {
    private static final int PLAIN = 0;
    private static final int FROM_ONE = 1;
    private static final int CENTERED = 2;

    private CudaNorm() {}

    /** Adds a norm without a bias to the arguments of a launch; null for none. */
    static void add(List<@Nullable Object> arguments, @Nullable NormSpec norm) {
        if (norm == null) {
            arguments.addAll(Arrays.asList(null, 0, 0, 0f));
            return;
        }
        if (norm.bias() != null) {
            throw new IllegalArgumentException("the kernels know no bias of a norm");
        }
        arguments.add(norm.weight());
        arguments.add(Tensors.typeOf(norm.weight()) == ScalarType.Float ? 1 : 0);
        arguments.add(norm.unitOffset() ? FROM_ONE : norm.centered() ? CENTERED : PLAIN);
        arguments.add((float) norm.epsilon());
    }
}
