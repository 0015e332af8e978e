package dev.finetune4j.core.kernel;

import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The products of several linears with the same vectors, on a GPU in one launch, and one more when an adapter adds to them: the narrow products
 * of all additions are made first, and the kernel of the weights adds the wide ones to its sums. Allocates nothing there.
 */
public final class FusedGemv {
    /** Threads of a block of the narrow products, and rows of x that it takes. */
    private static final int LOW_THREADS = 512;

    private static final int LOW_ROWS = 2;

    private final List<GemvWeight> weights;
    private final ScalarType type;
    private final int rank;

    private FusedGemv(List<GemvWeight> weights, ScalarType type) {
        this.weights = List.copyOf(weights);
        this.type = type;
        this.rank = weights.stream().mapToInt(FusedGemv::rank).sum();
    }

    private static int rank(GemvWeight weight) {
        return weight.addition() == null ? 0 : weight.addition().rank();
    }

    /**
     * The products of linears that share an input; null when they have no common kernel.
     *
     * @param linears their weights, at most {@link GemvKernel#MAX_WEIGHTS}; null for one that has no kernel
     * @param type of input and output
     */
    public static @Nullable FusedGemv of(List<@Nullable GemvWeight> linears, ScalarType type) {
        List<GemvWeight> weights = new ArrayList<>();
        for (GemvWeight weight : linears) {
            if (weight == null) {
                return null;
            }
            weights.add(weight);
        }
        GemvKernel kernel = weights.get(0).kernel();
        if (!weights.stream().allMatch(weight -> weight.kernel().equals(kernel))) {
            return null;
        }
        return new FusedGemv(weights, type);
    }

    /** Numbers of a row of the products. */
    public int out() {
        return weights.stream().mapToInt(GemvWeight::out).sum();
    }

    /** Numbers of a row of the narrow products; 0 without additions. */
    public int rank() {
        return rank;
    }

    /**
     * {@code y = x Wᵀ + b} of all linears, side by side.
     *
     * @param x shape (rows, in), contiguous
     * @param rows at most {@link GemvKernel#MAX_ROWS}
     * @param low working memory, float32, at least rows · {@link #rank()} numbers
     * @param y shape (rows, {@link #out()}), contiguous
     * @param add whether the products are added to what y holds
     */
    public void run(Tensor x, int rows, Tensor low, Tensor y, boolean add) {
        narrow(x, rows, low);
        weights.get(0).kernel().launch(x, rows, weights, low, y, add);
    }

    /**
     * {@code y = silu(first) · second} of two linears.
     *
     * @param y shape (rows, out of each), contiguous
     */
    public void runGated(Tensor x, int rows, Tensor low, Tensor y) {
        narrow(x, rows, low);
        weights.get(0).kernel().launchGated(x, rows, weights.get(0), weights.get(1), low, y);
    }

    private void narrow(Tensor x, int rows, Tensor low) {
        if (rank == 0) {
            return;
        }
        if (!x.is_cuda()) {
            CpuGemvKernel.narrow(x, weights, low);
            return;
        }
        List<@Nullable Object> arguments =
                new ArrayList<>(List.of(x, low, rows, weights.get(0).in()));
        for (int i = 0; i < GemvKernel.MAX_WEIGHTS; i++) {
            GemvWeight.LowRank addition = i < weights.size() ? weights.get(i).addition() : null;
            arguments.add(addition == null ? null : addition.a());
            arguments.add(addition == null ? 0f : addition.scale());
            arguments.add(addition == null ? 0 : addition.rank());
        }
        CudaModule.of(FusedGemv.class, "gemv.cu", Tensors.deviceOf(x))
                .kernel(type == ScalarType.Float ? "low_rank_f32" : "low_rank_bf16")
                .launch((long) rank * ((rows + LOW_ROWS - 1) / LOW_ROWS), LOW_THREADS, arguments.toArray());
    }
}
