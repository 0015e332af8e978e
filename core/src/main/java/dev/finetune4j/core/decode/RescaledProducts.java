package dev.finetune4j.core.decode;

import dev.finetune4j.core.kernel.FusedGemv;
import dev.finetune4j.core.kernel.RowProducts;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.TensorScope;
import java.util.List;
import java.util.Objects;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The products of linears whose inputs or outputs an adapter rescales, side by side. The input, which nobody needs any more, is
 * rescaled where it lies. Allocates nothing.
 *
 * @param products of the linears without that
 */
record RescaledProducts(FusedGemv products, List<Linear> linearsInOrder, ScalarType type) implements RowProducts {
    private Linear.Rescaled form(Linear linear) {
        return Objects.requireNonNull(linear.rescaled(type));
    }

    @Override
    public int out() {
        return products.out();
    }

    @Override
    public int maxRows() {
        return products.maxRows();
    }

    @Override
    public int rank() {
        return products.rank();
    }

    @Override
    public boolean adds() {
        return false;
    }

    @Override
    public void refresh() {
        try (TensorScope scope = new TensorScope()) {
            linearsInOrder.forEach(this::form);
        }
    }

    @Override
    public void lowRank(Tensor x, int rows, Tensor low) {
        try (TensorScope scope = new TensorScope()) {
            Tensor input = form(linearsInOrder.get(0)).input();
            if (input != null) {
                x.mul_(input);
            }
        }
        products.lowRank(x, rows, low);
    }

    @Override
    public void runBehind(Tensor x, int rows, Tensor low, Tensor y, boolean add) {
        if (add) {
            throw new IllegalStateException("rescaled products are not added to others");
        }
        products.runBehind(x, rows, low, y, false);
        long column = 0;
        for (Linear linear : linearsInOrder) {
            try (TensorScope scope = new TensorScope()) {
                Linear.Rescaled form = form(linear);
                Tensor part = y.narrow(1, column, linear.outFeatures()); // (rows, out)
                if (form.output() != null) {
                    part.mul_(form.output());
                }
                if (form.bias() != null) {
                    part.add_(form.bias());
                }
            }
            column += linear.outFeatures();
        }
    }
}
