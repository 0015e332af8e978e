package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** The passes on a CUDA GPU ({@code elementwise.cu}), one launch each. The kernels live as long as the process. */
final class CudaElementwise implements Elementwise {
    private static final int THREADS = 256;
    private static final int VECTOR_WIDTH = 8;
    private static final Map<ComputeDevice, CudaElementwise> FLOAT = new ConcurrentHashMap<>();
    private static final Map<ComputeDevice, CudaElementwise> BF16 = new ConcurrentHashMap<>();

    private final CudaKernel rmsForward;
    private final CudaKernel rmsBackward;
    private final Map<Activation, CudaKernel> gatedForward;
    private final Map<Activation, CudaKernel> gatedBackward;
    private final CudaKernel rope;
    private final CudaKernel ropeInPlace;

    private CudaElementwise(ComputeDevice device, String suffix) {
        CudaModule module = CudaModule.of(CudaElementwise.class, "elementwise.cu", device);
        rmsForward = module.kernel("rms_forward_" + suffix);
        rmsBackward = module.kernel("rms_backward_" + suffix);
        gatedForward = gated(module, "_forward_" + suffix);
        gatedBackward = gated(module, "_backward_" + suffix);
        rope = module.kernel("rope_" + suffix);
        ropeInPlace = module.kernel("rope_in_place_" + suffix);
    }

    private static Map<Activation, CudaKernel> gated(CudaModule module, String ending) {
        Map<Activation, CudaKernel> kernels = new EnumMap<>(Activation.class);
        for (Activation activation : Activation.values()) {
            String name = switch (activation) {
                case SILU -> "swiglu";
                case GELU -> "geglu";
                case GELU_TANH -> "geglu_tanh";
            };
            kernels.put(activation, module.kernel(name + ending));
        }
        return Map.copyOf(kernels);
    }

    static CudaElementwise of(ComputeDevice device, ScalarType type) {
        return type == ScalarType.Float
                ? FLOAT.computeIfAbsent(device, key -> new CudaElementwise(key, "f32"))
                : BF16.computeIfAbsent(device, key -> new CudaElementwise(key, "bf16"));
    }

    @Override
    public boolean supports(Activation activation) {
        return true;
    }

    @Override
    public boolean copiesCheaply() {
        return true;
    }

    @Override
    public void rmsForward(Tensor x, Tensor weight, Tensor y, Tensor inverse, float epsilon, boolean unitOffset) {
        int width = Math.toIntExact(weight.numel());
        rmsForward.launch(
                x.numel() / width, THREADS, x, null, null, weight, y, inverse, width, epsilon, unitOffset ? 1 : 0);
    }

    @Override
    public void rmsForwardOfSum(
            Tensor x,
            Tensor branch,
            Tensor sum,
            Tensor weight,
            Tensor y,
            Tensor inverse,
            float epsilon,
            boolean unitOffset) {
        int width = Math.toIntExact(weight.numel());
        rmsForward.launch(
                x.numel() / width, THREADS, x, branch, sum, weight, y, inverse, width, epsilon, unitOffset ? 1 : 0);
    }

    @Override
    public void rmsBackward(
            Tensor gradient,
            Tensor x,
            Tensor weight,
            Tensor inverse,
            @Nullable Tensor past,
            Tensor dx,
            @Nullable Tensor y,
            boolean unitOffset) {
        int width = Math.toIntExact(weight.numel());
        rmsBackward.launch(
                x.numel() / width, THREADS, gradient, x, weight, inverse, past, dx, y, width, unitOffset ? 1 : 0);
    }

    @Override
    public void gatedForward(Activation activation, Tensor both, Tensor y) {
        int width = Math.toIntExact(both.size(-1) / 2);
        long rows = both.numel() / (2L * width);
        kernel(gatedForward, activation).launch(groups(rows * width / VECTOR_WIDTH), THREADS, both, y, rows, width);
    }

    @Override
    public void gatedBackward(Activation activation, Tensor gradient, Tensor both, @Nullable Tensor y) {
        int width = Math.toIntExact(both.size(-1) / 2);
        long rows = both.numel() / (2L * width);
        kernel(gatedBackward, activation)
                .launch(groups(rows * width / VECTOR_WIDTH), THREADS, gradient, both, y, rows, width);
    }

    @Override
    public void rope(Tensor x, Tensor y, Tensor cos, Tensor sin, float direction) {
        long batch = x.size(0);
        int heads = Math.toIntExact(x.size(1));
        int tokens = Math.toIntExact(x.size(2));
        int size = Math.toIntExact(x.size(3));
        long threads = batch * tokens * heads * (size / (2 * VECTOR_WIDTH));
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
    }

    @Override
    public void ropeInPlace(Tensor rows, int heads, Tensor cos, Tensor sin, float direction) {
        int tokens = Math.toIntExact(rows.size(1));
        int size = Math.toIntExact(cos.size(1));
        long threads = rows.size(0) * tokens * heads * (size / (2 * VECTOR_WIDTH));
        ropeInPlace.launch(
                groups(threads), THREADS, rows, cos, sin, tokens, heads, size, rows.size(2), direction, threads);
    }

    private static CudaKernel kernel(Map<Activation, CudaKernel> kernels, Activation activation) {
        return Objects.requireNonNull(kernels.get(activation));
    }

    private static long groups(long threads) {
        return (threads + THREADS - 1) / THREADS;
    }
}
