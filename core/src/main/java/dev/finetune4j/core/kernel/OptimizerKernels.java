package dev.finetune4j.core.kernel;

import java.util.OptionalDouble;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.jspecify.annotations.Nullable;

/** The update of trained values, one pass over memory where there is a kernel. Thread-safe. */
public interface OptimizerKernels {
    /**
     * What AdamW updates. All of one length, contiguous and float32 if nothing else is said.
     *
     * @param values the master values
     * @param computeCopies the values in bfloat16, in which they take part in products; null for none
     * @param mean exponential average of the gradients
     * @param variance exponential average of their squares
     */
    record AdamWState(
            Tensor values, Tensor gradients, @Nullable Tensor computeCopies, Tensor mean, Tensor variance) {}

    /**
     * The numbers of a step.
     *
     * @param weightDecay decoupled; 0 for none
     * @param step number of the step, from 1
     */
    record AdamWStep(double learningRate, double weightDecay, double beta1, double beta2, double epsilon, int step) {
        /** What decoupled weight decay leaves of the values, {@code 1 - rate · decay}. */
        public double decayFactor() {
            return 1 - learningRate * weightDecay;
        }

        /** The learning rate with the correction of the mean's bias. */
        public double correctedRate() {
            return learningRate / (1 - Math.pow(beta1, step));
        }

        /** The correction of the bias of the variance's root. */
        public double rootCorrection() {
            return Math.sqrt(1 - Math.pow(beta2, step));
        }
    }

    /**
     * The clipping of gradients by their norm. Both tensors are on the device of the values.
     *
     * @param loss of the step, float64, shape (1)
     * @param norm of all gradients together, float32, a scalar
     * @param maxNorm 0 leaves the gradients as they are
     */
    record GradientClip(Tensor loss, Tensor norm, double maxNorm) {
        /** The factor on gradients, at most 1, for which the host waits; empty when the loss or the norm is not finite. */
        OptionalDouble factor() {
            double found = norm.item_double();
            if (!Double.isFinite(found) || !Double.isFinite(loss.item_double())) {
                return OptionalDouble.empty();
            }
            return OptionalDouble.of(maxNorm > 0 ? Math.min(1, maxNorm / (found + 1e-6)) : 1);
        }

        /** The same factor where the norm is, a scalar in float32, so that nobody waits for it; for a largest norm above 0. */
        public Tensor factorOnDevice() {
            return norm.add(new Scalar(1e-6))
                    .reciprocal_()
                    .mul_(new Scalar(maxNorm))
                    .clamp_max_(new Scalar(1));
        }
    }

    /**
     * Moments of AdamW in blocks of at most {@value #MOMENT_BLOCK} numbers of one parameter. Of a block in codes each moment is its
     * largest magnitude times the entries of a codebook; others are kept in float32.
     *
     * @param blocks int64, (n, 3): a block's first value, its place among those in codes or {@code -1} less its first number
     *     among the wide ones, and how many numbers it has
     * @param codes uint8, (2, m, {@value #MOMENT_BLOCK}), of the first and the second moment
     * @param absmax float32, (2, m)
     * @param wide float32, (2, k)
     * @param maps the codebooks in rising order, float32, (2, 256)
     * @param limits above which the next code is nearer, float32, (2, 255)
     */
    record Moments(Tensor blocks, Tensor codes, Tensor absmax, Tensor wide, Tensor maps, Tensor limits) {
        /** The moments of some of the blocks. */
        public Moments of(long first, long count) {
            return new Moments(blocks.narrow(0, first, count), codes, absmax, wide, maps, limits);
        }
    }

    /** The most numbers of a block of moments. */
    int MOMENT_BLOCK = 256;

    /**
     * What AdamW with moments in blocks updates: the values of which the blocks speak.
     *
     * @param values the master values, float32, in one dimension
     * @param gradients as many, float32
     * @param computeCopies the values in bfloat16, in which they take part in products; null for none
     */
    record AdamW8bitState(
            Tensor values, Tensor gradients, @Nullable Tensor computeCopies, Moments moments) {}

    /**
     * What Lion updates. All of one length, contiguous and float32 if nothing else is said.
     *
     * @param values the master values
     * @param computeCopies the values in bfloat16, in which they take part in products; null for none
     * @param mean exponential average of the gradients
     */
    record LionState(
            Tensor values, Tensor gradients, @Nullable Tensor computeCopies, Tensor mean) {}

    /**
     * The numbers of a step of Lion.
     *
     * @param weightDecay decoupled; 0 for none
     * @param beta1 share of the average in the direction
     * @param beta2 decay of the average
     */
    record LionStep(double learningRate, double weightDecay, double beta1, double beta2) {
        /** What decoupled weight decay leaves of the values, {@code 1 - rate · decay}. */
        double decayFactor() {
            return 1 - learningRate * weightDecay;
        }
    }

    /**
     * One step of AdamW (<a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter 2019</a>) in the order of operations
     * of PyTorch, after which the gradients are zeros. When the loss or the norm is not finite, nothing changes.
     */
    void adamw(AdamWState state, AdamWStep step, GradientClip clip);

    /**
     * One step of Lion (<a href="https://arxiv.org/abs/2302.06675">Chen et al. 2023</a>), after which the gradients are zeros. When
     * the loss or the norm is not finite, nothing changes.
     */
    void lion(LionState state, LionStep step, GradientClip clip);

    /**
     * One step of AdamW whose moments are kept in blocks of 8-bit codes
     * (<a href="https://arxiv.org/abs/2110.02861">Dettmers et al. 2022</a>), after which the gradients are zeros. The values move by
     * the moments before these are rounded. When the loss or the norm is not finite, nothing changes.
     */
    void adamw8bit(AdamW8bitState state, AdamWStep step, GradientClip clip);
}
