package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * GEMV of the chosen experts on the CPU, where the host knows which they are: the products of each, adapters included, with the rows
 * that have chosen it, so that the weights of an expert are read once for several rows.
 *
 * @param experts the products of each: gate and up, or down
 * @param type of input and output
 */
public record CpuExpertGemv(List<? extends RowProducts> experts, ScalarType type) implements ExpertGemv {
    /** What is to be done for some rows of an expert. */
    @FunctionalInterface
    private interface Work {
        /**
         * @param x shape (n, in), contiguous
         * @param y shape (n, out), contiguous
         * @param low room for the products with A
         */
        void run(RowProducts products, Tensor x, int rows, Tensor low, Tensor y);
    }

    /** The products have their additions already, and room for them is made as it is needed. */
    @Override
    public int rank() {
        return 0;
    }

    @Override
    public void launchGated(Tensor x, Tensor chosen, Activation activation, Tensor low, Tensor y) {
        forEachExpert(x, chosen, y, (products, rows, count, room, to) -> {
            products.lowRank(rows, count, room);
            products.runGatedBehind(rows, count, activation, room, to);
        });
    }

    @Override
    public void launchCombined(Tensor x, Choice choice, double factor, Tensor low, Tensor y, boolean add) {
        try (TensorScope scope = new TensorScope()) {
            long rows = y.size(0);
            Tensor made = Tensors.empty(ComputeDevice.cpu(), type, x.size(0), y.size(1));
            forEachExpert(
                    x,
                    choice.chosen(),
                    made,
                    (products, some, count, room, to) -> products.run(some, count, room, to, false));
            Tensor sum = Tensors.as(made, ScalarType.Float)
                    .mul_(choice.shares().view(-1, 1))
                    .view(rows, -1, y.size(1))
                    .sum(new long[] {1}, false, new ScalarTypeOptional());
            if (add) {
                y.add_(sum, new Scalar(factor));
            } else {
                y.copy_(sum.mul_(new Scalar(factor)));
            }
        }
    }

    /**
     * The products of all pairs of a row and an expert.
     *
     * @param x one row for each pair, or one for all of a row
     * @param y one row for each pair
     */
    private void forEachExpert(Tensor x, Tensor chosen, Tensor y, Work work) {
        long sharing = y.size(0) / x.size(0);
        pairs(chosen).forEach((expert, pairs) -> {
            for (int from = 0; from < pairs.size(); from += GemvKernel.MAX_ROWS) {
                List<Long> some = pairs.subList(from, Math.min(pairs.size(), from + GemvKernel.MAX_ROWS));
                try (TensorScope scope = new TensorScope()) {
                    run(experts.get(expert), x, some, sharing, y, work);
                }
            }
        });
    }

    /** The pairs of each expert that was chosen. */
    private static SortedMap<Integer, List<Long>> pairs(Tensor chosen) {
        SortedMap<Integer, List<Long>> pairs = new TreeMap<>();
        long[] all = Tensors.toLongs(chosen);
        for (int pair = 0; pair < all.length; pair++) {
            pairs.computeIfAbsent(Math.toIntExact(all[pair]), none -> new ArrayList<>())
                    .add((long) pair);
        }
        return pairs;
    }

    private static void run(RowProducts products, Tensor x, List<Long> pairs, long sharing, Tensor y, Work work) {
        int count = pairs.size();
        Tensor low = Tensors.empty(ComputeDevice.cpu(), ScalarType.Float, Math.max(1, (long) count * products.rank()));
        if (count == 1) {
            long pair = pairs.get(0);
            work.run(products, x.narrow(0, pair / sharing, 1), 1, low, y.narrow(0, pair, 1));
            return;
        }
        Tensor places = indices(pairs, 1);
        Tensor rows = x.index_select(0, indices(pairs, sharing)); // (n, in)
        Tensor made = Tensors.empty(ComputeDevice.cpu(), Tensors.typeOf(y), count, y.size(1));
        work.run(products, rows, count, low, made);
        y.index_copy_(0, places, made);
    }

    private static Tensor indices(List<Long> pairs, long divisor) {
        long[] indices = pairs.stream().mapToLong(pair -> pair / divisor).toArray();
        return Tensors.ofLongs(ComputeDevice.cpu(), indices, indices.length);
    }
}
