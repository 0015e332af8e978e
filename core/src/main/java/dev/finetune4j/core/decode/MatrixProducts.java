package dev.finetune4j.core.decode;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.DeviceKernels;
import dev.finetune4j.core.kernel.MatmulKernels;
import dev.finetune4j.core.kernel.RowProducts;
import dev.finetune4j.core.nn.DenseLinear;
import dev.finetune4j.core.nn.Linear;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The products of any number of rows by GEMM, side by side. A linear of another form is computed by its own forward pass, which
 * unpacks its weight each time, unless it is {@link #keepDense kept dense}.
 */
final class MatrixProducts implements RowProducts, AutoCloseable {
    private final List<Linear> linears;
    private final ComputeDevice device;
    private final ScalarType type;
    private final int out;
    /** The weights behind one another, (out, in); null while they are not kept. */
    private @Nullable Tensor dense;
    /** The part of each linear; empty while they are not kept. */
    private final Map<Linear, Tensor> parts = new LinkedHashMap<>();
    /** The biases behind one another, (out); null for none. */
    private @Nullable Tensor bias;

    /** @param linears of one input; borrowed */
    MatrixProducts(List<Linear> linears, ComputeDevice device, ScalarType type) {
        this.linears = linears;
        this.device = device;
        this.type = type;
        this.out =
                Math.toIntExact(linears.stream().mapToLong(Linear::outFeatures).sum());
    }

    /** Bytes that {@link #keepDense} takes; 0 where the weights are dense already. */
    long denseBytes() {
        return isDense() ? 0 : (long) out * linears.get(0).inFeatures() * (type == ScalarType.Float ? 4 : 2);
    }

    private boolean isDense() {
        return linears.stream().allMatch(linear -> weight(linear) != null);
    }

    /** The weight of a linear that is dense and of the type already. */
    private @Nullable Tensor weight(Linear linear) {
        Tensor weight = linear instanceof DenseLinear ? linear.parameters().get("weight") : null;
        return weight != null && Tensors.typeOf(weight) == type ? weight : null;
    }

    /** Unpacks the weights once, into memory of their own. */
    void keepDense() {
        if (dense != null || isDense()) {
            return;
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor all = Tensors.empty(device, type, out, linears.get(0).inFeatures());
            long row = 0;
            for (Linear linear : linears) {
                try (TensorScope turn = new TensorScope()) {
                    all.narrow(0, row, linear.outFeatures()).copy_(linear.denseWeight());
                }
                row += linear.outFeatures();
            }
            if (linears.stream().anyMatch(linear -> linear.bias() != null)) {
                bias = scope.release(biases());
            }
            dense = scope.release(all);
            row = 0;
            for (Linear linear : linears) {
                parts.put(linear, scope.release(dense.narrow(0, row, linear.outFeatures())));
                row += linear.outFeatures();
            }
        }
    }

    /** The weights that are kept, (out, in), by linear. */
    Map<Linear, Tensor> kept() {
        return parts;
    }

    private Tensor biases() {
        TensorVector parts = new TensorVector();
        for (Linear linear : linears) {
            Tensor own = linear.bias();
            parts.push_back(own == null ? Tensors.zeros(device, type, linear.outFeatures()) : Tensors.as(own, type));
        }
        return torch.cat(parts, 0);
    }

    @Override
    public int out() {
        return out;
    }

    @Override
    public int rank() {
        return 0;
    }

    @Override
    public void lowRank(Tensor x, int rows, Tensor low) {
        // The products make their own.
    }

    @Override
    public void runBehind(Tensor x, int rows, Tensor low, Tensor y, boolean add) {
        try (TensorScope scope = new TensorScope()) {
            if (dense != null) {
                multiply(x, dense, bias, y, add);
                return;
            }
            long column = 0;
            for (Linear linear : linears) {
                Tensor part = linears.size() == 1 ? y : y.narrow(1, column, linear.outFeatures()); // (rows, out)
                Tensor weight = weight(linear);
                if (weight != null) {
                    multiply(x, weight, linear.bias(), part, add);
                } else if (add) {
                    part.add_(linear.forward(x));
                } else {
                    part.copy_(linear.forward(x));
                }
                column += linear.outFeatures();
            }
        }
    }

    private static void multiply(Tensor x, Tensor weight, @Nullable Tensor bias, Tensor y, boolean add) {
        MatmulKernels kernels = DeviceKernels.of(x).matmul();
        if (add) {
            kernels.addForward(y, x, weight);
        } else {
            kernels.gemmNT(x, weight, y);
        }
        if (bias != null) {
            y.add_(bias);
        }
    }

    @Override
    public void close() {
        parts.values().forEach(Tensor::close);
        parts.clear();
        if (dense != null) {
            dense.close();
            dense = null;
        }
        if (bias != null) {
            bias.close();
            bias = null;
        }
    }
}
