package dev.finetune4j.core.kernel;

import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Optional;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;

/** Matrices of one width as one matrix: a view where they lie behind one another in memory, as an optimizer may keep them. */
public final class AdjacentTensors {
    private AdjacentTensors() {}

    /** The rows of all behind one another, in the caller's scope; a copy where they lie apart. */
    public static Tensor rows(List<Tensor> matrices) {
        return view(matrices).orElseGet(() -> torch.cat(new TensorVector(matrices.toArray(Tensor[]::new)), 0));
    }

    /** The same as a view, in the caller's scope; empty where they lie apart. */
    public static Optional<Tensor> view(List<Tensor> matrices) {
        Tensor first = matrices.get(0);
        if (matrices.size() == 1) {
            return Optional.of(first);
        }
        long rows = 0;
        for (Tensor matrix : matrices) {
            if (!matrix.is_contiguous() || !isBehind(first, rows, matrix)) {
                return Optional.empty();
            }
            rows += matrix.size(0);
        }
        long width = first.size(1);
        return Optional.of(first.detach().as_strided(new long[] {rows, width}, width, 1));
    }

    /** Moves the numbers of tensors of one type behind one another. The tensors keep their identity and become views. */
    public static void gather(List<Tensor> tensors) {
        try (TensorScope scope = new TensorScope()) {
            Tensor first = tensors.get(0);
            long size = tensors.stream().mapToLong(Tensor::numel).sum();
            Tensor all = Tensors.empty(Tensors.deviceOf(first), Tensors.typeOf(first), size);
            long offset = 0;
            for (Tensor tensor : tensors) {
                Tensor part = all.narrow(0, offset, tensor.numel()).view(tensor.shape());
                part.copy_(tensor.detach());
                tensor.set_data(part);
                offset += tensor.numel();
            }
        }
    }

    /** Whether a matrix begins so many rows behind another in the same memory. */
    private static boolean isBehind(Tensor first, long rows, Tensor matrix) {
        try (TensorScope scope = new TensorScope();
                Pointer begin = first.data_ptr();
                Pointer own = matrix.data_ptr()) {
            long offset = rows * first.size(1);
            return Tensors.typeOf(matrix) == Tensors.typeOf(first)
                    && matrix.storage_offset() - first.storage_offset() == offset
                    && own.address() - begin.address() == offset * first.element_size();
        }
    }
}
