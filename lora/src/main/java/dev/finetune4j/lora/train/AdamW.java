package dev.finetune4j.lora.train;

import dev.finetune4j.core.kernel.cpu.CpuKernels;
import dev.finetune4j.core.kernel.cpu.ElementKernels;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import dev.finetune4j.core.kernel.cuda.CudaReadback;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.Objects;
import java.util.Optional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * AdamW: Adam with decoupled weight decay (<a href="https://arxiv.org/abs/1711.05101">Loshchilov and Hutter 2019</a>), in
 * the order of operations of PyTorch, with β = (0.9, 0.999) and ε = 1e-8. Each group of parameters has its own learning
 * rate and may go without weight decay; a step is one update per group, one pass over its values where there
 * are kernels for it; on a CUDA GPU nobody waits for it.
 */
final class AdamW implements AutoCloseable {
    private static final double BETA1 = 0.9;
    private static final double BETA2 = 0.999;
    private static final double EPSILON = 1e-8;
    private static final int THREADS = 256;
    private static final long MAX_BLOCKS = 4096;

    private final FlatParameters parameters;
    private final double weightDecay;
    private final Tensor mean;
    private final Tensor variance;
    private int steps;

    AdamW(FlatParameters parameters, double weightDecay) {
        this.parameters = parameters;
        this.weightDecay = weightDecay;
        try (TensorScope scope = new TensorScope()) {
            mean = torch.zeros_like(parameters.values());
            variance = torch.zeros_like(parameters.values());
            scope.release(mean);
            scope.release(variance);
        }
    }

    /**
     * Loss and gradient norm of an optimizer step.
     *
     * @param loss the loss that was handed over
     * @param norm of all gradients together, before they were scaled down
     */
    record StepResult(double loss, double norm) {
        /** Whether both are numbers; if not, nothing was changed. */
        boolean isFinite() {
            return Double.isFinite(loss) && Double.isFinite(norm);
        }
    }

    /**
     * Scales the gradients down so that their norm, over all groups together, is at most {@code maxNorm}, moves the values
     * by one step and clears the gradients. When the loss or the norm is not finite, the values stay.
     *
     * @param loss of the step, float64, shape (1), on the device
     * @param maxNorm 0 leaves the gradients as they are
     * @param learningRate the learning rate of a group whose factor is 1
     * @return the result; on a GPU it is there when the device has come so far
     */
    AsyncResult step(Tensor loss, double maxNorm, double learningRate) {
        try (TensorScope scope = new TensorScope();
                NoGradGuard off = new NoGradGuard()) {
            Tensor norm = torch.linalg_vector_norm(parameters.gradients());
            Tensor both =
                    torch.cat(new TensorVector(loss, norm.to(ScalarType.Double).view(1)), 0);
            steps++;
            if (both.is_cuda()) {
                stepOnCuda(loss, norm, maxNorm, learningRate);
                return new AsyncResult(CudaReadback.of(both), null);
            }
            StepResult found = new StepResult(
                    both.select(0, 0).item_double(), both.select(0, 1).item_double());
            if (found.isFinite()) {
                move(found.norm(), maxNorm, learningRate);
            }
            return new AsyncResult(null, found);
        }
    }

    /** The result of a step whose kernels may still be queued. */
    static final class AsyncResult {
        private final @Nullable CudaReadback readback;
        private final @Nullable StepResult known;

        private AsyncResult(@Nullable CudaReadback readback, @Nullable StepResult known) {
            this.readback = readback;
            this.known = known;
        }

        /** Waits for the step; to be called once. */
        StepResult get() {
            if (readback == null) {
                return Objects.requireNonNull(known);
            }
            try (readback) {
                double[] both = readback.get();
                return new StepResult(both[0], both[1]);
            }
        }
    }

    private void stepOnCuda(Tensor loss, Tensor norm, double maxNorm, double learningRate) {
        CudaKernel kernel =
                CudaModule.of(AdamW.class, "adamw.cu", Tensors.deviceOf(loss)).kernel("adamw_f32");
        for (FlatParameters.Slice slice : parameters.slices()) {
            double rate = learningRate * slice.group().learningRateFactor();
            long blocks = Math.min(MAX_BLOCKS, (slice.length() + THREADS - 1) / THREADS);
            kernel.launch(
                    blocks,
                    THREADS,
                    slice.of(parameters.values()),
                    slice.of(parameters.gradients()),
                    parameters.computeCopies() == null ? null : slice.of(parameters.computeCopies()),
                    slice.of(mean),
                    slice.of(variance),
                    slice.length(),
                    norm,
                    loss,
                    (float) maxNorm,
                    (float) decayFactor(slice, rate),
                    (float) BETA1,
                    (float) BETA2,
                    (float) (rate / (1 - Math.pow(BETA1, steps))),
                    (float) Math.sqrt(1 - Math.pow(BETA2, steps)),
                    (float) EPSILON);
        }
    }

    private void move(double norm, double maxNorm, double learningRate) {
        double factor = maxNorm / (norm + 1e-6);
        Optional<ElementKernels> kernels = CpuKernels.get().map(CpuKernels::elements);
        if (kernels.isPresent()) {
            stepByCpuKernel(kernels.get(), maxNorm > 0 ? Math.min(1, factor) : 1, learningRate);
            return;
        }
        if (maxNorm > 0 && factor < 1) {
            parameters.gradients().mul_(new Scalar(factor));
        }
        for (FlatParameters.Slice slice : parameters.slices()) {
            step(slice, learningRate * slice.group().learningRateFactor());
        }
        parameters.gradients().zero_();
    }

    private void stepByCpuKernel(ElementKernels kernels, double factor, double learningRate) {
        try (TensorScope scope = new TensorScope()) {
            for (FlatParameters.Slice slice : parameters.slices()) {
                double rate = learningRate * slice.group().learningRateFactor();
                kernels.adamw(
                        slice.of(parameters.values()),
                        slice.of(parameters.gradients()),
                        parameters.computeCopies() == null ? null : slice.of(parameters.computeCopies()),
                        slice.of(mean),
                        slice.of(variance),
                        new ElementKernels.Step(
                                (float) factor,
                                (float) decayFactor(slice, rate),
                                (float) BETA1,
                                (float) BETA2,
                                (float) (rate / (1 - Math.pow(BETA1, steps))),
                                (float) Math.sqrt(1 - Math.pow(BETA2, steps)),
                                (float) EPSILON));
            }
        }
    }

    /** The factor of decoupled weight decay on the values, 1 - rate · decay; 1 without. */
    private double decayFactor(FlatParameters.Slice slice, double learningRate) {
        return weightDecay > 0 && slice.group().weightDecay() ? 1 - learningRate * weightDecay : 1;
    }

    private void step(FlatParameters.Slice slice, double learningRate) {
        double correction1 = 1 - Math.pow(BETA1, steps);
        double correction2 = 1 - Math.pow(BETA2, steps);
        try (TensorScope scope = new TensorScope()) {
            Tensor value = slice.of(parameters.values());
            Tensor gradient = slice.of(parameters.gradients());
            Tensor first = slice.of(mean);
            Tensor second = slice.of(variance);
            double decay = decayFactor(slice, learningRate);
            if (decay != 1) {
                value.mul_(new Scalar(decay));
            }
            first.lerp_(gradient, new Scalar(1 - BETA1));
            second.mul_(new Scalar(BETA2)).addcmul_(gradient, gradient, new Scalar(1 - BETA2));
            Tensor root = second.sqrt().div_(new Scalar(Math.sqrt(correction2))).add_(new Scalar(EPSILON));
            value.addcdiv_(first, root, new Scalar(-learningRate / correction1));
        }
    }

    @Override
    public void close() {
        mean.close();
        variance.close();
    }
}
