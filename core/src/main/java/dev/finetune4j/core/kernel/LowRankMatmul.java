package dev.finetune4j.core.kernel;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * The products of LoRA's factors, {@code s · B A}, of linears that share an input x (n, in), each with columns of its own of one
 * output y (n, outputs). Their low-rank products lie behind one another in the columns of {@code low} (n, ranks). Nothing records
 * gradients. Thread-safe.
 *
 * <p>With dropout a member has a mask M of the input: {@code low = s · (x ⊙ M) Aᵀ}, {@code dA = dlowᵀ (x ⊙ M)},
 * {@code dx = (dlow A) ⊙ M}.
 */
public interface LowRankMatmul {
    /**
     * The factors of one linear.
     *
     * @param a shape (r, in), of the type of x
     * @param b shape (out, r), of the type of x
     * @param gradA float32, of a's shape: what gradients are added to; null where nobody wants it
     * @param gradB float32, of b's shape, or null
     * @param column of y with which its outputs begin
     * @param scale s
     * @param mask of its input; null where nothing is dropped
     */
    record Factors(
            Tensor a,
            Tensor b,
            @Nullable Tensor gradA,
            @Nullable Tensor gradB,
            long column,
            double scale,
            @Nullable DropoutMask mask) {
        /** r. */
        public long rank() {
            return a.size(0);
        }

        /** Its columns of y or dy, (n, out). */
        Tensor outputsOf(Tensor y) {
            return y.narrow(1, column, b.size(0));
        }
    }

    /** The ranks of all members together. */
    static long ranks(List<Factors> members) {
        return members.stream().mapToLong(Factors::rank).sum();
    }

    /**
     * Compiles what members of a rank will need, in the background; does nothing where nothing is compiled.
     *
     * @param rank of each member
     * @param dropout whether they have masks
     */
    default void prepare(int rank, boolean dropout) {}

    /**
     * {@code low = s · (x ⊙ M) Aᵀ}.
     *
     * @param x shape (n, in)
     * @param low shape (n, ranks), contiguous
     */
    void down(Tensor x, List<Factors> members, Tensor low);

    /**
     * {@code y = low Bᵀ}, each member into its columns; others stay as they are.
     *
     * @param low shape (n, ranks), contiguous
     * @param y shape (n, outputs), contiguous
     */
    void up(Tensor low, List<Factors> members, Tensor y);

    /**
     * {@code dlow = s · dy B} and {@code dB += dyᵀ low}.
     *
     * @param dy shape (n, outputs)
     * @param low shape (n, ranks), contiguous
     * @param dlow shape (n, ranks), contiguous
     */
    void backwardUp(Tensor dy, Tensor low, List<Factors> members, Tensor dlow);

    /**
     * {@code dA += dlowᵀ (x ⊙ M)}.
     *
     * @param dlow shape (n, ranks), contiguous
     * @param x shape (n, in)
     */
    void addGradA(Tensor dlow, Tensor x, List<Factors> members);

    /**
     * {@code dx = (dlow A) ⊙ M}, the sum over all members, a new tensor.
     *
     * @param dlow shape (n, ranks), contiguous
     * @return shape (n, in)
     */
    Tensor inputGradient(Tensor dlow, List<Factors> members);
}
