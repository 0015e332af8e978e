package dev.finetune4j.core.nn;

import dev.finetune4j.core.kernel.AdjacentTensors;
import dev.finetune4j.core.kernel.NormSpec;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;

/** The norm of the heads of queries or of keys: one module, or one for each head. */
public final class HeadNorm implements AutoCloseable {
    private final List<Named<RmsNorm>> norms;
    /** The weights of all heads behind one another, shape (heads, head size), as they lay when they were read; null with one module. */
    private final @Nullable Tensor together;

    private HeadNorm(List<Named<RmsNorm>> norms, @Nullable Tensor together) {
        this.norms = List.copyOf(norms);
        this.together = together;
    }

    /** One module. */
    public static HeadNorm of(Named<RmsNorm> norm) {
        return new HeadNorm(List.of(norm), null);
    }

    /**
     * One module for each head, whose weights are moved behind one another.
     *
     * @param norms in order, alike but for their weights of shape (head size), without biases
     */
    public static HeadNorm ofEach(List<Named<RmsNorm>> norms) {
        if (norms.size() == 1) {
            return of(norms.get(0));
        }
        try (TensorScope scope = new TensorScope()) {
            AdjacentTensors.gather(
                    norms.stream().map(norm -> norm.module().weight()).toList());
            Tensor rows = view(norms).orElseThrow();
            return new HeadNorm(norms, scope.release(rows));
        }
    }

    /** The weights as the rows of one matrix, in the caller's scope; empty where they lie apart. */
    private static Optional<Tensor> view(List<Named<RmsNorm>> norms) {
        return AdjacentTensors.view(norms.stream()
                .map(norm -> norm.module().weight().detach().unsqueeze(0))
                .toList());
    }

    /** The modules, in the order of the heads where each has one. */
    public List<Named<RmsNorm>> norms() {
        return norms;
    }

    /**
     * The norm of all heads, with a weight of shape (heads, head size) where each has a module; that is in the caller's scope, and
     * libtorch takes its gradient apart.
     */
    RmsNorm module() {
        RmsNorm first = norms.get(0).module();
        if (norms.size() == 1) {
            return first;
        }
        Tensor[] weights = norms.stream().map(norm -> norm.module().weight()).toArray(Tensor[]::new);
        return first.with(torch.stack(new TensorVector(weights)), null);
    }

    /** What a kernel must know of it, without memory of its own; empty where the weights of the heads lie apart. */
    public Optional<NormSpec> spec() {
        RmsNorm first = norms.get(0).module();
        if (together == null) {
            return Optional.of(first.spec());
        }
        return liesTogether(together) ? Optional.of(first.with(together, null).spec()) : Optional.empty();
    }

    private boolean liesTogether(Tensor rows) {
        try (TensorScope scope = new TensorScope()) {
            Tensor found = view(norms).orElse(null);
            if (found == null) {
                return false;
            }
            try (Pointer here = found.data_ptr();
                    Pointer there = rows.data_ptr()) {
                return here.address() == there.address();
            }
        }
    }

    HeadNorm map(ModuleTransform transform) {
        return new HeadNorm(
                norms.stream().map(norm -> norm.map(transform::norm)).toList(), together);
    }

    void forEach(Consumer<Named<RmsNorm>> sink) {
        norms.forEach(sink);
    }

    /** Frees the norms. Closing twice is fine. */
    @Override
    public void close() {
        norms.forEach(norm -> norm.module().close());
        if (together != null) {
            together.close();
        }
    }
}
