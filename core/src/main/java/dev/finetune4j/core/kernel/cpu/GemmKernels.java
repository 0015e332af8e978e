package dev.finetune4j.core.kernel.cpu;

import dev.finetune4j.core.tensor.Tensors;
import dev.finetune4j.core.tensor.TorchRuntime;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * Products of dense matrices in float32 and bfloat16 at one level. The numbers of a row lie side by side; rows may have gaps
 * between them. Sums are float32 and rounded once; each is made in one order, however many threads there are. Thread-safe.
 */
public final class GemmKernels {
    private final CpuLevel level;

    GemmKernels(CpuLevel level) {
        this.level = level;
    }

    /** Whether a tensor is a matrix that the kernels take. */
    public static boolean supports(Tensor matrix) {
        return ElementKernels.supports(Tensors.typeOf(matrix)) && isMatrix(matrix, Tensors.typeOf(matrix));
    }

    /** Whether it is a matrix whose rows are contiguous and do not overlap. */
    static boolean isMatrix(Tensor matrix, ScalarType type) {
        return matrix.dim() == 2
                && Tensors.typeOf(matrix) == type
                && (matrix.size(1) <= 1 || matrix.stride(1) == 1)
                && (matrix.size(0) <= 1 || matrix.stride(0) >= matrix.size(1));
    }

    private static boolean areMatrices(Tensor a, Tensor b, Tensor c) {
        return a.dim() == 2 && b.dim() == 2 && c.dim() == 2;
    }

    private static void require(boolean fits, Tensor a, Tensor b, Tensor c) {
        ScalarType type = Tensors.typeOf(a);
        if (!fits || !supports(a) || !isMatrix(b, type) || !supports(c)) {
            throw new IllegalArgumentException("no product of " + text(a) + " and " + text(b) + " for " + text(c));
        }
    }

    /** Where a matrix begins; one without numbers begins nowhere. */
    private static long address(Tensor matrix) {
        return matrix.numel() == 0 ? 0 : FourBitWeight.address(matrix);
    }

    private static String text(Tensor x) {
        StringBuilder shape = new StringBuilder();
        for (int i = 0; i < x.dim(); i++) {
            shape.append(i == 0 ? "(" : ", ").append(x.size(i));
        }
        return shape + ") in " + Tensors.typeOf(x);
    }

    /**
     * {@code c = scale · a bᵀ + bias}, or that added to c.
     *
     * @param a shape (n, k)
     * @param b shape (m, k), of the type of a
     * @param bias shape (m), of the type of a; null for none
     * @param c shape (n, m), of the type of a; may not overlap with a or b
     */
    public void gemmNT(Tensor a, Tensor b, @Nullable Tensor bias, Tensor c, float scale, boolean add) {
        boolean fits = areMatrices(a, b, c)
                && a.size(1) == b.size(1)
                && c.size(0) == a.size(0)
                && c.size(1) == b.size(0)
                && Tensors.typeOf(c) == Tensors.typeOf(a);
        require(fits, a, b, c);
        CpuNative.cpu_gemm_nt(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(Tensors.typeOf(a)),
                address(a),
                a.stride(0),
                address(b),
                b.stride(0),
                bias == null ? 0 : FourBitWeight.address("bias", bias, Tensors.typeOf(a), b.size(0)),
                address(c),
                c.stride(0),
                c.size(0),
                c.size(1),
                a.size(1),
                scale,
                add);
    }

    /**
     * {@code c = scale · a b}, or that added to c.
     *
     * @param a shape (n, k)
     * @param b shape (k, m), of the type of a
     * @param c shape (n, m), of the type of a; may not overlap with a or b
     */
    public void gemmNN(Tensor a, Tensor b, Tensor c, float scale, boolean add) {
        boolean fits = areMatrices(a, b, c)
                && a.size(1) == b.size(0)
                && c.size(0) == a.size(0)
                && c.size(1) == b.size(1)
                && Tensors.typeOf(c) == Tensors.typeOf(a);
        require(fits, a, b, c);
        CpuNative.cpu_gemm_nn(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(Tensors.typeOf(a)),
                address(a),
                a.stride(0),
                address(b),
                b.stride(0),
                address(c),
                c.stride(0),
                c.size(0),
                c.size(1),
                a.size(1),
                scale,
                add);
    }

    /**
     * {@code c += aᵀ b}, in float32.
     *
     * @param a shape (k, n)
     * @param b shape (k, m), of the type of a
     * @param c float32, shape (n, m); may not overlap with a or b
     */
    public void gemmTN(Tensor a, Tensor b, Tensor c) {
        boolean fits = areMatrices(a, b, c)
                && a.size(0) == b.size(0)
                && c.size(0) == a.size(1)
                && c.size(1) == b.size(1)
                && Tensors.typeOf(c) == ScalarType.Float;
        require(fits, a, b, c);
        // The narrow side is the left one, which the kernel copies.
        boolean transposed = a.size(1) > b.size(1);
        Tensor left = transposed ? b : a;
        Tensor right = transposed ? a : b;
        CpuNative.cpu_gemm_tn(
                level.number,
                TorchRuntime.threads(),
                ElementKernels.number(Tensors.typeOf(a)),
                address(left),
                left.stride(0),
                address(right),
                right.stride(0),
                address(c),
                c.stride(0),
                left.size(1),
                right.size(1),
                a.size(0),
                transposed);
    }
}
