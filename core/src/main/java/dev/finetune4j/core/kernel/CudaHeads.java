package dev.finetune4j.core.kernel;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.kernel.cuda.CudaKernel;
import dev.finetune4j.core.kernel.cuda.CudaModule;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.jspecify.annotations.Nullable;

/** On a CUDA GPU ({@code heads.cu}), some lanes of a warp for a head. The kernels live as long as the process. */
final class CudaHeads implements HeadKernels {
    private static final int THREADS = 256;
    /** Channels of a lane. */
    private static final int CHANNELS = 16;

    private static final int MAX_SIZE = 512;
    private static final Map<ComputeDevice, CudaHeads> FLOAT = new ConcurrentHashMap<>();
    private static final Map<ComputeDevice, CudaHeads> BF16 = new ConcurrentHashMap<>();

    private final CudaKernel forward;
    private final CudaKernel backward;

    private CudaHeads(ComputeDevice device, String suffix) {
        CudaModule module = CudaModule.of(CudaHeads.class, "heads.cu", device);
        forward = module.kernel("heads_forward_" + suffix);
        backward = module.kernel("heads_backward_" + suffix);
    }

    static CudaHeads of(ComputeDevice device, ScalarType type) {
        return type == ScalarType.Float
                ? FLOAT.computeIfAbsent(device, key -> new CudaHeads(key, "f32"))
                : BF16.computeIfAbsent(device, key -> new CudaHeads(key, "bf16"));
    }

    @Override
    public boolean supports(int size, long turned) {
        return size % CHANNELS == 0 && turned % CHANNELS == 0 && size <= MAX_SIZE;
    }

    /** Lanes for a head, a power of two. */
    private static int lanes(Form form) {
        int lanes = 1;
        while (lanes * CHANNELS < form.size()) {
            lanes *= 2;
        }
        return lanes;
    }

    private static long blocks(Form form, Tensor x, int heads) {
        long threads = x.size(0) * x.size(1) * heads * lanes(form);
        return (threads + THREADS - 1) / THREADS;
    }

    private static int turned(Angles angles) {
        return Math.toIntExact(angles.cos().size(1));
    }

    @Override
    public void forward(Form form, Tensor x, Tensor y, @Nullable Norms norms, Angles angles) {
        int heads = form.heads() + (norms == null ? 1 : 2) * form.kvHeads();
        forward.launch(
                blocks(form, x, heads),
                THREADS,
                x,
                y,
                norms == null ? null : norms.queries(),
                norms == null ? null : norms.keys(),
                norms == null ? null : norms.inverse(),
                angles.cos(),
                angles.sin(),
                x.size(0) * x.size(1),
                Math.toIntExact(x.size(1)),
                form.heads(),
                form.kvHeads(),
                heads,
                form.size(),
                turned(angles),
                angles.interleaved() ? 1 : 0,
                lanes(form),
                form.epsilon(),
                form.unitOffset() ? 1 : 0);
    }

    @Override
    public void backward(
            Form form,
            SequenceAttention.Gradients gradients,
            Tensor x,
            Tensor dx,
            @Nullable Norms norms,
            Angles angles) {
        int heads = form.heads() + 2 * form.kvHeads();
        Tensor dq = gradients.queries();
        Tensor dk = gradients.keys();
        Tensor dv = gradients.values();
        backward.launch(
                blocks(form, x, heads),
                THREADS,
                dq,
                dq.stride(0),
                dq.stride(1),
                dq.stride(2),
                dk,
                dk.stride(0),
                dk.stride(1),
                dk.stride(2),
                dv,
                dv.stride(0),
                dv.stride(1),
                dv.stride(2),
                x,
                dx,
                norms == null ? null : norms.queries(),
                norms == null ? null : norms.keys(),
                norms == null ? null : norms.inverse(),
                angles.cos(),
                angles.sin(),
                x.size(0) * x.size(1),
                Math.toIntExact(x.size(1)),
                form.heads(),
                form.kvHeads(),
                form.size(),
                turned(angles),
                angles.interleaved() ? 1 : 0,
                lanes(form),
                form.unitOffset() ? 1 : 0);
    }
}
