package dev.finetune4j.core.kernel;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The products of several linears with the same vectors, on a GPU in one launch, and one more when an adapter adds to them: the
 * down projections of all additions are made first, and the kernel of the weights adds the up projections to its sums. Allocates
 * nothing there.
 */
public final class FusedGemv implements RowProducts {
    /** Weights whose forms are those of one kernel. */
    private record Group<W>(GemvKernel<W> kernel, List<GemvWeight<W>> weights) {
        static <W> @Nullable Group<W> of(GemvWeight<W> first, List<GemvWeight<?>> all) {
            List<GemvWeight<W>> weights = new ArrayList<>();
            for (GemvWeight<?> weight : all) {
                if (!weight.kernel().equals(first.kernel())) {
                    return null;
                }
                weights.add(ofSameKernel(weight));
            }
            return new Group<>(first.kernel(), weights);
        }

        @SuppressWarnings("unchecked") // Equal kernels take weights of one form.
        private static <W> GemvWeight<W> ofSameKernel(GemvWeight<?> weight) {
            return (GemvWeight<W>) weight;
        }

        void launch(Tensor x, int rows, Tensor low, Tensor y, boolean add) {
            kernel.launch(x, rows, weights, low, y, add);
        }

        void launchGated(Tensor x, int rows, Activation activation, Tensor low, Tensor y) {
            kernel.launchGated(x, rows, activation, weights.get(0), weights.get(1), low, y);
        }

        void launchLowRank(Tensor x, int rows, Tensor low) {
            kernel.launchLowRank(x, rows, weights, low);
        }

        boolean launchLowRankOfNorm(Tensor x, int rows, NormSpec norm, Tensor y, Tensor low) {
            return kernel.launchLowRankOfNorm(x, rows, norm, y, weights, low);
        }

        boolean takesNorm(int rows, NormSpec norm) {
            return kernel.takesNorm(rows, weights.get(0).in(), norm);
        }

        void launchOfNorm(Tensor x, int rows, NormSpec norm, Tensor y) {
            kernel.launchOfNorm(x, rows, norm, weights, y);
        }

        void launchGatedOfNorm(Tensor x, int rows, NormSpec norm, Activation activation, Tensor y) {
            kernel.launchGatedOfNorm(x, rows, norm, activation, weights.get(0), weights.get(1), y);
        }

        int maxRows() {
            return kernel.maxRows();
        }

        int out() {
            return weights.stream().mapToInt(GemvWeight::out).sum();
        }

        int rank() {
            return weights.stream().mapToInt(GemvWeight::rank).sum();
        }
    }

    private final Group<?> group;
    private final int rank;

    private FusedGemv(Group<?> group) {
        this.group = group;
        this.rank = group.rank();
    }

    /**
     * The products of linears that share an input; null when they have no common kernel.
     *
     * @param linears their weights, at most {@link GemvKernel#MAX_WEIGHTS}; null for one that has no kernel
     */
    public static @Nullable FusedGemv of(List<@Nullable GemvWeight<?>> linears) {
        List<GemvWeight<?>> weights = new ArrayList<>();
        for (GemvWeight<?> weight : linears) {
            if (weight == null) {
                return null;
            }
            weights.add(weight);
        }
        Group<?> group = Group.of(weights.get(0), weights);
        return group == null ? null : new FusedGemv(group);
    }

    @Override
    public int out() {
        return group.out();
    }

    @Override
    public int maxRows() {
        return group.maxRows();
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int linears() {
        return group.weights().size();
    }

    /**
     * {@inheritDoc}
     *
     * @param rows at most {@link #maxRows}
     */
    @Override
    public void run(Tensor x, int rows, Tensor low, Tensor y, boolean add) {
        lowRank(x, rows, low);
        runBehind(x, rows, low, y, add);
    }

    /**
     * {@code y = act(first) · second} of two linears.
     *
     * @param y shape (rows, out of each), contiguous
     */
    public void runGated(Tensor x, int rows, Activation activation, Tensor low, Tensor y) {
        lowRank(x, rows, low);
        runGatedBehind(x, rows, activation, low, y);
    }

    @Override
    public void lowRank(Tensor x, int rows, Tensor low) {
        if (rank > 0) {
            group.launchLowRank(x, rows, low);
        }
    }

    @Override
    public boolean lowRankOfNorm(Tensor x, int rows, NormSpec norm, Tensor y, Tensor low) {
        return rank > 0 && group.launchLowRankOfNorm(x, rows, norm, y, low);
    }

    @Override
    public void runBehind(Tensor x, int rows, Tensor low, Tensor y, boolean add) {
        group.launch(x, rows, low, y, add);
    }

    @Override
    public void runGatedBehind(Tensor x, int rows, Activation activation, Tensor low, Tensor y) {
        group.launchGated(x, rows, activation, low, y);
    }

    @Override
    public boolean takesNorm(int rows, NormSpec norm) {
        return rank == 0 && group.takesNorm(rows, norm);
    }

    @Override
    public void runOfNorm(Tensor x, int rows, NormSpec norm, Tensor y) {
        group.launchOfNorm(x, rows, norm, y);
    }

    @Override
    public void runGatedOfNorm(Tensor x, int rows, NormSpec norm, Activation activation, Tensor y) {
        group.launchGatedOfNorm(x, rows, norm, activation, y);
    }
}
