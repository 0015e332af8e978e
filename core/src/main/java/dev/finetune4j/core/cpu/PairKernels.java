package dev.finetune4j.core.cpu;

import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Products of dense bfloat16 matrices of which one side is narrow, at a level that multiplies pairs of such numbers. The
 * numbers of a row lie side by side; rows may have gaps between them. Thread-safe.
 */
public final class PairKernels {
    private final CpuLevel level;

    PairKernels(CpuLevel level) {
        this.level = level;
    }

    /** Whether a tensor is a matrix that the kernels take, with an even number of columns. */
    public static boolean serves(Tensor matrix) {
        return isMatrix(matrix, ScalarType.BFloat16) && matrix.size(1) % 2 == 0;
    }

    private static boolean isMatrix(Tensor matrix, ScalarType type) {
        return !matrix.is_cuda()
                && matrix.dim() == 2
                && Tensors.typeOf(matrix) == type
                && (matrix.size(1) <= 1 || matrix.stride(1) == 1)
                && (matrix.size(0) <= 1 || matrix.stride(0) >= matrix.size(1));
    }

    private static void require(boolean fits, Tensor a, Tensor b, Tensor c) {
        if (!fits
                || !isMatrix(a, ScalarType.BFloat16)
                || !isMatrix(b, ScalarType.BFloat16)
                || (!isMatrix(c, ScalarType.BFloat16) && !isMatrix(c, ScalarType.Float))) {
            throw new IllegalArgumentException("no product of (" + a.size(0) + ", " + a.size(1) + ") and (" + b.size(0)
                    + ", " + b.size(1) + ") for (" + c.size(0) + ", " + c.size(1) + ") in " + Tensors.typeOf(a) + ", "
                    + Tensors.typeOf(b) + " and " + Tensors.typeOf(c));
        }
    }

    /**
     * {@code c = scale · a bᵀ}.
     *
     * @param a shape (n, k), k even
     * @param b shape (m, k)
     * @param c shape (n, m)
     */
    public void rowsByRows(Tensor a, Tensor b, Tensor c, float scale) {
        multiply(CpuNative::cpu_rows_by_rows, a, b, b.size(1), b.size(0), c, scale);
    }

    /**
     * {@code c = scale · a b}.
     *
     * @param a shape (n, k), k even
     * @param b shape (k, m)
     * @param c shape (n, m)
     */
    public void rowsByColumns(Tensor a, Tensor b, Tensor c, float scale) {
        multiply(CpuNative::cpu_rows_by_columns, a, b, b.size(0), b.size(1), c, scale);
    }

    /** A native product as {@link CpuNative} has them. */
    @FunctionalInterface
    private interface Product {
        void run(
                int level,
                int threads,
                long a,
                long aStride,
                long b,
                long bStride,
                long c,
                long cStride,
                long rows,
                long columns,
                long depth,
                float scale);
    }

    private void multiply(Product product, Tensor a, Tensor b, long depth, long columns, Tensor c, float scale) {
        boolean fits = a.size(1) == depth
                && c.size(0) == a.size(0)
                && c.size(1) == columns
                && depth % 2 == 0
                && Tensors.typeOf(c) == ScalarType.BFloat16;
        require(fits, a, b, c);
        product.run(
                level.number,
                TorchRuntime.elementThreads(),
                CpuCodes.address(a),
                a.stride(0),
                CpuCodes.address(b),
                b.stride(0),
                CpuCodes.address(c),
                c.stride(0),
                c.size(0),
                columns,
                depth,
                scale);
    }

    /**
     * {@code c += aᵀ b}, or {@code c += bᵀ a}, in float32.
     *
     * @param a shape (k, n), the narrow one
     * @param b shape (k, m)
     * @param c float32, shape (n, m), or (m, n) when turned
     */
    public void addColumnsByColumns(Tensor a, Tensor b, Tensor c, boolean turned) {
        long rows = a.size(1);
        long columns = b.size(1);
        boolean fits = a.size(0) == b.size(0)
                && c.size(0) == (turned ? columns : rows)
                && c.size(1) == (turned ? rows : columns)
                && Tensors.typeOf(c) == ScalarType.Float;
        require(fits, a, b, c);
        CpuNative.cpu_add_columns_by_columns(
                level.number,
                TorchRuntime.elementThreads(),
                CpuCodes.address(a),
                a.stride(0),
                CpuCodes.address(b),
                b.stride(0),
                CpuCodes.address(c),
                c.stride(0),
                rows,
                columns,
                a.size(0),
                turned);
    }
}
