package dev.finetune4j.core.kernel.cuda;

import dev.finetune4j.core.ComputeDevice;
import dev.finetune4j.core.tensor.TensorScope;
import dev.finetune4j.core.tensor.Tensors;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.bytedeco.cuda.cublas.cublasLtContext;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.cuda.cudart.cudaDeviceProp;
import org.bytedeco.cuda.global.cublas;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.cuda.CUDAGuard;
import org.bytedeco.pytorch.cuda.CUDAStream;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.bytedeco.pytorch.global.torch_cuda;
import org.jspecify.annotations.Nullable;

/**
 * GEMM selection: large matrix products with bfloat16 weights on a CUDA GPU of the Hopper generation by that of the kernels which
 * cuBLAS's heuristic proposes that {@link GemmTiling} expects to be the fastest; it is often not its first. A choice takes some
 * microseconds, needs no trial, and follows from the shape and the GPU alone, so that every run has the same numbers. Other GPUs
 * are left to libtorch, and with the system property {@code finetune4j.cuda.gemm=libtorch} everything is.
 *
 * <p>Thread-safe. Results come in the order of the GPU's current stream, as libtorch's do.
 */
public final class GemmSelector {
    private static final boolean WANTED = !"libtorch".equals(System.getProperty("finetune4j.cuda.gemm"));
    /** Operations of a product that runs long enough for a choice to matter: about 30 µs on an H200. */
    private static final double MIN_OPERATIONS = 2e10;
    /** Bytes of a weight that takes some microseconds to read, which is all that a product of few rows waits for. */
    private static final long MIN_WEIGHT_BYTES = 16L << 20;

    private static final int ALIGNMENT = 8;
    private static final int MAX_READY = 512;
    /** Compute capability of the GPUs on which the kernels were measured. */
    private static final int HOPPER = 9;

    private static final Map<ComputeDevice, GemmSelector> OF_DEVICE = new ConcurrentHashMap<>();

    /** A product that is ready to run. */
    private record Ready(GemmPlan plan, GemmPlan.Kernel kernel) {}

    private final ComputeDevice device;
    private final cublasLtContext context;
    private final int multiprocessors;
    private final boolean measured;
    /** Texts of many lengths make many shapes, of some kilobytes each: the ones that were not used for longest are made anew. */
    private final RecentlyUsed<GemmShape, Optional<Ready>> ready = new RecentlyUsed<>(MAX_READY);

    private GemmSelector(ComputeDevice device) {
        this.device = device;
        try (TensorScope scope = new TensorScope();
                CUDAGuard current = new CUDAGuard((byte) device.index())) {
            context = scope.release(new cublasLtContext());
            CudaModule.check(cublas.cublasLtCreate(context), "opening cuBLAS");
            cudaDeviceProp properties = torch_cuda.getDeviceProperties((byte) device.index());
            multiprocessors = properties.multiProcessorCount();
            measured = properties.major() == HOPPER;
        }
    }

    /**
     * {@code y = x Wᵀ} or {@code y = x W}, or the same added to what y holds.
     *
     * @param y shape (n, m), bfloat16, on a GPU as the others; rows may have gaps between them
     * @param x shape (n, k), bfloat16; rows may have gaps between them
     * @param weight shape (m, k) to be transposed, or (k, m); rows may have gaps between them
     * @return false when the product is left to libtorch, and nothing has happened: it is small, of another type or layout,
     *     or the GPU's kernels were not measured
     */
    public static boolean multiply(Tensor y, Tensor x, Tensor weight, boolean transposed, boolean add) {
        if (!WANTED || !supports(y) || !supports(x) || !supports(weight)) {
            return false;
        }
        GemmShape shape =
                new GemmShape(y.size(1), x.size(0), x.size(1), weight.stride(0), x.stride(0), y.stride(0), transposed);
        boolean readsLong = shape.hasFewRows() && 2 * shape.m() * shape.k() >= MIN_WEIGHT_BYTES;
        if (shape.operations() < MIN_OPERATIONS && !readsLong) {
            return false;
        }
        return OF_DEVICE.computeIfAbsent(Tensors.deviceOf(x), GemmSelector::new).run(shape, y, x, weight, add);
    }

    private static boolean supports(Tensor t) {
        return t.dim() == 2
                && Tensors.typeOf(t) == ScalarType.BFloat16
                && t.stride(1) == 1
                && t.stride(0) >= t.size(1)
                && t.stride(0) % ALIGNMENT == 0
                && t.storage_offset() % ALIGNMENT == 0;
    }

    private boolean run(GemmShape shape, Tensor y, Tensor x, Tensor weight, boolean add) {
        if (!measured) {
            return false;
        }
        Optional<Ready> product = ready.get(shape);
        if (product == null) {
            product = select(shape);
            ready.put(shape, product);
        }
        if (product.isEmpty()) {
            return false;
        }
        if (torch_cuda.current_device() == device.index()) {
            runHere(product.get(), y, x, weight, add);
        } else {
            try (CUDAGuard current = new CUDAGuard((byte) device.index())) {
                runHere(product.get(), y, x, weight, add);
            }
        }
        return true;
    }

    private void runHere(Ready product, Tensor y, Tensor x, Tensor weight, boolean add) {
        // The default stream has no handle of its own.
        try (TensorScope scope = new TensorScope();
                CUDAStream stream = torch_cuda.getCurrentCUDAStream((byte) device.index());
                @Nullable CUstream_st handle = stream.stream()) {
            CudaModule.check(launch(product, y, x, weight, add, handle), "multiplying");
        }
    }

    /** Empty when cuBLAS proposes no kernel. */
    private Optional<Ready> select(GemmShape shape) {
        GemmPlan plan = new GemmPlan(context, shape);
        List<GemmPlan.Kernel> kernels = plan.candidates();
        if (kernels.isEmpty()) {
            return Optional.empty();
        }
        List<GemmTiling> tilings = kernels.stream().map(GemmPlan.Kernel::tiling).toList();
        int chosen = shape.hasFewRows()
                ? GemmTiling.leastSplit(tilings)
                : GemmTiling.fastest(tilings, shape, multiprocessors);
        return Optional.of(new Ready(plan, kernels.get(chosen)));
    }

    private int launch(Ready product, Tensor y, Tensor x, Tensor weight, boolean add, @Nullable CUstream_st stream) {
        try (TensorScope scope = new TensorScope()) {
            GemmPlan.Kernel kernel = product.kernel();
            Pointer workspace = kernel.workspace() == 0
                    ? null
                    : Tensors.empty(device, ScalarType.Byte, kernel.workspace()).data_ptr();
            return product.plan().launch(kernel, y.data_ptr(), x.data_ptr(), weight.data_ptr(), add, workspace, stream);
        }
    }
}
