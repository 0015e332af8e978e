package dev.finetune4j.core.nn;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Objects;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * NEFTune (<a href="https://arxiv.org/abs/2310.05914">Jain et al. 2023</a>): noise on the embedded tokens while a model is trained, {@code
 * x + α / √(L · D) · ε} with ε uniform between -1 and 1, for sequences of L tokens of width D.
 *
 * <p>ε follows from the {@link Dropout.Draw} of the pass as masks of dropout do, from 16 of which its bits are taken: it is the same
 * on all devices, goes on from a checkpoint, and is drawn anew at each launch of a captured graph. Like dropout it acts only in
 * passes that record gradients.
 *
 * @param alpha α, above 0; 5 to 15 in the paper
 */
public record EmbeddingNoise(double alpha) {
    private static final int BITS = 16;
    /** Dropout numbers its places from 0. */
    private static final int FIRST_MODULE = -1;

    /**
     * Adds noise, where the pass in progress draws.
     *
     * @param x embedded tokens, (B, T, D)
     * @param sequences those of a packed row; null where each row is one sequence
     * @return of the shape and type of x
     */
    public Tensor apply(Tensor x, @Nullable PackedSequences sequences) {
        if (!Dropout.isActive()) {
            return x;
        }
        try (TensorScope scope = new TensorScope()) {
            Tensor noise;
            try (NoGradGuard off = new NoGradGuard()) {
                noise = Tensors.as(scaled(uniform(x), sequences), Tensors.typeOf(x));
            }
            return scope.keep(x.add(noise));
        }
    }

    /** Numbers between -1 and 1 of the shape of x, float32: the sum of ±2⁻ᵏ for k from 1 to 16. */
    private static Tensor uniform(Tensor x) {
        ComputeDevice device = Tensors.deviceOf(x);
        Tensor sum = Tensors.zeros(device, ScalarType.Float, x.shape());
        Tensor ones = sum.add(new Scalar(1));
        for (int bit = 1; bit <= BITS; bit++) {
            try (TensorScope scope = new TensorScope()) {
                // 0 or 2 with equal chances.
                Tensor mask = Objects.requireNonNull(Dropout.mask(0.5, FIRST_MODULE - bit))
                        .applyTo(ones);
                sum.add_(mask.sub_(new Scalar(1)), new Scalar(Math.pow(2, -bit)));
            }
        }
        return sum;
    }

    /** Times α / √(L · D), whose lengths in a packed row are read on the device, as captured graphs do. */
    private Tensor scaled(Tensor uniform, @Nullable PackedSequences sequences) {
        long width = uniform.size(2);
        return sequences == null
                ? uniform.mul_(new Scalar(alpha / Math.sqrt((double) uniform.size(1) * width)))
                : uniform.mul_(lengths(sequences)
                        .mul_(new Scalar(width))
                        .rsqrt_()
                        .mul_(new Scalar(alpha))
                        .view(1, -1, 1));
    }

    /** The length of the sequence of each token, float32, (T). */
    private static Tensor lengths(PackedSequences sequences) {
        Tensor starts = sequences.starts().to(ScalarType.Long);
        long count = starts.size(0) - 1;
        Tensor ends = starts.narrow(0, 1, count);
        // A sequence may begin with tokens of another one, so its length is told by the position of its last token.
        Tensor last = ends.sub(new Scalar(1)).clamp_min_(new Scalar(0));
        Tensor lengths = sequences.positions().index_select(0, last).add(new Scalar(1));
        Tensor places = torch.ones_like(sequences.positions()).cumsum(0).sub_(new Scalar(1));
        // How many sequences end at or before the token: the number of its own.
        Tensor own = ends.unsqueeze(0).le(places.unsqueeze(1)).sum(1).clamp_max_(new Scalar(count - 1));
        return lengths.index_select(0, own).to(ScalarType.Float);
    }
}
