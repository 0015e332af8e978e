package dev.finetune4j.core.nn;

import dev.finetune4j.core.autograd.CustomFunction;
import dev.finetune4j.core.cuda.CudaKernel;
import dev.finetune4j.core.cuda.CudaModule;
import dev.finetune4j.core.tensor.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/**
 * The element-wise parts of a decoder on a CUDA GPU ({@code elementwise.cu}): each is one launch where libtorch's operations
 * would be five to ten, and keeps for the backward pass only what it must. In float32 and bfloat16; elsewhere, and where a
 * shape does not fit into pieces of eight, the plain operations serve.
 */
final class FusedKernels {
    private static final int THREADS = 256;
    private static final int PIECE = 8;
    private static final Map<ComputeDevice, FusedKernels> FLOAT = new ConcurrentHashMap<>();
    private static final Map<ComputeDevice, FusedKernels> BF16 = new ConcurrentHashMap<>();

    private final CudaKernel rmsForward;
    private final CudaKernel rmsBackward;
    private final CudaKernel swigluForward;
    private final CudaKernel swigluBackward;
    private final CudaKernel rope;
    private final CudaKernel ropeInPlace;

    private FusedKernels(ComputeDevice device, String suffix) {
        CudaModule module = CudaModule.of(FusedKernels.class, "elementwise.cu", device);
        rmsForward = module.kernel("rms_forward_" + suffix);
        rmsBackward = module.kernel("rms_backward_" + suffix);
        swigluForward = module.kernel("swiglu_forward_" + suffix);
        swigluBackward = module.kernel("swiglu_backward_" + suffix);
        rope = module.kernel("rope_" + suffix);
        ropeInPlace = module.kernel("rope_in_place_" + suffix);
    }

    /** Whether a tensor is where the kernels run and in a type of theirs. */
    static boolean serve(Tensor x) {
        if (!x.is_cuda()) {
            return false;
        }
        ScalarType type = Tensors.typeOf(x);
        return type == ScalarType.BFloat16 || type == ScalarType.Float;
    }

    /** Without gaps, and where 16 bytes at a time may be read. */
    private static Tensor dense(Tensor x) {
        Tensor whole = x.contiguous();
        return whole.storage_offset() % PIECE == 0 ? whole : whole.clone();
    }

    private static FusedKernels of(Tensor x) {
        ComputeDevice device = Tensors.deviceOf(x);
        return Tensors.typeOf(x) == ScalarType.Float
                ? FLOAT.computeIfAbsent(device, key -> new FusedKernels(key, "f32"))
                : BF16.computeIfAbsent(device, key -> new FusedKernels(key, "bf16"));
    }

    /** Whether {@link #rmsNorm} serves. */
    static boolean serveNorm(Tensor x, Tensor weight) {
        return serve(x)
                && Tensors.typeOf(weight) == Tensors.typeOf(x)
                && !weight.requires_grad()
                && weight.numel() % PIECE == 0;
    }

    /** Whether {@link #rmsNorm} and {@link #add} can be the two ends of a branch around which x goes. */
    static boolean serveBranch(Tensor x, RmsNorm norm) {
        return GradMode.is_enabled() && x.requires_grad() && serveNorm(x, norm.weight());
    }

    /**
     * The way around a branch, {@code x + f(norm(x))}: the gradient that goes along it is added where the norm's backward
     * pass writes its own.
     */
    static final class Bypass {
        private @Nullable Tensor gradient;

        private void put(Tensor passing) {
            try (TensorScope scope = new TensorScope()) {
                gradient = scope.release(passing.detach());
            }
        }

        /** The gradient, which now belongs to the scope of the caller. */
        private Tensor take(TensorScope scope) {
            Tensor taken = scope.adopt(Objects.requireNonNull(gradient));
            gradient = null;
            return taken;
        }
    }

    /** {@code x + branch}, the end of a branch that begins with a norm of x; x gets its gradient there. */
    static Tensor add(Tensor x, Tensor branch, Bypass bypass) {
        return end(branch, given -> given.add(x), bypass);
    }

    /** The end of a branch as {@link #add} makes it, where nobody reads the sum. */
    static Tensor meet(Tensor branch, Bypass bypass) {
        return end(branch, Tensor::detach, bypass);
    }

    private static Tensor end(Tensor branch, UnaryOperator<Tensor> sum, Bypass bypass) {
        return CustomFunction.apply(branch, sum, gradient -> {
            bypass.put(gradient);
            return gradient;
        });
    }

    /** Those who wait for a result to be brought back. */
    private static final class Waiting implements BroughtBack {
        private final List<Consumer<Tensor>> uses = new ArrayList<>();

        @Override
        public void then(Consumer<Tensor> use) {
            uses.add(use);
        }

        boolean isAnybody() {
            return !uses.isEmpty();
        }

        void bring(Tensor result) {
            uses.forEach(use -> use.accept(result));
            uses.clear();
        }

        /** Nobody brings anything back when there is no backward pass. */
        @Nullable
        BroughtBack whenRecorded(Tensor input) {
            return GradMode.is_enabled() && input.requires_grad() ? this : null;
        }
    }

    /**
     * {@link RmsNorm} with a frozen weight; the input and one number for each row are kept. Who waits for the result gets it
     * in the memory of its gradient.
     */
    static Remade rmsNorm(Tensor input, Tensor weight, double epsilon, boolean fromOne, @Nullable Bypass bypass) {
        FusedKernels kernels = of(input);
        int width = Math.toIntExact(weight.numel());
        int one = fromOne ? 1 : 0;
        Waiting waiting = new Waiting();
        Tensor result = CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor x = dense(given);
                    long rows = x.numel() / width;
                    Tensor y = Tensors.emptyLike(x);
                    Tensor inverse = Tensors.empty(Tensors.deviceOf(x), ScalarType.Float, rows);
                    kernels.rmsForward.launch(rows, THREADS, x, weight, y, inverse, width, (float) epsilon, one);
                    saved.keep(x);
                    saved.keep(inverse);
                    return y;
                },
                (gradient, saved) -> {
                    try (TensorScope scope = new TensorScope()) {
                        Tensor dy = dense(gradient);
                        Tensor x = saved.get(0);
                        Tensor past = bypass == null ? null : dense(bypass.take(scope));
                        Tensor y = waiting.isAnybody() ? dy : null;
                        Tensor dx = Tensors.emptyLike(x);
                        kernels.rmsBackward.launch(
                                x.numel() / width, THREADS, dy, x, weight, saved.get(1), past, dx, y, width, one);
                        waiting.bring(dy);
                        return scope.keep(dx);
                    }
                });
        return new Remade(result, waiting.whenRecorded(input));
    }

    /** Whether {@link #swiglu} serves for halves of this width. */
    static boolean serveSwiglu(Tensor both) {
        return serve(both) && both.size(-1) % (2 * PIECE) == 0;
    }

    /**
     * {@code silu(gate) · up} of a tensor (…, 2 · width) that nobody else reads, gate first. Its gradient takes its place in
     * memory, and the result that of its own gradient for those who wait for it.
     */
    static Remade swiglu(Tensor input) {
        FusedKernels kernels = of(input);
        Waiting waiting = new Waiting();
        Tensor result = CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor both = dense(given);
                    saved.keep(both);
                    return kernels.gated(both);
                },
                (gradient, saved) -> {
                    Tensor both = saved.get(0);
                    Tensor dy = dense(gradient);
                    int width = Math.toIntExact(both.size(-1) / 2);
                    long rows = both.numel() / (2L * width);
                    Tensor y = waiting.isAnybody() ? dy : null;
                    kernels.swigluBackward.launch(groups(rows * width / PIECE), THREADS, dy, both, y, rows, width);
                    waiting.bring(dy);
                    return both.detach();
                });
        return new Remade(result, waiting.whenRecorded(input));
    }

    private Tensor gated(Tensor both) {
        int width = Math.toIntExact(both.size(-1) / 2);
        long rows = both.numel() / (2L * width);
        long[] shape = both.shape();
        shape[shape.length - 1] = width;
        Tensor y = Tensors.empty(Tensors.deviceOf(both), Tensors.typeOf(both), shape);
        swigluForward.launch(groups(rows * width / PIECE), THREADS, both, y, rows, width);
        return y;
    }

    /** Whether {@link #rope} serves. */
    static boolean serveRope(Tensor x, RotaryEmbedding.Angles angles) {
        return serve(x)
                && angles.cos().size(1) == x.size(3)
                && x.size(3) % (2 * PIECE) == 0
                && Tensors.typeOf(angles.cos()) == Tensors.typeOf(x);
    }

    /** {@link RotaryEmbedding#rotate}; nothing is kept but the angles. */
    static Tensor rope(Tensor input, RotaryEmbedding.Angles angles) {
        FusedKernels kernels = of(input);
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor cos = dense(angles.cos());
                    Tensor sin = dense(angles.sin());
                    saved.keep(cos);
                    saved.keep(sin);
                    return kernels.turn(given, cos, sin, 1);
                },
                (gradient, saved) -> kernels.turn(gradient, saved.get(0), saved.get(1), -1));
    }

    /** (B, heads, T, size) in any layout to the same shape, laid out as (B, T, heads, size). */
    private Tensor turn(Tensor given, Tensor cos, Tensor sin, float direction) {
        Tensor x = given.stride(3) == 1 && aligned(given) ? given : dense(given);
        long batch = x.size(0);
        int heads = Math.toIntExact(x.size(1));
        int tokens = Math.toIntExact(x.size(2));
        int size = Math.toIntExact(x.size(3));
        Tensor y = Tensors.empty(Tensors.deviceOf(x), Tensors.typeOf(x), batch, tokens, heads, size);
        long threads = batch * tokens * heads * (size / (2 * PIECE));
        rope.launch(
                groups(threads),
                THREADS,
                x,
                y,
                cos,
                sin,
                tokens,
                heads,
                size,
                x.stride(0),
                x.stride(2),
                x.stride(1),
                direction,
                threads);
        return y.transpose(1, 2);
    }

    /** Whether {@link #ropeInPlace} serves for heads of this size behind one another. */
    static boolean serveJointRope(Tensor joint, RotaryEmbedding.Angles angles, int size) {
        return serve(joint)
                && joint.is_contiguous()
                && joint.storage_offset() % PIECE == 0
                && angles.cos().size(1) == size
                && size % (2 * PIECE) == 0
                && Tensors.typeOf(angles.cos()) == Tensors.typeOf(joint);
    }

    /**
     * Turns the first heads of rows (B, T, n) that nobody else reads, in their place; nothing is kept but the angles. The
     * gradient is turned back in its place.
     */
    static Tensor ropeInPlace(Tensor input, int heads, RotaryEmbedding.Angles angles) {
        FusedKernels kernels = of(input);
        return CustomFunction.apply(
                input,
                (given, saved) -> {
                    Tensor cos = dense(angles.cos());
                    Tensor sin = dense(angles.sin());
                    saved.keep(cos);
                    saved.keep(sin);
                    return kernels.turnInPlace(given.detach(), heads, cos, sin, 1);
                },
                (gradient, saved) -> kernels.turnInPlace(dense(gradient), heads, saved.get(0), saved.get(1), -1));
    }

    private Tensor turnInPlace(Tensor rows, int heads, Tensor cos, Tensor sin, float direction) {
        int tokens = Math.toIntExact(rows.size(1));
        int size = Math.toIntExact(cos.size(1));
        long threads = rows.size(0) * tokens * heads * (size / (2 * PIECE));
        ropeInPlace.launch(
                groups(threads), THREADS, rows, cos, sin, tokens, heads, size, rows.size(2), direction, threads);
        return rows;
    }

    private static boolean aligned(Tensor x) {
        return x.stride(0) % PIECE == 0
                && x.stride(1) % PIECE == 0
                && x.stride(2) % PIECE == 0
                && x.storage_offset() % PIECE == 0;
    }

    private static long groups(long threads) {
        return (threads + THREADS - 1) / THREADS;
    }
}
